"""What a sweep of pilots shows on a terminal."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from etastar.pilot import (
    Finished,
    Outlook,
    Pilot,
    Proposal,
    RunProgress,
    SweepProgress,
    SweepResult,
)
from etastar.report import LiveSweep, design_summary, sweep_summary
from etastar.report._pilot import progress_table
from etastar.runs import Run
from etastar.schedule import parse_schedule

TRUNK = Pilot("trunk", parse_schedule("constant:peak=0.1,horizon=1000"))
TAIL = Pilot("tail", parse_schedule("wsd:peak=0.1,horizon=1200,cooldown=200"), 0, "trunk", 1000)
PROPOSAL = Proposal((TRUNK, TAIL), 0.5, (float("nan"), 0.1), "two pilots")


def shown(renderable: object) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def row_of(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(name)]
    return line.split()


def progress(outlook: Outlook | None = None) -> SweepProgress:
    pilot = Pilot("wsd_1", parse_schedule("linear:peak=0.1,horizon=1000"))
    runs = (RunProgress(pilot, 500.0, 2.5, 0, 3700.0), RunProgress(TAIL, None, None, 1000, None))
    return SweepProgress(runs, 2, 3000, 9000, 40_000, 0.01, outlook, choosing=True)


def test_the_design_shows_what_each_pilot_pays_and_the_interval_after_it():
    text = shown(design_summary(PROPOSAL, [1000, 200], 40_000))
    paid = ["0.1", "1,200", "200", "1,200"]  # peak, steps, paid, paid so far
    assert row_of(text, "tail") == ["tail", "wsd", "from", "1k", *paid, "±", "10.0%"]
    assert row_of(text, "trunk")[-2:] == ["1k", "-"]  # nothing is expected of it
    assert "Two pilots." in text


def test_a_run_is_one_line_with_rate_step_part_loss_and_time_left():
    text = shown(progress_table(progress()))
    assert row_of(text, "wsd_1") == ["wsd_1", "0.05", "500/1,000", "50%", "2.5", "1:01:40"]
    assert row_of(text, "tail") == ["tail", "0.1", "1,000/1,200", "0%", "-", "-"]
    assert "2 runs ended, 3,000 of 9,000 steps paid, choosing the next" in text


def test_the_outlook_stands_below_the_runs():
    text = shown(progress_table(progress(Outlook("cosine", 0.1, 2.0, 1.99, 2.01))))
    assert "so far: cosine with peak LR 0.1 gives loss 2 ± 0.01 (90%) at 40,000 steps" in text


def test_events_stay_above_the_table():
    file = io.StringIO()
    screen = LiveSweep(Console(width=100, force_terminal=True, file=file))
    screen.design(PROPOSAL, [1000, 200], 40_000)
    screen.show(progress())
    screen.say("trunk: finished")
    screen.close()
    text = file.getvalue()
    assert text.index("tail") < text.index("wsd_1") < text.index("trunk: finished")


def test_the_end_says_what_was_run_why_it_stopped_and_what_to_type_next():
    run = Run("trunk", np.array([10.0, 20.0]), np.array([3.0, 2.0]), TRUNK.schedule)
    good, bad = Finished(TRUNK, run), Finished(TAIL, run, diverged=True)
    lost = Finished(TAIL, None)
    result = SweepResult((good, bad, lost, lost), 1600, 0.1, None, "the list is done")
    assert sweep_summary(result, "etastar plan x").splitlines() == [
        "1 pilot finished, 1 diverged, 2 set aside, 1,600 steps: the list is done",
        "next: etastar plan x",
    ]
    result = SweepResult((bad,), 100, None, None, "")
    assert sweep_summary(result, "etastar plan x") == "0 pilots finished, 1 diverged, 100 steps"
