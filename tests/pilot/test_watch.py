"""What is seen of a run under way, by a clock that the test moves, and what is asked of a designer.

No process is started: the files of a run are written by hand.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etastar.pilot import Finished, Outlook, Pilot, Proposal, Silent, _process, _watch
from etastar.pilot._advice import Advice
from etastar.pilot._conclusion import Conclusion
from etastar.pilot._judgement import Ending
from etastar.pilot._queue import PilotQueue
from etastar.pilot._record import PilotRecord, PilotStatus
from etastar.pilot._store import PilotStore
from etastar.pilot._watch import RunWatch, ending_of
from etastar.schedule import InputError, parse_schedule


class Bed:
    """One run's folder, its watch, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.store = PilotStore(folder, {})
        pilot = Pilot("a", parse_schedule("cosine:peak=0.1,horizon=200"))
        self.record = self.store.records["a"] = PilotRecord(pilot)
        self.run = self.store.runs / "a"
        self.run.mkdir(parents=True)
        self.rows = "step,loss\n"

    def begin(self) -> None:
        (self.run / "process").write_text("1 1")
        (self.run / _process.OUTPUT).touch()

    def row(self, step: int, loss: float = 2.0) -> None:
        self.rows += f"{step},{loss}\n"
        (self.run / "log.csv").write_text(self.rows)


@pytest.fixture
def bed(tmp_path, monkeypatch) -> Bed:
    made = Bed(tmp_path)
    monkeypatch.setattr(_watch.time, "monotonic", lambda: made.now)
    return made


def test_silence_counts_from_the_last_row_and_before_it_from_the_last_sign_of_life(bed):
    watch = RunWatch(bed.record, bed.store)
    bed.begin()
    watch.look()
    bed.now += 50
    assert watch.silence() == 50
    (bed.run / _process.OUTPUT).write_text("compiling")
    watch.look()
    assert watch.silence() == 0
    bed.now += 10
    bed.row(0)
    watch.look()
    bed.now += 70
    (bed.run / _process.OUTPUT).write_text("waiting for data, as it prints for ever")
    watch.look()
    assert watch.silence() == 70  # rows count once there are any
    assert watch.longest_gap == 0
    bed.row(10)
    watch.look()
    assert (watch.silence(), watch.longest_gap) == (0, 70)


def test_a_run_that_waits_for_a_place_in_the_cluster_is_not_silent(bed):
    watch = RunWatch(bed.record, bed.store)
    bed.now += 9999
    watch.look(waits=True)
    assert watch.silence() == 0
    bed.begin()
    bed.row(0)
    watch.look()
    assert watch.status is not None
    bed.now += 30
    watch.look(waits=True)  # its node died, and it is queued again
    bed.now += 9999
    watch.look(waits=True)
    assert watch.silence() == 0
    assert watch.status is None  # it begins anew, and may compile for long
    bed.now += 50
    watch.look()
    assert watch.silence() == 0
    bed.now += 20
    watch.look()
    assert watch.silence() == 20


def test_the_time_left_is_that_of_its_pace(bed):
    watch = RunWatch(bed.record, bed.store)
    bed.begin()
    bed.row(0)
    watch.look()
    assert watch.progress().seconds_left is None  # one row has no pace
    bed.now += 10
    bed.row(50, 1.5)
    watch.look()
    bed.now += 4
    seen = watch.progress()
    assert (seen.step, seen.loss, seen.part) == (50, 1.5, 0.25)
    assert seen.seconds_left == pytest.approx(150 / 5 - 4)


def test_a_log_that_cannot_be_read_yet_is_looked_at_again(bed):
    watch = RunWatch(bed.record, bed.store)
    bed.begin()
    (bed.run / "log.csv").write_bytes(b"\0\xff")
    watch.look()
    assert watch.status is None
    bed.row(10)
    watch.look()
    assert watch.status is not None
    assert watch.status.step == 10


def test_what_is_left_of_a_run(bed):
    assert ending_of(bed.store, bed.record) == Ending()
    bed.row(0)
    bed.row(200)
    (bed.run / "exit").write_text("3\n")
    (bed.run / _process.OUTPUT).write_text("one\ntwo\n\nthree\nfour\n")
    left = ending_of(bed.store, bed.record, "a node died")
    assert (left.exit_code, left.printed, left.taken_by) == (3, "two | three | four", "a node died")
    assert left.log is not None
    assert left.run is not None
    assert left.log.step == left.run.final_step == 200
    (bed.run / "log.csv").write_bytes(b"\0\xff" * 9)
    left = ending_of(bed.store, bed.record)
    assert left.log is None
    assert "binary data" in left.unreadable


def test_a_full_disk_is_not_taken_for_a_hang(bed, monkeypatch):
    """A run that hung after its last row has finished; that its log cannot be kept stops all."""
    queue = PilotQueue(bed.store.records, 1000, branches=False)
    conclusion = Conclusion(bed.store, queue, Silent(), retries=2)
    watch = RunWatch(bed.record, bed.store)
    bed.row(0)
    bed.row(200)

    def full(*args):
        raise InputError("a.csv: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bed.store, "publish", full)
        with pytest.raises(InputError, match="No space left"):
            conclusion.hung(watch, 300.0)
    assert bed.record.hangs == 0
    conclusion.hung(watch, 300.0)
    assert bed.record.status == PilotStatus.FINISHED
    assert not queue


class Asked:
    """A designer that notes what it is asked."""

    def __init__(self) -> None:
        self.left: list[int] = []

    def propose(self, finished, running, steps_left: int) -> Proposal:
        self.left.append(steps_left)
        return Proposal((), 0.1, (), f"answer {len(self.left)}")


def test_advice_is_asked_at_the_start_and_after_each_end(bed):
    designer = Asked()
    advice = Advice(designer, lambda runs: Outlook("cosine", 0.1, 2.0, 1.9, 2.1))
    assert advice.take() is None
    assert advice.is_due(frozenset())
    with ThreadPoolExecutor(1) as thread:
        advice.ask(thread, [], [], 7)
        assert advice.pending
        assert not advice.is_due(frozenset())
        assert advice.is_due(frozenset({"a"}))
    proposal = advice.take()
    assert proposal is not None
    assert proposal.reason == "answer 1"
    assert advice.outlook is not None
    assert advice.take() is None
    assert not advice.pending
    with ThreadPoolExecutor(1) as thread:
        advice.ask(thread, [Finished(bed.record.pilot, None)], [], 3)
    assert not advice.is_due(frozenset({"a"}))
    assert designer.left == [7, 3]


def test_what_a_designer_raises_is_raised_where_its_answer_is_taken():
    class Broken:
        def propose(self, finished, running, steps_left):
            raise InputError("no LR is best")

    advice = Advice(Broken(), lambda runs: None)
    with ThreadPoolExecutor(1) as thread:
        advice.ask(thread, [], [], 1)
    with pytest.raises(InputError, match="no LR is best"):
        advice.take()
    assert not advice.pending
