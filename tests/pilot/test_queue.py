"""Which pilot starts next, on plain records."""

from __future__ import annotations

from etastar.pilot import Pilot, Proposal
from etastar.pilot._queue import PilotQueue
from etastar.pilot._record import PilotRecord, PilotStatus
from etastar.schedule import parse_schedule

TRUNK = Pilot("trunk", parse_schedule("constant:peak=0.1,horizon=100"))
TAIL = Pilot("tail", parse_schedule("wsd:peak=0.1,horizon=160,cooldown=60"), 0, "trunk", 100)
LINEAR = Pilot("linear", parse_schedule("linear:peak=0.1,horizon=80"))


def queue_of(
    *records: PilotRecord, budget: int = 1000, branches: bool = True, wanted=(TAIL, TRUNK, LINEAR)
) -> PilotQueue:
    queue = PilotQueue({each.pilot.name: each for each in records}, budget, branches)
    queue.propose(Proposal(tuple(wanted), None, (0.1,) * len(wanted), ""))
    return queue


def test_a_branch_waits_for_its_parent_and_others_do_not():
    queue = queue_of()
    assert queue.next() is TRUNK
    running = queue_of(PilotRecord(TRUNK))
    assert running.next() is LINEAR
    assert running.next() is None
    assert list(running.proposed) == [TAIL]
    for status in (PilotStatus.FINISHED, PilotStatus.DIVERGED, PilotStatus.SET_ASIDE):
        assert queue_of(PilotRecord(TRUNK, status)).next() is TAIL
    assert queue_of(wanted=[TAIL]).next() is TAIL  # a parent that nobody wants is not waited for


def test_without_checkpoints_nothing_waits_and_all_is_paid():
    queue = queue_of(branches=False)
    assert queue.next() is TAIL
    assert queue.cost(TAIL) == 160
    assert queue_of().cost(TAIL) == 60
    assert queue_of().cost(TRUNK) == 100


def test_what_ended_is_paid_and_what_runs_is_counted():
    done = PilotRecord(LINEAR, PilotStatus.DIVERGED, steps=30)
    aside = PilotRecord(Pilot("bad", LINEAR.schedule), PilotStatus.SET_ASIDE, steps=0)
    running = PilotRecord(TRUNK, steps=999)  # of an attempt that is made again
    queue = queue_of(done, aside, running, budget=500)
    assert queue.paid() == 30
    assert queue.left([TRUNK, TAIL]) == 500 - 30 - 100 - 60


def test_what_was_started_is_not_wanted_again():
    queue = queue_of(PilotRecord(LINEAR, PilotStatus.FINISHED))
    assert list(queue.proposed) == [TAIL, TRUNK]
    assert queue
    queue.propose(Proposal((LINEAR,), None, (0.1,), ""))
    assert not queue
    queue.again.append(PilotRecord(TRUNK))
    assert queue


def test_checkpoints_are_where_others_start_and_ends_that_are_not_annealed():
    queue = queue_of()
    assert queue.checkpoints(TRUNK) == (100,)
    assert queue.checkpoints(LINEAR) == ()
    assert queue_of(wanted=[]).checkpoints(TRUNK) == (100,)  # one that is designed later may
    assert queue_of(wanted=[]).checkpoints(TAIL) == ()
    early = Pilot("early", parse_schedule("wsd:peak=0.1,horizon=70,cooldown=20"), 0, "trunk", 50)
    assert queue_of(PilotRecord(early)).checkpoints(TRUNK) == (50, 100)
