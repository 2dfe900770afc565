"""Two processes on gloo: one LR on all ranks, one log, a resume by another number of them."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from etastar.runs import read_runs
from etastar.schedule import parse_schedule

SCRIPT = Path(__file__).with_name("distributed_training.py")
LR = parse_schedule("wsd:peak=0.1,horizon=24,warmup=4,cooldown=8")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    command = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout)


def lrs(rank):
    return [row[2] for row in rank["rows"]]


def test_all_ranks_have_the_planned_lr_and_different_halves_of_each_batch(found):
    ranks = found[1]["whole"]
    assert lrs(ranks[0]) == lrs(ranks[1]) == [LR(t) for t in range(24)]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    stream = []
    for one, other in zip(ranks[0]["rows"], ranks[1]["rows"], strict=True):
        assert len(one[3]) == len(other[3]) == 4
        assert not set(one[3]) & set(other[3])
        stream += one[3] + other[3]
    assert len(stream) == 24 * 8
    assert len(set(stream[:96])) == 96  # whole batches of the first epoch of 101 samples


def test_a_resumed_run_is_the_uninterrupted_one(found):
    whole, first, second = (found[1][name] for name in ("whole", "first half", "second half"))
    for rank in range(2):
        assert first[rank]["rows"] + second[rank]["rows"] == whole[rank]["rows"]
        assert second[rank]["weights"] == whole[rank]["weights"]


def test_in_steps_one_process_goes_on_with_the_same_batches_and_lrs(found):
    whole, (alone,) = found[1]["whole"], found[1]["second half alone, in steps"]
    assert lrs(alone) == [LR(t) for t in range(12, 24)]
    for row, *parts in zip(alone["rows"], *(rank["rows"][12:] for rank in whole), strict=True):
        assert sorted(row[3]) == sorted(parts[0][3] + parts[1][3])


def test_in_samples_one_process_takes_more_updates_over_the_same_samples(found):
    first = found[1]["first half, in samples"][0]
    (alone,) = found[1]["second half alone, in samples"]
    rows = first["rows"] + alone["rows"]
    assert [row[2] for row in rows] == [LR(row[1] / 8) for row in rows]
    assert {after[1] - before[1] for before, after in pairwise(first["rows"])} == {8}
    assert {after[1] - before[1] for before, after in pairwise(alone["rows"])} == {4}
    assert alone["rows"][0][1] == 12 * 8
    assert alone["rows"][-1][1] + 4 == 24 * 8


def test_one_log_is_written_for_all_processes(found):
    (run,) = read_runs(found[0] / "steps.jsonl")
    assert run.schedule == LR
    np.testing.assert_array_equal(run.step, np.arange(1, 25))
    text = (found[0] / "samples.jsonl").read_text()
    assert text.count("etastar_run") == 1
    assert text.count('"step"') == 12 + 24


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_a_ramp_goes_on_with_another_number_of_processes(found, first, second):
    """The samples, LRs and batches are those of two processes from the begin to the end."""
    whole = found[1]["ramp"]
    name = f"ramp, {first} then {second}"
    parts = [found[1][f"{name}: {which}"] for which in ("first", "second")]
    assert [len(part) for part in parts] == [first, second]
    rows = [list(zip(*(rank["rows"] for rank in part), strict=True)) for part in parts]
    seen = [row for part in rows for row in part]
    wanted = list(zip(*(rank["rows"] for rank in whole), strict=True))
    assert len(rows[0]) == 9
    assert len(seen) == len(wanted) > 15
    for got, want in zip(seen, wanted, strict=True):
        assert got[0][:3] == want[0][:3]  # step, samples seen, LR
        assert sorted(place for rank in got for place in rank[3]) == sorted(want[0][3] + want[1][3])
        assert len({tuple(rank[:3]) for rank in got}) == 1


def test_a_ramp_ends_with_the_samples_and_each_lr_is_that_of_its_samples(found):
    (rows, others) = (rank["rows"] for rank in found[1]["ramp"])
    sizes = [len(one[3]) + len(other[3]) for one, other in zip(rows, others, strict=True)]
    assert sizes[0] == 4
    assert sizes == sorted(sizes[:-1]) + sizes[-1:]  # the last may be cut to the end
    assert max(sizes) > 12
    assert [row[1] for row in rows] == [sum(sizes[:i]) for i in range(len(sizes))]
    assert sum(sizes) == 24 * 8
    assert [row[2] for row in rows] == [LR(row[1] / 8) for row in rows]


def test_one_log_of_a_ramp_is_written_though_the_number_of_processes_changes(found):
    lines = (found[0] / "ramp, 1 then 2.jsonl").read_text().splitlines()
    assert sum("etastar_run" in line for line in lines) == 1
    steps = [json.loads(line)["step"] for line in lines if '"step"' in line]
    assert steps == list(range(1, len(found[1]["ramp"][0]["rows"]) + 1))


def test_fsdp_with_a_ramp_has_the_planned_lr_and_momentum_and_resumes(found):
    whole, resumed = found[1]["FSDP"], found[1]["FSDP resumed"]
    assert lrs(whole[0]) == lrs(whole[1]) == lrs(resumed[0]) == [LR(t) for t in range(24)]
    beta = parse_schedule("linear:peak=0.9,horizon=24")
    assert [row[4] for row in resumed[1]["rows"]] == [beta(t) for t in range(24)]
    assert resumed[0]["weights"] == resumed[1]["weights"] == whole[0]["weights"]
    assert len(whole[0]["rows"][0][3]) == 2
    assert len(whole[0]["rows"][23][3]) >= 7


def test_a_training_under_fsdp_goes_on_in_one_process(found):
    begun, (alone,) = found[1]["FSDP begun"], found[1]["FSDP, then one"]
    whole = found[1]["FSDP"]
    assert begun[0]["rows"] == whole[0]["rows"][:11]
    assert lrs(alone) == [LR(t) for t in range(11, 24)]
    for row, *parts in zip(alone["rows"], *(rank["rows"][11:] for rank in whole), strict=True):
        assert row[0] == parts[0][0]
        assert sorted(row[3]) == sorted(parts[0][3] + parts[1][3])
        assert row[4] == parts[0][4]
    np.testing.assert_allclose(alone["weights"], whole[0]["weights"], rtol=1e-4, atol=1e-6)


FRAMEWORKS = Path(__file__).with_name("framework_processes.py")


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["transformers", "lightning"])
def test_a_trainer_in_two_processes_goes_on_in_one_and_the_other_way(framework, tmp_path):
    """One log, and the LR of every update, whoever makes it."""
    pytest.importorskip(framework)
    command = [sys.executable, str(FRAMEWORKS), str(tmp_path), framework]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    schedule = parse_schedule("wsd:peak=0.1,horizon=12,warmup=3,cooldown=4")
    planned = [[step, schedule(step)] for step in range(12)]
    assert {name: len(ranks) for name, ranks in found.items()} == {"2": 2, "21": 1, "1": 1, "12": 2}
    for first, second in (("2", "21"), ("1", "12")):
        assert all(rows == planned[:6] for rows in found[first])
        assert all(rows == planned[6:] for rows in found[second])
        (log,) = tmp_path.glob(f"{first} then *.jsonl")
        lines = log.read_text().splitlines()
        assert sum("etastar_run" in line for line in lines) == 1
        assert [json.loads(line)["step"] for line in lines[1:]] == list(range(1, 13))
        (run,) = read_runs(log)
        assert (run.schedule, run.batch_size) == (schedule, 8)
