"""Logs as trainers lay them in folders: several files of one run, columns that are no LR, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from etastar.runs import Run, read_runs
from etastar.schedule import InputError

STEPS = np.arange(0, 101, 10)
LOSSES = 2 + 2 / (1 + STEPS / 40)
RATES = 6e-4 * (1 - STEPS / 200)
CONSTANT = "constant:peak=1e-3,horizon=200"
ROWS = list(zip(STEPS.tolist(), LOSSES.tolist(), RATES.tolist(), strict=True))


def check(run: Run, steps: Any = STEPS, losses: Any = LOSSES, rates: Any = RATES) -> None:
    assert run.step.tolist() == list(steps)
    assert run.loss == pytest.approx(losses, rel=1e-6)
    assert run.schedule(steps) == pytest.approx(rates, rel=1e-4)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lines(records: list[dict]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# --- TensorBoard's downloads ---------------------------------------------------------------------


def download(path: Path, values: np.ndarray) -> None:
    rows = [f"{1.7e9 + s},{s},{v}" for s, v in zip(STEPS.tolist(), values.tolist(), strict=True)]
    write(path, "\n".join(["Wall time,Step,Value", *rows]) + "\n")


@pytest.mark.parametrize(
    ("names", "run_names"),
    [
        ("run-{run}-tag-val_loss.csv run-{run}-tag-train_lr.csv", ["amber", "birch"]),
        ("{run}-tag-eval_loss.csv {run}-tag-learning_rate.csv", ["amber", "birch"]),
        ("{run}_loss.csv {run}_lr.csv", ["amber", "birch"]),
        ("{run}/val_loss.csv {run}/lr.csv", ["amber", "birch"]),
    ],
)
def test_downloads_of_one_run_are_one_run(tmp_path: Path, names: str, run_names: list[str]):
    for run in run_names:
        loss, rate = (tmp_path / name.format(run=run) for name in names.split())
        download(loss, LOSSES)
        download(rate, RATES)
    runs = read_runs(tmp_path)
    assert [run.name for run in runs] == run_names
    for run in runs:
        check(run)
    # One file stands for the run too, and its own column keeps its name.
    (run,) = read_runs(tmp_path / names.split()[0].format(run="amber"), loss="Value")
    check(run)


def test_a_bad_cell_of_a_download_is_named_with_its_file(tmp_path: Path):
    download(tmp_path / "run-a-tag-loss.csv", LOSSES)
    download(tmp_path / "run-a-tag-lr.csv", RATES)
    path = tmp_path / "run-a-tag-lr.csv"
    path.write_text(path.read_text().replace(",50,", ",50,x"))
    with pytest.raises(InputError, match=r"run-a-tag-lr\.csv:7: lr is 'x"):
        read_runs(tmp_path)


# --- Lightning -----------------------------------------------------------------------------------


def metrics_csv(path: Path, rows: list, extra: str = "", cells: str = "") -> None:
    head = f"epoch,lr-AdamW,step,val_loss{extra}\n"
    body = "".join(
        f"0,,{s},{loss}{',' * extra.count(',')}\n,{lr},{s},{cells}\n" for s, loss, lr in rows
    )
    write(path, head + body)


def test_momentum_and_weight_decay_of_a_monitor_are_no_learning_rates(tmp_path: Path):
    extra = ",lr-AdamW-momentum,lr-AdamW-weight_decay"
    metrics_csv(tmp_path / "version_0/metrics.csv", ROWS, extra, ",0.9,0.01")
    (run,) = read_runs(tmp_path)
    check(run)
    assert (run.momentum, run.caveats) == (0.9, ())


def test_what_the_monitor_writes_to_another_logger_is_told_apart_too(tmp_path: Path):
    records = [
        {"step": s, "val_loss": loss, "lr-SGD": lr, "lr-SGD-momentum": 0.8, "lr-SGD-1": lr / 2}
        for s, loss, lr in ROWS
    ]
    (run,) = read_runs(write(tmp_path / "log.jsonl", lines(records)))
    check(run)
    assert run.momentum == 0.8
    assert [line.split(": ")[1] for line in run.caveats] == [
        "2 learning rates are logged; lr-SGD is taken"
    ]


def test_groups_with_the_same_rates_are_one_and_others_are_a_caveat(tmp_path: Path):
    path = tmp_path / "version_0/metrics.csv"
    head = "epoch,lr-AdamW/pg1,lr-AdamW/pg1-momentum,lr-AdamW/pg2,lr-AdamW/pg2-momentum,step,loss\n"
    same = "".join(f"0,{lr},0.9,{lr},0.9,{s},{loss}\n" for s, loss, lr in ROWS)
    write(path, head + same)
    (run,) = read_runs(tmp_path)
    check(run)
    assert (run.momentum, run.caveats) == (0.9, ())
    write(path, head + "".join(f"0,{lr},0.9,{lr / 10},0.8,{s},{loss}\n" for s, loss, lr in ROWS))
    (run,) = read_runs(tmp_path)
    check(run)
    assert run.momentum is None
    assert any("lr-AdamW/pg1 is taken" in line for line in run.caveats)


def test_a_resumed_run_in_two_versions_is_one_run(tmp_path: Path):
    metrics_csv(tmp_path / "version_0/metrics.csv", ROWS[:6])
    metrics_csv(tmp_path / "version_1/metrics.csv", ROWS[6:])
    (run,) = read_runs(tmp_path)
    check(run)
    assert run.caveats == (
        f"{tmp_path}/version_1/metrics.csv: goes on where version_0 stopped; they are read as one"
        " run",
    )
    # Named one by one as well, and alone only itself.
    assert len(read_runs([tmp_path / "version_0", tmp_path / "version_1"])) == 1
    assert read_runs(tmp_path / "version_0")[0].step[-1] == 50


def test_rows_behind_the_checkpoint_that_a_run_goes_on_from_are_left_out(tmp_path: Path):
    wrong = [(s, loss + 1, lr) for s, loss, lr in ROWS[4:7]]
    metrics_csv(tmp_path / "version_0/metrics.csv", [*ROWS[:4], *wrong])
    metrics_csv(tmp_path / "version_1/metrics.csv", ROWS[4:])
    (run,) = read_runs(tmp_path)
    check(run)
    assert any("steps go back to 40" in line for line in run.caveats)


def test_two_endings_of_one_beginning_are_two_runs(tmp_path: Path):
    metrics_csv(tmp_path / "version_0/metrics.csv", ROWS[:6])
    metrics_csv(tmp_path / "version_1/metrics.csv", ROWS[6:])
    other = [(s, loss, lr / 2) for s, loss, lr in ROWS[6:9]]
    metrics_csv(tmp_path / "version_2/metrics.csv", other)
    runs = read_runs(tmp_path)
    assert [(run.name, run.step[0], run.step[-1]) for run in runs] == [
        ("version_1", 0, 100),
        ("version_2", 0, 80),
    ]


def test_fresh_runs_in_versions_stay_apart(tmp_path: Path):
    # Logged first after some steps, as a training loss is.
    for version in range(3):
        metrics_csv(tmp_path / f"version_{version}/metrics.csv", ROWS[1:])
    assert len(read_runs(tmp_path)) == 3


def test_a_bad_cell_of_a_resumed_run_is_named_with_its_file(tmp_path: Path):
    metrics_csv(tmp_path / "version_0/metrics.csv", ROWS[:6])
    path = tmp_path / "version_1/metrics.csv"
    metrics_csv(path, ROWS[6:])
    path.write_text(path.read_text().replace(f"80,{LOSSES[8]}", "80,bad"))
    with pytest.raises(InputError, match=r"version_1/metrics\.csv:6: val_loss is 'bad'"):
        read_runs(tmp_path)


# --- LLaMA-Factory -------------------------------------------------------------------------------


def llama_factory(folder: Path, *, state: bool) -> None:
    records = [
        {"current_steps": s, "total_steps": 100, "loss": loss, "lr": lr, "percentage": float(s)}
        for s, loss, lr in ROWS
    ]
    write(folder / "trainer_log.jsonl", lines(records))
    write(folder / "all_results.json", '{"train_loss": 2.5}\n')
    history = [{"step": s, "loss": loss, "learning_rate": lr} for s, loss, lr in ROWS]
    path = folder / "trainer_state.json" if state else folder / "checkpoint-50/trainer_state.json"
    write(path, json.dumps({"log_history": history if state else history[:6]}))


@pytest.mark.parametrize("state", [True, False])
def test_a_folder_of_llama_factory_is_one_run(tmp_path: Path, state: bool):
    llama_factory(tmp_path / "amber", state=state)
    llama_factory(tmp_path / "birch", state=state)
    runs = read_runs(tmp_path)
    assert [run.name for run in runs] == ["amber", "birch"]
    for run in runs:
        check(run)
        assert any("averaged since the row before" in line for line in run.caveats)
    assert Path(str(runs[0].metadata["file"])).name == (
        "trainer_state.json" if state else "trainer_log.jsonl"
    )


# --- JSON ----------------------------------------------------------------------------------------

NESTED = [
    lambda s, loss, lr: {"step": s, "lr": lr, "train": {"loss": 9.0}, "val": {"loss": loss}},
    lambda s, loss, lr: {"step": s, "metrics": {"val_loss": loss, "lr": lr}},
    lambda s, loss, lr: {"data": {"step": s, "metrics": {"eval": {"loss": loss}}, "lr": lr}},
    lambda s, loss, lr: {"step": s, "loss": loss, "lr": lr, "loss_parts": {"loss": 1.0, "z": None}},
    lambda s, loss, lr: {"step": s, "lr": lr, "val": {"loss": loss} if s != 30 else None},
    lambda s, loss, lr: {"step": s, "lr": lr, "val": {"loss": loss, "f1": float("nan")}},
]


@pytest.mark.parametrize("record", NESTED)
def test_objects_inside_objects_are_columns(tmp_path: Path, record):
    path = write(tmp_path / "log.jsonl", lines([record(*row) for row in ROWS]))
    (run,) = read_runs(path)
    kept = [row for row in ROWS if row[0] != 30] if len(run.step) < len(ROWS) else ROWS
    assert len(kept) >= len(ROWS) - 1
    check(run, [row[0] for row in kept], [row[1] for row in kept], [row[2] for row in kept])


def test_the_log_of_detectron2_is_found_in_a_folder(tmp_path: Path):
    records = [
        {"iteration": s, "data_time": 0.1, "lr": lr, "total_loss": loss, "loss_cls": loss / 2}
        for s, loss, lr in ROWS
    ]
    records.insert(5, {"iteration": 45, "bbox/AP": 12.0})
    write(tmp_path / "amber/metrics.json", lines(records))
    write(tmp_path / "amber/last_checkpoint", "model_final.pth")
    write(tmp_path / "results/metrics.json", '{"AP": 30.0}\n')
    (run,) = read_runs(tmp_path)
    check(run)
    assert (run.name, run.metadata["loss_column"]) == ("amber", "total_loss")


def test_the_log_of_mmengine_is_read_once(tmp_path: Path):
    records = [
        {"lr": lr, "loss": loss, "epoch": 1, "iter": s, "memory": 5, "step": s}
        for s, loss, lr in ROWS
    ]
    records.insert(6, {"coco/bbox_mAP": 0.2, "step": 1})
    folder = tmp_path / "20250101_000000"
    for name in ("scalars.json", "20250101_000000.json"):
        write(folder / "vis_data" / name, lines(records))
    write(folder / "vis_data/config.py", "max_epochs = 1\n")
    (run,) = read_runs(tmp_path)
    check(run)
    assert run.name == "20250101_000000"


@pytest.mark.parametrize(
    "document",
    [
        [{"_step": s, "val": {"loss": loss}, "lr": lr} for s, loss, lr in ROWS],
        {"name": "a", "rows": [{"step": s, "loss": loss, "lr": lr} for s, loss, lr in ROWS]},
        {"log_history": [{"step": s, "eval_loss": loss, "lr": lr} for s, loss, lr in ROWS]},
        {"step": STEPS.tolist(), "loss": LOSSES.tolist(), "lr": RATES.tolist()},
        json.loads(json.dumps({  # as pandas writes a table
            "step": dict(enumerate(STEPS.tolist())),
            "loss": dict(enumerate(LOSSES.tolist())),
            "lr": dict(enumerate(RATES.tolist())),
        })),
    ],
)  # fmt: skip
def test_a_history_in_one_document_is_read(tmp_path: Path, document):
    check(read_runs(write(tmp_path / "history.json", json.dumps(document)))[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"val_loss": 2.1, "_step": 990}', "a summary keeps only the last values"),
        ("[]", "holds no rows"),
        ('{"a": [1, 2], "b": [1]}', "holds no rows"),
        ("[1, 2]", "holds no rows"),
        ('{"a": ', "1: not JSON"),
        ("[" * 50_000, "not JSON"),
    ],
)
def test_a_document_that_is_no_log_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(InputError, match=message):
        read_runs(write(tmp_path / "wandb-summary.json", text))


# --- Epochs --------------------------------------------------------------------------------------

EPOCHS = pl.DataFrame(
    {
        "epoch": range(11),
        "train_loss": LOSSES + 1,
        "eval_loss": LOSSES,
        "eval_top1": LOSSES * 10,
        "lr": RATES,
    }
)


def test_timm_counts_epochs_and_asks_for_the_steps_in_one(tmp_path: Path):
    write(tmp_path / "amber/summary.csv", EPOCHS.write_csv())
    with pytest.raises(InputError, match="it counts epochs: give the updates in one"):
        read_runs(tmp_path)
    (run,) = read_runs(tmp_path, steps_per_epoch=10)
    # A row stands at the end of its epoch, the first of which is epoch 0.
    check(run, STEPS + 10)
    assert run.name == "amber"
    assert any("at 10 an epoch" in line for line in run.caveats)
    (run,) = read_runs(tmp_path, step="epoch")
    assert run.step.tolist() == list(range(11))


def test_epochs_of_a_table_without_a_final_newline_become_steps(tmp_path: Path):
    write(tmp_path / "log.csv", EPOCHS.write_csv().rstrip("\n"))
    check(read_runs(tmp_path, steps_per_epoch=10)[0], STEPS + 10)


def test_a_cut_number_is_found_where_steps_are_made_of_epochs(tmp_path: Path):
    rows = ["epoch,lr,loss", *(f"{n},0.1,{3 - n / 10:.4f}" for n in range(1, 7))]
    write(tmp_path / "log.csv", "\n".join(rows)[:-2])
    (run,) = read_runs(tmp_path, steps_per_epoch=10)
    assert run.step.tolist() == [10, 20, 30, 40, 50]
    assert any("shorter than all others" in line for line in run.caveats)


def test_epochs_from_one_on_and_parts_of_them_count_what_is_done(tmp_path: Path):
    frame = EPOCHS.with_columns(pl.col("epoch") / 2 + 0.5)
    write(tmp_path / "log.csv", frame.write_csv())
    check(read_runs(tmp_path, steps_per_epoch=20)[0], STEPS + 10)


def test_steps_that_are_logged_are_stronger_than_epochs(tmp_path: Path):
    write(tmp_path / "log.csv", EPOCHS.with_columns(pl.Series("step", STEPS)).write_csv())
    check(read_runs(tmp_path, steps_per_epoch=7)[0])


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_number_of_steps_that_is_none_is_refused(tmp_path: Path, value: float):
    with pytest.raises(InputError, match="steps_per_epoch is"):
        read_runs(write(tmp_path / "log.csv", EPOCHS.write_csv()), steps_per_epoch=value)


def test_ultralytics_gives_the_sum_of_its_losses_and_the_rate_of_the_weights(tmp_path: Path):
    head = "epoch, train/box_loss, train/cls_loss, val/box_loss, val/cls_loss, lr/pg0, lr/pg1\n"
    rows = [
        f"{n}, 1, 1, {loss / 4}, {3 * loss / 4}, {lr + 0.1 * (n < 3)}, {lr}\n"
        for n, (_, loss, lr) in enumerate(ROWS, 1)
    ]
    write(tmp_path / "amber/results.csv", head + "".join(rows))
    (run,) = read_runs(tmp_path, steps_per_epoch=10)
    check(run, STEPS + 10)
    assert (run.name, run.metadata["loss_column"]) == ("amber", "val_loss")
    assert any("the sum of val/box_loss, val/cls_loss" in line for line in run.caveats)
