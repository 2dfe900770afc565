"""An exported CSV holds the schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from etastar.export import export_schedule
from etastar.schedule import InputError, parse_schedule


def test_a_csv_is_read_back_as_the_same_rates(tmp_path: Path) -> None:
    wanted = parse_schedule("wsd:peak=3e-4,horizon=1234,warmup=7,cooldown=0.3,decay=sqrt")
    (tmp_path / "rates.csv").write_text(export_schedule(wanted, "csv").text)
    back = parse_schedule("table:file=rates.csv", folder=tmp_path)
    steps = np.arange(1300)
    np.testing.assert_array_equal(back(steps), wanted(steps))
    with pytest.raises(InputError, match="is too long a file"):
        export_schedule(parse_schedule("constant:peak=1,horizon=1e9"), "csv")
