"""What is decided about runs, on plain values: no process, no file, no clock."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.pilot import Outlook
from etastar.pilot._judgement import (
    FIRST_ROWS,
    LEAST_PATIENCE,
    Ending,
    Verdict,
    failure_text,
    half_interval,
    is_command_at_fault,
    is_complete,
    is_over,
    is_tried_again,
    paid_steps,
    patience_for,
    verdict_of,
    verdict_of_hung,
)
from etastar.pilot._record import PilotStatus
from etastar.runs import LogStatus, Run
from etastar.schedule import parse_schedule

STEPS = 200
RUN = Run(
    "a", np.array([0.0, 10.0]), np.array([3.0, 2.0]), parse_schedule("constant:peak=1,horizon=200")
)
SAYS_DIVERGED = Run("a", RUN.step, RUN.loss, RUN.schedule, metadata={"status": "diverged"})


def log(step: float, gap: float = 10.0, *, diverged: bool = False, hopeless: bool = False):
    return LogStatus(step, 2.0, gap, diverged, hopeless)


WHOLE, HALF = log(200), log(100)


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        (Ending(0, WHOLE, RUN), Verdict.FINISHED),
        # A whole log counts, however the training ended.
        (Ending(1, WHOLE, RUN, printed="Error in cleanup"), Verdict.FINISHED),
        (Ending(None, WHOLE, RUN), Verdict.FINISHED),
        (Ending(137, WHOLE, RUN, taken_by="a node died"), Verdict.FINISHED),
        (Ending(1, WHOLE, RUN, printed="No space left on device"), Verdict.FINISHED),
        # The last row may lie a gap before the end only where the training says that it is done.
        (Ending(0, log(190), RUN), Verdict.FINISHED),
        (Ending(0, log(189), RUN), Verdict.FAILED),
        (Ending(1, log(199), RUN), Verdict.FINISHED),
        (Ending(1, log(190), RUN), Verdict.FAILED),
        (Ending(None, log(190), RUN), Verdict.FAILED),
        (Ending(0, HALF, RUN), Verdict.FAILED),
        (Ending(0), Verdict.FAILED),
        # Divergence comes before all that a training does in consequence.
        (Ending(0, log(200, diverged=True), RUN), Verdict.DIVERGED),
        (Ending(1, log(50, diverged=True), RUN, printed="Errno 28"), Verdict.DIVERGED),
        (Ending(0, WHOLE, SAYS_DIVERGED), Verdict.DIVERGED),
        (Ending(1, HALF, RUN, printed="loss is nan, stopping"), Verdict.DIVERGED),
        (Ending(0, None, None, printed="the run has DIVERGED"), Verdict.DIVERGED),
        (Ending(1, HALF, RUN, printed="ValueError: loss: inf"), Verdict.DIVERGED),
        (Ending(1, HALF, RUN, printed="lossless nanny diverging"), Verdict.FAILED),
        # A full disk is no fault of the training.
        (Ending(1, HALF, RUN, printed="OSError: [Errno 28] x"), Verdict.DISK_FULL),
        (Ending(1, None, None, printed="Disk quota exceeded"), Verdict.DISK_FULL),
        (Ending(1, HALF, RUN, printed="loss is nan: No space left on device"), Verdict.DISK_FULL),
        # A log that cannot be read is kept where the training says that it is whole.
        (Ending(0, unreadable="binary data"), Verdict.UNREADABLE),
        (Ending(1, unreadable="binary data"), Verdict.FAILED),
        (Ending(0, WHOLE, None, unreadable="two lr columns"), Verdict.UNREADABLE),
        (Ending(1, WHOLE, None, unreadable="two lr columns"), Verdict.UNREADABLE),
        (Ending(1, HALF, None, unreadable="two lr columns"), Verdict.FAILED),
    ],
)
def test_how_a_run_ended(ending, verdict):
    assert verdict_of(ending, STEPS, failed_before=False) is verdict


def test_a_log_that_cannot_be_read_twice_is_kept():
    ending = Ending(1, unreadable="binary data")
    assert verdict_of(ending, STEPS, failed_before=True) is Verdict.UNREADABLE
    assert verdict_of(Ending(1), STEPS, failed_before=True) is Verdict.FAILED  # no log at all


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        (Ending(143, HALF, RUN), Verdict.FAILED),
        (Ending(143), Verdict.FAILED),
        (Ending(143, unreadable="binary data"), Verdict.FAILED),
        (Ending(143, log(199), RUN), Verdict.FINISHED),  # it wrote its last row, then hung
        (Ending(0, log(190), RUN), Verdict.FAILED),  # the code is that of being ended
        (Ending(143, WHOLE, None, unreadable="two lr columns"), Verdict.UNREADABLE),
        (Ending(143, log(100, diverged=True), RUN), Verdict.FAILED),  # one row: perhaps a spike
    ],
)
def test_how_a_hung_run_ended(ending, verdict):
    assert verdict_of_hung(ending, STEPS) is verdict


def test_a_short_gap_still_allows_for_counting_from_one():
    assert is_complete(log(199, gap=0.0), STEPS, 0)
    assert not is_complete(log(198, gap=0.0), STEPS, 0)


def test_a_run_is_over_once_its_log_cannot_change_the_verdict():
    assert is_over(log(50, diverged=True, hopeless=True), STEPS)
    assert is_over(log(199), STEPS)
    assert not is_over(log(50, diverged=True), STEPS)
    assert not is_over(log(198), STEPS)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(1, HALF, printed="a | b"), "exit 1 after step 100 of 200 (a | b)"),
        (Ending(137, HALF), "killed by SIGKILL after step 100 of 200"),
        (Ending(128 + 99), "killed by signal 99 before its first row"),
        (Ending(None, HALF, printed="x"), "killed after step 100 of 200"),
        (Ending(0, HALF), "exit 0, but its log ends after step 100 of 200"),
        (Ending(0), "exit 0, but no log at {out}, {out}.csv or {out}.jsonl"),
        (Ending(1, HALF, taken_by="NodeDied: x"), "lost after step 100 of 200: NodeDied: x"),
    ],
)
def test_a_failure_is_told_in_one_clause(ending, text):
    assert failure_text(ending, STEPS) == text


@pytest.mark.parametrize(
    ("failures", "hangs", "retries", "again"),
    [
        (1, 0, 0, False),
        (1, 0, 1, True),
        (2, 0, 1, False),
        (2, 0, 2, True),
        (3, 0, 2, False),
        (1, 1, 0, True),  # the first hang is no failure
        (2, 1, 0, False),
        (2, 1, 1, True),
        (2, 2, 9, False),  # the second hang is the last
    ],
)
def test_what_is_started_again(failures, hangs, retries, again):
    assert is_tried_again(failures, hangs, retries) is again


def test_the_command_is_at_fault_where_nothing_ever_worked():
    aside, running = PilotStatus.SET_ASIDE, PilotStatus.RUNNING
    assert is_command_at_fault([aside] * 3)
    assert is_command_at_fault([aside, running, aside, aside])
    assert not is_command_at_fault([aside] * 2 + [running] * 5)
    for good in (PilotStatus.FINISHED, PilotStatus.DIVERGED):
        assert not is_command_at_fault([aside] * 9 + [good])


def test_patience():
    assert patience_for(7.0, False, 0.0, []) == 7.0  # what is asked for holds from the start on
    assert patience_for(7.0, True, 100.0, [100.0]) == 7.0
    assert patience_for(None, False, 0.0, [50.0]) == FIRST_ROWS
    assert patience_for(None, True, 0.0, [0.0, 50.0]) == FIRST_ROWS  # its gap is not known yet
    assert patience_for(None, True, 2.0, [2.0]) == LEAST_PATIENCE
    assert patience_for(None, True, 20.0, [20.0, 40.0]) == 800.0  # the slowest neighbour counts


def test_updates_of_a_branch_are_those_after_its_start():
    assert paid_steps(160.0, 100) == 60
    assert paid_steps(99.6, 0) == 100
    assert paid_steps(0.0, 100) == 0  # diverged before its first row


def test_half_the_interval_is_the_larger_of_two_answers():
    ahead = Outlook("cosine", 0.1, 2.0, 1.9, 2.1)
    assert half_interval(ahead, None) == pytest.approx(0.1)
    assert half_interval(ahead, 0.01) == pytest.approx(0.1)
    assert half_interval(ahead, 0.2) == pytest.approx(0.4)  # a part of the loss
    assert half_interval(None, 0.2) is None
