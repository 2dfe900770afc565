"""The one place that configures JAX; import it before any other use of JAX.

It sets double precision, where compiled programs are kept, and that compilations are timed.
"""

import jax

from etastar._cache import keep_programs
from etastar._compiling import listen

jax.config.update("jax_enable_x64", True)
keep_programs()
listen()
