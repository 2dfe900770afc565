"""Sweeps without faults: what is run, what is left, what goes on."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from etastar.pilot import Outlook, Silent
from etastar.runs import read_runs
from etastar.schedule import InputError


def four(bench):
    specs = [
        "cosine:peak=0.1,horizon=200",
        "wsd:peak=0.05,horizon=200,cooldown=0.2",
        "join:constant:peak=0.1,horizon=100 then linear:peak=0.1,horizon=80",
        "table:knots=0:0.0/50:0.1/160:0.02",
    ]
    return [bench.pilot(f"run{i}", spec, seed=i) for i, spec in enumerate(specs)]


def test_each_pilot_is_run_once_and_readers_find_it_with_its_schedule(bench):
    pilots = four(bench)
    swept, said = bench.sweep(pilots, jobs=2)
    assert [ended.pilot for ended in swept.finished] == pilots
    assert swept.steps == 200 + 200 + 180 + 160
    runs = {run.name: run for run in read_runs(bench.out)}
    assert set(runs) == {"run0", "run1", "run2", "run3"}
    for pilot in pilots:
        assert runs[pilot.name].schedule == pilot.schedule
        steps = np.arange(pilot.steps)
        assert np.array_equal(runs[pilot.name].schedule(steps), pilot.schedule(steps))
        assert runs[pilot.name].final_step == pilot.steps
        assert runs[pilot.name].metadata["seed"] == pilot.seed
    assert sum("finished" in line for line in said) == 4


def test_the_same_call_again_runs_nothing_and_more_pilots_run_only_themselves(bench):
    pilots = four(bench)
    bench.sweep(pilots[:2])
    again, said = bench.sweep(pilots[:2])
    assert len(bench.told("start")) == 2
    assert len(again.finished) == 2
    assert any("2 ended runs kept" in line for line in said)
    bench.sweep(pilots[:3])
    assert sorted(bench.told("start")) == ["run0", "run1", "run2"]


def test_a_reader_finds_ended_runs_only_at_every_moment(bench, monkeypatch):
    """`etastar plan` reads the folder while runs are under way."""
    monkeypatch.setenv("ROW_SECONDS", "0.01")
    seen = []

    class Reader(Silent):
        def show(self, progress):
            if (bench.out / "runs.csv").exists():
                seen.append([run.name for run in read_runs(bench.out)])

    bench.sweep(four(bench), jobs=1, show=Reader())
    assert len(seen) >= 3
    for names in seen:
        assert names == [f"run{i}" for i in range(len(names))]


def test_the_budget_is_not_exceeded(bench):
    swept, _ = bench.sweep(four(bench), budget=450)
    assert swept.steps == 400
    assert "budget" in swept.reason
    assert bench.told("start") == ["run0", "run1"]


def test_the_sweep_stops_at_the_interval_asked(bench):
    def ahead(runs):
        return Outlook("cosine", 0.1, 2.0, 2 - width, 2 + width) if runs else None

    # Listed says 0.1 / (1 + runs) of the loss, 2 here: 0.1, 0.067, 0.05 after one, two, three.
    width = 0.01
    swept, _ = bench.sweep(four(bench), interval=0.07, ahead=ahead)
    assert len(swept.finished) == 2
    assert "0.07" in swept.reason
    width = 0.08  # what the law of the runs says counts too
    swept, _ = bench.sweep(four(bench), interval=0.07, ahead=ahead)
    assert len(swept.finished) == 4


@pytest.mark.parametrize("takes_resume", [True, False])
def test_a_branch_starts_from_its_parents_checkpoint_where_the_command_can(bench, takes_resume):
    trunk = bench.pilot("trunk", "constant:peak=0.1,horizon=100")
    rest = {"parent": "trunk", "branch_step": 100}
    branch = bench.pilot("branch", "wsd:peak=0.1,horizon=160,cooldown=60", **rest)
    words = ["{resume}", "{checkpoints}"] if takes_resume else []
    swept, _ = bench.sweep([branch, trunk], train=[*bench.command, *words], jobs=2)
    ends = (bench.folder / "told").read_text()
    if takes_resume:
        assert bench.told("start") == ["trunk", "branch"]
        assert "end branch from 100" in ends
        assert swept.steps == 160
        assert read_runs(bench.out / "branch.csv")[0].step[0] == 100
    else:
        assert "end branch from 0" in ends
        assert swept.steps == 260


FUNCTION = """
import json
def train(schedule, seed, out, *, steps, resume=None, name="x"):
    with open(f"{out}.jsonl", "w") as log:
        for step in range(0, steps + 1, 20):
            loss = 2.0 + schedule(step) + 0.1 * seed
            log.write(json.dumps({"step": step, "loss": loss}) + "\\n")
def strange(schedule, out, flavour): pass
"""


def test_a_function_is_called_in_a_process_of_its_own(bench, monkeypatch):
    (bench.folder / "mytraining.py").write_text(FUNCTION)
    monkeypatch.chdir(bench.folder)
    monkeypatch.syspath_prepend(str(bench.folder))
    import mytraining  # pyright: ignore[reportMissingImports]

    swept, _ = bench.sweep([bench.pilot("one", seed=3)], train=mytraining.train)
    (ended,) = swept.finished
    assert ended.run is not None
    assert ended.run.final_loss == pytest.approx(2.3)
    with pytest.raises(InputError, match="flavour"):
        bench.sweep([], train=mytraining.strange)
    with pytest.raises(InputError, match="top level of a file"):
        bench.sweep([], train=lambda schedule, out: None)


def test_a_function_of_a_script_is_found_without_running_the_script(bench):
    script = bench.folder / "script.py"
    script.write_text(
        FUNCTION
        + """
