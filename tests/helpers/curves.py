"""The published training curves of tests/data/curves: real logs that other people made."""

from pathlib import Path

CURVES = Path(__file__).parents[1] / "data" / "curves"
