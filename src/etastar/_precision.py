"""The one place that sets JAX to double precision; import it before any other use of JAX."""

import jax

jax.config.update("jax_enable_x64", True)
