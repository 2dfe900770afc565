"""What a sweep tells without a terminal."""

from __future__ import annotations

import pytest

from etastar.pilot import Outlook, Pilot, PlainLines, Proposal, RunProgress, SweepProgress
from etastar.pilot._screen import duration_text
from etastar.schedule import parse_schedule

PILOT = Pilot("wsd_1", parse_schedule("linear:peak=0.1,horizon=1000"))


def progress(step: float | None, begin: int = 0, outlook: Outlook | None = None) -> SweepProgress:
    loss, left = (None, None) if step is None else (2.5, 3700.0)
    run = RunProgress(PILOT, step, loss, begin, left)
    return SweepProgress((run,), 2, 3000, 9000, 40_000, 0.01, outlook, choosing=False)


def test_each_quarter_of_a_run_is_a_line(capsys):
    shown = PlainLines()
    for step in (None, 10.0, 250.0, 260.0, 600.0, 600.0, 1000.0):
        shown.show(progress(step))
    assert capsys.readouterr().err.splitlines() == [
        "wsd_1: step 250/1000, lr 0.075, loss 2.5, 1:01:40 left",
        "wsd_1: step 600/1000, lr 0.04, loss 2.5, 1:01:40 left",
    ]


def test_quarters_of_a_branch_are_those_of_what_it_runs_itself(capsys):
    shown = PlainLines()
    for step in (None, 800.0, 849.0, 850.0):
        shown.show(progress(step, begin=800))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wsd_1: step 850/1000,")


def test_the_outlook_is_told_when_it_changes(capsys):
    shown = PlainLines()
    first, second = (Outlook("cosine", peak, 2.0, 1.9, 2.1) for peak in (0.1, 0.2))
    for outlook in (None, first, first, None, second):
        shown.show(progress(10.0, outlook=outlook))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" gives")[0] for line in lines] == [
        "so far: cosine with peak LR 0.1",
        "so far: cosine with peak LR 0.2",
    ]


def test_the_design_is_one_line_a_pilot(capsys):
    tail = Pilot("tail", parse_schedule("wsd:peak=0.1,horizon=1200,cooldown=200"), 0, "a", 1000)
    PlainLines().design(
        Proposal((PILOT, tail), None, (float("nan"), 0.125), "two pilots"), [1000, 200], 40_000
    )
    first, second, reason = capsys.readouterr().err.splitlines()
    assert first.startswith("pilot wsd_1:")
    assert first.endswith("not known")
    assert second == (
        "pilot tail: peak LR 0.1, 1,200 steps, 200 paid (1,200 so far), 90% at 40,000 then ± 12.5%"
    )
    assert reason == "Two pilots."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (float("inf"), "-"), (5, "0:05"), (61, "1:01"), (3600, "1:00:00"),
     (3e5, "3 days")],
)  # fmt: skip
def test_durations_are_said_in_whole_words(seconds, text):
    assert duration_text(seconds) == text