if __name__ == "__main__":
    import sys
    from etastar.pilot import Pilot, Proposal, run_pilots
    from etastar.schedule import parse_schedule
    class One:
        def propose(self, finished, running, steps_left):
            made = Pilot("one", parse_schedule("linear:peak=0.1,horizon=100"))
            todo = () if finished or running else (made,)
            return Proposal(todo, None, (1.0,) * len(todo), "one run")
    swept = run_pilots(train, horizon=1000, budget=100, out=sys.argv[1], designer=One(),
                       ahead=lambda runs: None)
    print(len(swept.finished), "jax" in sys.modules)
"""
    )
    done = subprocess.run(
        [sys.executable, script, bench.out], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 False\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no training command"),
        (["no-such-program", "{schedule}", "{out}"], "is not found"),
        (["true", "{out}"], "neither {schedule}"),
        (["true", "{spec}"], "does not name {out}"),
        (["true", "{shedule}", "{spec}", "{out}"], "did you mean {schedule}"),
    ],
)
def test_a_command_that_cannot_work_is_refused_before_any_step(bench, words, told):
    with pytest.raises(InputError, match=told):
        bench.sweep([], train=words)
    assert not bench.out.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon": 0},
        {"budget": 0},
        {"interval": -1.0},
        {"patience": float("nan")},
        {"retries": -1},
        {"jobs": 0},
        {"results": "memory://x"},
    ],
)
def test_arguments_out_of_range_are_refused_by_name(bench, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        bench.sweep([], **wrong)


def test_another_horizon_for_the_same_folder_needs_force(bench):
    bench.sweep([bench.pilot("a")])
    with pytest.raises(InputError, match=r"horizon 1000, now 2000.*--force"):
        bench.sweep([bench.pilot("b")], horizon=2000)
    swept, _ = bench.sweep([bench.pilot("a"), bench.pilot("b")], horizon=2000, force=True)
    assert {ended.pilot.name for ended in swept.finished} == {"a", "b"}
    assert bench.told("start") == ["a", "b"]


def test_a_folder_of_other_logs_is_left_alone(bench):
    bench.out.mkdir()
    (bench.out / "runs.csv").write_text("run,schedule\nmine,\n")
    with pytest.raises(InputError, match="name another --out"):
        bench.sweep([bench.pilot("a")])
    assert (bench.out / "runs.csv").read_text() == "run,schedule\nmine,\n"


def test_a_damaged_state_file_is_told_and_left_alone(bench):
    bench.sweep([bench.pilot("a")])
    (bench.out / "pilots.json").write_text('{"format": "etastar.pilots", "version": 1, "pil')
    with pytest.raises(InputError, match=r"pilots\.json: not the state of a sweep"):
        bench.sweep([bench.pilot("a")])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", "", "/inner.csv", "/trainer_state.json"])
def test_logs_are_found_where_the_training_puts_them(bench, suffix):
    writer = bench.folder / "writer.py"
    writer.write_text(
        """
import json, os, sys
out, suffix = sys.argv[2:]
path = out + suffix
os.makedirs(os.path.dirname(path), exist_ok=True)
rows = [{"step": step, "loss": 3 - step / 200} for step in range(0, 201, 20)]
with open(path, "w") as log:
    if path.endswith("state.json"):
        state = [{"step": r["step"], "eval_loss": r["loss"]} for r in rows]
        json.dump({"global_step": 200, "log_history": state}, log)
    elif suffix == ".jsonl":
        log.writelines(json.dumps(row) + "\\n" for row in rows)
    else:
        log.write("step,loss\\n" + "".join(f"{r['step']},{r['loss']}\\n" for r in rows))
"""
    )
    words = [sys.executable, str(writer), "{schedule}", "{out}", suffix]
    bench.sweep([bench.pilot("a")], train=words)
    (run,) = read_runs(bench.out)
    assert (run.name, run.final_step, run.final_loss) == ("a", 200, 2.0)


def test_the_state_file_says_what_was_run(bench):
    bench.sweep([bench.pilot("a", seed=5)])
    state = json.loads((bench.out / "pilots.json").read_text())
    assert state["settings"]["horizon"] == 1000
    (entry,) = state["pilots"]
    assert (entry["name"], entry["status"], entry["log"]) == ("a", "finished", "a.csv")
    assert (entry["seed"], entry["steps"], entry["schedule"]["kind"]) == (5, 200, "cosine")


def test_a_function_starts_without_jax_or_what_draws_tables(bench):
    (bench.folder / "bare.py").write_text(
        "import sys\n"
        "def train(spec, out):\n"
        "    print(sorted({'jax', 'rich', 'polars', 'scipy'} & set(sys.modules)))\n"
    )
    words = [str(bench.folder / "bare.py"), "train", "spec=x", "out=y"]
    done = subprocess.run(
        [sys.executable, "-m", "etastar.pilot._call", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
