"""What several tests of the report show."""

from __future__ import annotations

import math

import pytest

from etastar.planning import Estimate, PhaseEstimate


@pytest.fixture
def without_exponents() -> PhaseEstimate:
    """The phase by a law that has no exponents."""
    unknown = Estimate(math.nan, math.nan, math.nan)
    return PhaseEstimate("undetermined", unknown, unknown, unknown)
