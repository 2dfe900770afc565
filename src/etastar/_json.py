"""JSON text that any program reads: every number finite, every key text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Values as JSON knows them: NumPy unwrapped, keys as text, None for what is not finite.

    >>> plain({1: [float("nan"), np.float64(2.0)], "n": np.int64(3)})
    {'1': [None, 2.0], 'n': 3}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(document: Any, *, indent: int | None = None) -> str:
    """JSON text in which every number is finite.

    >>> json_text({"loss": float("inf")})
    '{"loss": null}'
    """
    return json.dumps(plain(document), allow_nan=False, ensure_ascii=False, indent=indent)
