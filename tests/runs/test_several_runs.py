"""Tables that hold several runs: read as many, or refused with the column that tells them apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from etastar.runs import Run, check_together, read_runs
from etastar.schedule import InputError

COSINE = "cosine:peak=1e-3,horizon=100"
STEPS = range(0, 101, 20)


def table(header: str, *rows: tuple[object, ...]) -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def loss(step: int, run: int) -> float:
    return 3 - step / 200 + run


def read(tmp_path, text: str, name: str = "curves.csv", **keys) -> dict[str, Run]:
    (tmp_path / name).write_text(text)
    return {run.name: run for run in read_runs(tmp_path / name, **{"schedule": COSINE, **keys})}


def assert_two(runs: dict[str, Run], *names: str) -> None:
    """Two runs of the losses above, each with all steps."""
    assert tuple(runs) == names
    for i, run in enumerate(runs.values()):
        np.testing.assert_array_equal(run.step, STEPS)
        np.testing.assert_allclose(run.loss, [loss(s, i) for s in STEPS])


@pytest.mark.parametrize("column", ["run", "run_name", "Name", "exp_name", "trial_id", "Run ID"])
@pytest.mark.parametrize("together", [True, False])
def test_a_column_of_names_tells_runs_apart_in_any_order(tmp_path, column, together):
    rows = [(f"width{i}", s, loss(s, i)) for i in (0, 1) for s in STEPS]
    if not together:
        rows.sort(key=lambda row: row[1])
    assert_two(read(tmp_path, table(f"{column},step,loss", *rows)), "width0", "width1")


def test_a_seed_tells_runs_apart_and_names_them(tmp_path):
    text = table("step,loss,seed", *((s, loss(s, i), 7 + i) for s in STEPS for i in (0, 1)))
    runs = read(tmp_path, text)
    assert_two(runs, "curves seed=7", "curves seed=8")
    assert runs["curves seed=8"].metadata["seed"] == 8


def test_json_lines_of_several_runs(tmp_path):
    rows = [{"run": f"r{i}", "step": s, "loss": loss(s, i)} for i in (0, 1) for s in STEPS]
    text = "\n".join(map(json.dumps, rows)) + "\n"
    assert_two(read(tmp_path, text, "curves.jsonl"), "r0", "r1")


def test_columns_that_tell_runs_apart_only_together(tmp_path):
    cells = [(m, seed) for m in "xy" for seed in (1, 2)]
    rows = [(*cell, s, loss(s, i)) for i, cell in enumerate(cells) for s in STEPS]
    runs = read(tmp_path, table("model,seed,step,loss", *rows))
    assert list(runs) == [f"curves model={m} seed={seed}" for m, seed in cells]
    assert [run.final_loss for run in runs.values()] == [loss(100, i) for i in range(4)]


def test_constant_columns_declare_a_run(tmp_path):
    rows = [
        (f"r{i}", f'"{COSINE.replace("1e-3", f"{i + 1}e-3")}"', 32 * (i + 1), s, loss(s, i))
        for i in (0, 1)
        for s in STEPS
    ]
    runs = read(tmp_path, table("run,schedule,batch_size,step,loss", *rows), schedule=None)
    assert_two(runs, "r0", "r1")
    assert [run.schedule.peak for run in runs.values()] == [1e-3, 2e-3]
    assert [run.batch_size for run in runs.values()] == [32, 64]


def test_runs_csv_declares_the_runs_of_one_table(tmp_path):
    rows = [(f"r{i}", s, loss(s, i)) for i in (0, 1) for s in STEPS]
    (tmp_path / "curves.csv").write_text(table("run,step,loss", *rows))
    specs = [COSINE, COSINE.replace("1e-3", "2e-3")]
    (tmp_path / "runs.csv").write_text(
        table("run,schedule", *((f"r{i}", f'"{spec}"') for i, spec in enumerate(specs)))
    )
    runs = read_runs(tmp_path)
    assert [run.schedule.peak for run in runs] == [1e-3, 2e-3]
    assert all(run.caveats == () for run in runs)


def test_a_run_of_the_table_that_was_resumed_stays_one(tmp_path):
    again = [0, 20, 40, 60, 40, 60, 80, 100]
    rows = [(f"r{i}", s, loss(s, i)) for i in (0, 1) for s in again]
    runs = read(tmp_path, table("run,step,loss", *rows))
    assert_two(runs, "r0", "r1")
    assert all("steps go back to 40" in run.caveats[0] for run in runs.values())


def test_a_name_that_changes_while_steps_go_on_is_a_resumed_run(tmp_path):
    rows = [("a" if s < 50 else "b", s, loss(s, 0)) for s in STEPS]
    (run,) = read(tmp_path, table("run,step,loss", *rows)).values()
    assert len(run.step) == len(STEPS)
    assert "names several runs (a, b) whose steps follow one another" in run.caveats[0]


@pytest.mark.parametrize("column", ["width", "epoch", "lr", "rank", "dataset"])
def test_any_other_column_where_steps_start_again_is_named(tmp_path, column):
    rows = [(10 + i, s, loss(s, i)) for i in (0, 1) for s in STEPS]
    with pytest.raises(InputError, match=f"start again where column '{column}' changes .10, 11."):
        read(tmp_path, table(f"{column},step,loss", *rows))


def test_a_resumed_run_is_none_of_this(tmp_path):
    rows = [(s, loss(s, 0), s // 50, 1e-3) for s in [0, 20, 40, 60, 80, 40, 60, 80, 100]]
    (run,) = read(tmp_path, table("step,loss,epoch,lr", *rows)).values()
    np.testing.assert_array_equal(run.step, STEPS)


def test_a_run_that_cannot_be_read_leaves_the_others(tmp_path):
    rows = [(name, s, loss(s, 0) if name != "b" else -1) for name in "abc" for s in STEPS]
    runs = read(tmp_path, table("run,step,loss", *rows))
    assert list(runs) == ["a", "c"]
    assert "curves.csv:8: loss is -1" in runs["a"].caveats[0]


def test_validation_rows_are_taken_where_a_column_tells_them_apart(tmp_path):
    rows = [(s, part, loss(s, part == "val")) for s in STEPS for part in ("train", "val")]
    (run,) = read(tmp_path, table("step,split,loss", *rows)).values()
    np.testing.assert_allclose(run.loss, [loss(s, 1) for s in STEPS])
    assert "'split' tells training from validation rows" in run.caveats[0]
    other = Run("other", run.step, run.loss + 1, run.schedule, metadata={"loss_column": "train"})
    assert any("kind of loss" in caveat for caveat in check_together([run, other]))


PANEL = '"Step","{0}","{0}__MIN","{0}__MAX","{1}","{1}__MIN","{1}__MAX"'


@pytest.mark.parametrize("metric", ["eval/loss", "train/loss", "val_loss"])
def test_an_exported_panel_is_one_run_a_name(tmp_path, metric):
    header = PANEL.format(f"calm-sea-1 - {metric}", f"lr 2e-3 - b - {metric}")
    rows = [(s, *[loss(s, 0)] * 3, *[loss(s, 1)] * 3) for s in STEPS]
    text = "\n".join([header, *(",".join(f'"{c}"' for c in row) for row in rows)]) + "\n"
    assert_two(read(tmp_path, text), "calm-sea-1", "lr 2e-3 - b")
    (alone,) = read(tmp_path, text, loss=f"calm-sea-1 - {metric}").values()
    assert alone.final_loss == loss(100, 0)


def test_a_panel_with_learning_rates_declares_its_runs(tmp_path):
    header = "Step,a - eval/loss,a - train/lr,b - eval/loss,b - train/lr"
    rows = [(s, loss(s, 0), 1e-5 * (100 - s), loss(s, 1), 2e-5 * (100 - s)) for s in STEPS]
    runs = read(tmp_path, table(header, *rows), schedule=None)
    assert_two(runs, "a", "b")
    assert [run.schedule(50) for run in runs.values()] == pytest.approx([5e-4, 1e-3])


def test_a_panel_of_something_else_asks_for_its_name(tmp_path):
    text = table("Step,a - bits,b - bits", *((s, loss(s, 0), loss(s, 1)) for s in STEPS))
    with pytest.raises(InputError, match=r"several runs \(a, b\), each with bits; .* loss="):
        read(tmp_path, text)
    assert_two(read(tmp_path, text, loss="bits"), "a", "b")


@pytest.mark.parametrize(
    "header",
    [
        "run,lr,batch_size,steps,val_loss",
        "Name,learning_rate,global_batch_size,max_steps,eval/loss",
        "run_name,config.lr,config.batch_size,config.max_steps,metrics/final_val_loss",
        "trial,peak_lr,bs,step,loss",
        "run,max_lr,batch,num_steps,last_loss",
    ],
)
def test_a_sweep_under_usual_names_is_one_run_a_row(tmp_path, header):
    rows = [(f"r{i}", 1e-3 * 2**i, 32, 1000, 3 + i) for i in range(3)]
    runs = read(tmp_path, table(header, *rows), schedule="cosine:warmup=10")
    assert list(runs) == ["r0", "r1", "r2"]
    assert [run.schedule.spec for run in runs.values()] == [
        f"cosine:peak={1e-3 * 2**i},horizon=1000,warmup=10" for i in range(3)
    ]
    assert [(run.final_step, run.batch_size) for run in runs.values()] == [(1000, 32)] * 3


def test_a_sweep_without_names_is_known_by_its_rates(tmp_path):
    text = table("lr,steps,val_loss", *((1e-3 * 2**i, 500, 3 + i) for i in range(4)))
    assert len(read(tmp_path, text, schedule="cosine:warmup=10")) == 4


@pytest.mark.parametrize("steps", ["nan", "inf", "0", "-5", "10.5", "1e16", "many"])
def test_steps_of_a_sweep_that_are_none_are_refused_with_their_line(tmp_path, steps):
    text = table("run,lr,steps,final_loss", ("a", 1e-3, 100, 3), ("b", 1e-3, steps, 3))
    with pytest.raises(InputError, match=r"curves.csv:3: steps is"):
        read(tmp_path, text)


def test_a_loss_named_for_a_sweep_may_be_any_column(tmp_path):
    text = table("run,lr,steps,final_loss", ("a", 1e-3, 100, 3), ("b", 2e-3, 100, 4))
    runs = read(tmp_path, text, loss="steps")
    assert [run.final_loss for run in runs.values()] == [100, 100]


def test_a_log_with_a_column_of_the_loss_to_come_is_no_sweep(tmp_path):
    text = table("step,loss,last_loss", *((s, loss(s, 0), 2) for s in STEPS))
    (run,) = read(tmp_path, text).values()
    np.testing.assert_array_equal(run.step, STEPS)


def test_a_log_whose_training_and_validation_rows_take_turns_is_no_sweep(tmp_path):
    rows = [
        row
        for s in STEPS
        for row in (
            {"step": s, "loss": loss(s, 0), "lr": 1e-5 * (100 - s)},
            {"step": s, "val_loss": loss(s, 1)},
        )
    ]
    text = "\n".join(map(json.dumps, rows)) + "\n"
    (run,) = read(tmp_path, text, "curves.jsonl", schedule=None).values()
    np.testing.assert_array_equal(run.step, STEPS)
    assert run.metadata["loss_column"] == "val_loss"
    assert run.schedule(50) == pytest.approx(5e-4)


def test_runs_of_one_name_in_two_tables_stay_apart(tmp_path):
    rows = [(f"r{i}", s, loss(s, i)) for i in (0, 1) for s in STEPS]
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).write_text(table("run,step,loss", *rows))
    names = [run.name for run in read_runs(tmp_path, schedule=COSINE)]
    assert names == [f"{tmp_path / n} r{i}" for n in ("x.csv", "y.csv") for i in (0, 1)]
