"""The page of the first plan shows the training of its example, and what its logs give."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from etastar import plan, read_runs

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "first_plan.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "first_plan"


def test_the_page_shows_the_whole_training():
    code = (EXAMPLE / "train.py").read_text(encoding="utf-8")
    shown = re.findall(r"^```py\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
    head = ast.parse(code).body[0]
    assert shown == "".join(code.splitlines(keepends=True)[head.end_lineno :]).lstrip("\n")


def test_every_picture_of_the_page_is_there():
    for picture in re.findall(r"\]\((figures/[^)]+)\)", PAGE):
        assert (ROOT / "docs" / picture).exists()


@pytest.mark.slow  # a plan
def test_the_logs_that_are_kept_give_the_plan_that_the_page_shows():
    found = plan(read_runs(EXAMPLE / "recorded" / "pilots"), 8000)
    said = re.search(
        r"^expected loss +([\d.]+) +\(90%: ([\d.]+) to ([\d.]+)\)$", PAGE, re.MULTILINE
    )
    assert said
    loss, low, high = map(float, said.groups())
    assert found.loss.value == pytest.approx(loss, rel=0.01)
    assert found.loss.low == pytest.approx(low, rel=0.02)
    assert found.loss.high == pytest.approx(high, rel=0.02)
    (measured,) = re.findall(r"^after 8000 updates: val_loss (0\.09\d+)$", PAGE, re.MULTILINE)
    assert found.loss.low < float(measured) < found.loss.high
