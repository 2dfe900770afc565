"""Fixtures of the law's tests: runs and a law made in `conftest_law`."""

from conftest_law import law, pilots  # noqa: F401
