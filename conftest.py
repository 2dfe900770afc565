"""Settings of the tests that must be made before any framework is imported."""

from __future__ import annotations

import os

# By default Keras asks for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")
