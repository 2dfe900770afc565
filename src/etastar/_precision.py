"""The one place that configures JAX; import it before any other use of JAX.

It sets double precision, and where compiled programs are kept.
"""

import jax

from etastar._cache import keep_programs

jax.config.update("jax_enable_x64", True)
keep_programs()
