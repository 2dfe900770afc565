"""Settings of the tests that must be made before any framework is imported."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent

# By default Keras asks for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")

# What JAX compiled is kept for the next test process: half of the time of many tests.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(HERE / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# The files whose framework is optional, by their beginnings: without it they cannot be imported.
FRAMEWORKS = {
    "src/etastar/integrations/torch": "torch",
    "src/etastar/integrations/_torch": "torch",
    "src/etastar/integrations/keras": "keras",
    "src/etastar/integrations/lightning": "lightning",
    "src/etastar/integrations/optax": "optax",
    "src/etastar/integrations/transformers": "transformers",
    "src/etastar/train/gpt": "torch",
}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what is no test, and modules with doctests whose framework is not installed."""
    if collection_path.suffix != ".py" or HERE not in collection_path.parents:
        return None
    file = collection_path.relative_to(HERE).as_posix()
    if file.startswith("tests/"):
        # Trainings that tests start, and helpers: pytest would import them for their doctests.
        return None if collection_path.name.startswith(("test_", "__init__")) else True
    needs = [framework for start, framework in FRAMEWORKS.items() if file.startswith(start)]
    return True if any(find_spec(framework) is None for framework in needs) else None
