"""What `read_runs` makes of good logs: formats, columns, declarations, schedules."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from etastar.runs import Run, check_together, read_runs
from etastar.schedule import InputError, parse_schedule
from tests.helpers.curves import CURVES

COSINE = parse_schedule("cosine:peak=1e-3,horizon=1000,warmup=100,final=0.1")
STEP = np.arange(0, 1001, 100)
LOSS = 2 + 4 / (1 + STEP / 100)
FRAME = pl.DataFrame({"step": STEP, "lr": COSINE(STEP), "loss": LOSS})


def write(path: Path, frame: pl.DataFrame) -> Path:
    writers = {
        ".csv": frame.write_csv,
        ".tsv": lambda p: frame.write_csv(p, separator="\t"),
        ".jsonl": frame.write_ndjson,
        ".parquet": frame.write_parquet,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_tabular_format_gives_the_same_run(tmp_path, suffix):
    (run,) = read_runs(write(tmp_path / f"pilot{suffix}", FRAME), schedule=COSINE)
    assert run.name == "pilot"
    assert run.caveats == ()
    assert run.schedule == COSINE
    np.testing.assert_array_equal(run.step, STEP)
    np.testing.assert_allclose(run.loss, LOSS, rtol=1e-15)
    assert not run.diverged


@pytest.mark.parametrize("step", ["step", "iter", "iteration", "global_step", "Step", "_step"])
@pytest.mark.parametrize("loss", ["loss", "val_loss", "eval/loss", "Train/Loss", "Loss/val"])
def test_columns_are_guessed_in_any_spelling(tmp_path, step, loss):
    frame = FRAME.rename({"step": step, "loss": loss, "lr": "Learning_Rate"})
    (run,) = read_runs(write(tmp_path / "a.csv", frame))
    assert run.metadata["loss_column"] == loss
    np.testing.assert_allclose(run.schedule(STEP), COSINE(STEP), atol=1e-8)


def test_validation_loss_is_preferred_to_training_loss(tmp_path):
    frame = FRAME.with_columns(train_loss=pl.col("loss") + 1, val_loss=pl.col("loss") + 2)
    (run,) = read_runs(write(tmp_path / "a.csv", frame))
    np.testing.assert_allclose(run.loss, LOSS + 2)


def test_a_validation_loss_of_few_points_gives_way_with_a_caveat(tmp_path):
    sparse = [None] * 9 + [3.0, 2.9]
    frame = FRAME.with_columns(pl.Series("val_loss", sparse))
    (run,) = read_runs(write(tmp_path / "a.csv", frame), schedule=COSINE)
    assert run.metadata["loss_column"] == "loss"
    assert "val_loss has only 2 points" in run.caveats[0]


def test_columns_named_by_options_are_taken(tmp_path):
    frame = FRAME.rename({"step": "tokens", "lr": "eta", "loss": "bits"}).with_columns(loss=9.0)
    (run,) = read_runs(write(tmp_path / "a.csv", frame), step="tokens", loss="bits", lr="eta")
    np.testing.assert_allclose(run.loss, LOSS)
    np.testing.assert_allclose(run.schedule(STEP), COSINE(STEP), atol=1e-8)


def test_rows_without_a_loss_are_sparse_not_wrong(tmp_path):
    log = "step,train_loss,val_loss\n" + "".join(
        f"{s},,{4 - s / 100}\n{s + 5},{5 - s / 100},\n" for s in range(0, 100, 10)
    )
    (tmp_path / "a.csv").write_text(log)
    (run,) = read_runs(tmp_path / "a.csv", schedule="constant:peak=1,horizon=100")
    np.testing.assert_array_equal(run.step, np.arange(0, 100, 10))
    assert run.caveats == ()


def test_trainer_state_of_the_last_checkpoint(tmp_path):
    def state(last):
        history = [
            {"epoch": s / 1000, "loss": 5 - s / 500, "learning_rate": COSINE(s), "step": s}
            for s in range(100, last + 1, 100)
        ]
        history += [{"eval_loss": 4 - s / 500, "step": s} for s in range(100, last + 1, 100)]
        history += [{"train_loss": 3.3, "train_runtime": 1.5, "step": last}]
        return {"max_steps": 1000, "train_batch_size": 8, "log_history": history}

    for last in (500, 1000):
        folder = tmp_path / "gpt" / f"checkpoint-{last}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(json.dumps(state(last)))
    (run,) = read_runs(tmp_path / "gpt")
    assert (run.name, run.final_step, run.metadata["max_steps"]) == ("gpt", 1000, 1000)
    assert run.final_loss == 4 - 1000 / 500
    np.testing.assert_allclose(run.schedule(STEP[1:]), COSINE(STEP[1:]), atol=1e-8)
    # The first row stands where the warmup ends, yet the cosine after it tells how long it was.
    assert run.schedule == COSINE
    assert run.caveats == ()


def test_trainer_state_without_evaluations_says_that_the_loss_lags(tmp_path):
    history = [{"loss": 5 - s / 500, "learning_rate": 1e-3, "step": s} for s in (100, 200, 300)]
    history.append({"eval_loss": 4.0, "step": 300})
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history}).replace("4.6", "NaN"))
    (run,) = read_runs(path)
    assert run.name == tmp_path.name
    assert run.metadata["loss_column"] == "loss"
    assert any("averaged since the row before" in caveat for caveat in run.caveats)
    assert any("log_history[1]: loss is nan" in caveat for caveat in run.caveats)


def test_lightning_metrics_with_sparse_columns(tmp_path):
    rows = ["epoch,lr-AdamW,step,train_loss_step,val_loss"]
    for s in range(0, 1000, 50):
        rows.append(f",{COSINE(s)!r},{s},,")
        rows.append(f"0,,{s + 49},{5 - s / 500},")
        rows.append(f"0,,{s + 49},,{4 - s / 500}")
    path = tmp_path / "lightning_logs" / "version_3" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(rows) + "\n")
    for source in (path, tmp_path, str(tmp_path / "*_logs")):
        (run,) = read_runs(source)
        assert run.name == "version_3"
        assert run.loss[0] == 4
        np.testing.assert_array_equal(run.step, np.arange(49, 1000, 50))
        assert abs(run.schedule(500) - COSINE(500)) < 1e-8


def write_events(folder, suffix, steps, shift):
    """One event file, as a writer makes it each time that a training is started."""
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    Summary = pytest.importorskip("tensorboard.compat.proto.summary_pb2").Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for s in steps:
        values = [("Loss/val", 4 - s / 500 + shift), ("lr", 0.25), ("accuracy", 0.1)]
        summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in values])
        writer.add_event(event_pb2.Event(step=s, summary=summary))
    writer.close()


def test_tensorboard_events_of_several_runs_in_a_folder_are_named(tmp_path):
    for suffix, first in ((".0", 0), (".1", 300), (".2", 0), (".3", 400)):
        write_events(tmp_path / "tb", suffix, range(first, first + 500, 100), 0.1 * int(suffix[1]))
    (run,) = read_runs(tmp_path)
    np.testing.assert_allclose(run.loss[:2], [4.2, 4.0], rtol=1e-6)
    (line,) = (line for line in run.caveats if "holds several runs" in line)
    left_out = line.split("left out: ")[1].split(";")[0]
    assert [name[-2:] for name in left_out.split(", ")] == [".0", ".1"]
    assert ".2 on; left out" in line


def test_tensorboard_folders_within_a_folder_are_runs(tmp_path):
    for name in ("one", "two"):
        write_events(tmp_path / name, ".0", range(0, 500, 100), 0.0)
    assert [run.name for run in read_runs(tmp_path)] == ["one", "two"]


def test_tensorboard_events_of_a_resumed_run(tmp_path):
    def log(suffix, steps, shift):
        write_events(tmp_path / "tb", suffix, steps, shift)

    log(".0", range(0, 600, 100), 0)
    log(".1", range(300, 1100, 100), 0.5)
    (run,) = read_runs(tmp_path)
    assert run.name == "tb"
    np.testing.assert_array_equal(run.step, np.arange(0, 1100, 100))
    np.testing.assert_allclose(run.loss[2:5], [3.6, 3.9, 3.7], rtol=1e-6)
    assert run.schedule(500) == 0.25
    assert "steps go back to 300" in " ".join(run.caveats)
    assert "several runs" not in " ".join(run.caveats)
    with pytest.raises(InputError, match="found step, Loss/val, lr, accuracy"):
        read_runs(tmp_path, loss="bits")


def test_tensorboard_scalars_written_as_tensors(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    for s in range(4):
        writer.add_event(Event(step=s, summary=scalar_pb("val_loss", 4.0 - s)))
    writer.close()
    (run,) = read_runs(tmp_path, schedule=COSINE)
    np.testing.assert_array_equal(run.loss, [4, 3, 2, 1])


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing", None)
    with pytest.raises(InputError, match=r"pip install 'etastar\[tensorboard\]'"):
        read_runs(tmp_path)


def test_event_files_of_garbage_are_an_error(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "events.out.tfevents.1.host").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(InputError, match="event"):
        read_runs(tmp_path)


def declared(tmp_path: Path, rows: str, header: str = "run,schedule") -> Path:
    write(tmp_path / "a.csv", FRAME)
    (tmp_path / "runs.csv").write_text(f"{header}\n{rows}\n")
    return tmp_path


@pytest.mark.parametrize("source", ["", "a.csv", "runs.csv", "*.csv", "../{}/[a-b].csv"])
def test_runs_csv_declares_schedules_however_the_log_is_named(tmp_path, source):
    row = f'a,"{COSINE.spec}",256,0.9,gpt,7'
    folder = declared(tmp_path, row, "run,schedule,batch_sequences,momentum,model,seed")
    (run,) = read_runs(f"{folder}/{source}".format(folder.name))
    assert (run.schedule, run.batch_size, run.momentum) == (COSINE, 256, 0.9)
    assert (run.metadata["model"], run.metadata["seed"]) == ("gpt", 7)
    assert run.caveats == ()


def test_runs_csv_takes_paths_relative_to_its_folder_and_its_own_horizon(tmp_path):
    write(tmp_path / "deep" / "b.parquet", FRAME)
    header = "run,schedule,horizon"
    folder = declared(tmp_path, 'deep/b,"cosine:peak=1e-3,warmup=100,final=0.1",1000', header)
    runs = read_runs([folder, folder / "deep" / "b.parquet"])
    assert [run.name for run in runs] == ["deep/b", "a"]
    assert runs[0].schedule == COSINE


def test_a_listed_run_without_a_log_is_a_caveat_and_none_at_all_an_error(tmp_path):
    folder = declared(tmp_path, f'b,"{COSINE.spec}"\na,"{COSINE.spec}"')
    (run,) = read_runs(folder)
    assert run.caveats == (f"{folder / 'runs.csv'}:2: no log for run b; it is left out",)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(InputError, match=r"runs.csv:2: no log for run b"):
        read_runs(folder)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("run,schedule", "a,spiral:peak=1", r"runs.csv:2: .*spiral"),
        ("run,batch", "a,many", r"runs.csv:2: batch size is 'many'"),
        ("run,momentum", "a,1", r"runs.csv:2: momentum is '1'"),
        ("run,horizon", "a,0", r"runs.csv:2: horizon is '0'"),
        ("run,horizon", "a,1.5", r"runs.csv:2: horizon is '1.5'"),
        ("run,seed", "a,1\na,2", r"runs.csv:3: run a is declared before"),
        ("run,seed", ",1", r"runs.csv:2: no run is named"),
        ("name,seed", "a,1", r"no run column; found name, seed"),
    ],
)
def test_a_wrong_runs_csv_is_an_error_with_its_line(tmp_path, header, row, message):
    with pytest.raises(InputError, match=message):
        read_runs(declared(tmp_path, row, header))


def test_a_log_of_rates_becomes_a_table_of_few_knots(tmp_path):
    step = np.arange(0, 20001)
    schedule = parse_schedule("wsd:peak=1e-3,horizon=20000,warmup=100,cooldown=0.2")
    frame = pl.DataFrame({"step": step, "lr": schedule(step), "loss": 3 + 1 / (1 + step)})
    (run,) = read_runs(write(tmp_path / "a.csv", frame))
    np.testing.assert_allclose(run.schedule(step), schedule(step), atol=1e-8)
    assert len(run.schedule.breakpoints) <= 6
    assert run.caveats == ()


@pytest.mark.parametrize(
    ("first", "assumed", "at_half"),
    [
        ("100,.1\n200,.2", "a linear warmup from 0", 0.05),
        ("100,.2\n200,.2", "constant:peak=0.2", 0.2),
    ],
)
def test_rates_that_start_late_say_what_is_assumed(tmp_path, first, assumed, at_half):
    rows = [f"{row},3" for row in [*first.split("\n"), "300,.2", "400,.2"]]
    (tmp_path / "a.csv").write_text("step,lr,loss\n" + "\n".join(rows) + "\n")
    (run,) = read_runs(tmp_path / "a.csv")
    assert run.schedule(50) == pytest.approx(at_half)
    assert assumed in run.caveats[0]
    assert "a.csv:2" in run.caveats[0]


def test_a_horizon_beyond_the_logged_rates_holds_the_last_one_with_a_caveat(tmp_path):
    (run,) = read_runs(write(tmp_path / "a.csv", FRAME), horizon=5000)
    assert run.schedule.horizon == 5000
    assert run.schedule(4000) == pytest.approx(1e-4)
    assert "assumed to hold" in run.caveats[0]


def test_no_schedule_at_all_is_an_error_that_says_how_to_give_one(tmp_path):
    path = write(tmp_path / "a.csv", FRAME.drop("lr"))
    with pytest.raises(InputError, match=r"a.csv: .*schedule column.*lr column.*schedule=SPEC"):
        read_runs(path)


def test_rates_that_contradict_the_declared_schedule_are_a_caveat(tmp_path):
    other = COSINE.scaled(peak=1.2e-3)
    (run,) = read_runs(declared(tmp_path, f'a,"{other.spec}"'))
    assert run.schedule == other
    (caveat,) = run.caveats
    assert "a.csv:3: the logged lr 0.001 at step 100 contradicts the declared schedule" in caveat
    assert "the declared schedule is used" in caveat


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_rates_logged_a_step_early_or_late_do_not_contradict(tmp_path, shift):
    fast = parse_schedule("wsd:peak=1e-3,horizon=60,warmup=20,cooldown=20")
    step = np.arange(1, 61)
    logged = fast(np.clip(step + shift, 0, 60))
    write(tmp_path / "a.csv", pl.DataFrame({"step": step, "lr": logged, "loss": 3.0}))
    assert read_runs(tmp_path / "a.csv", schedule=fast)[0].caveats == ()


def test_same_names_in_different_folders_stay_apart_and_same_files_come_once(tmp_path):
    paths = [write(tmp_path / folder / "a.csv", FRAME) for folder in ("x", "y")]
    runs = read_runs([*paths, str(tmp_path / "*" / "a.csv")])
    assert [run.name for run in runs] == [str(path) for path in paths]


def test_check_together_names_what_differs():
    def make(name, batch, loss=2.0, **keys):
        return Run(name, np.array([1, 2]), np.array([4, loss]), COSINE, batch, **keys)

    assert check_together([make("a", 8), make("b", 8, 2.5)]) == []
    assert check_together([]) == []
    text = "\n".join(check_together([make("a", 8), make("b", 16), make("c", None, 90.0)]))
    assert "batch size (8: a; 16: b)" in text
    assert "left out of the fit: c" in text
    assert "a and b have the same steps and losses" in text


@pytest.mark.parametrize(
    ("step", "loss", "keys"),
    [
        ([], [], {}),
        ([1, 2], [1], {}),
        ([2, 1], [1, 1], {}),
        ([1, 1], [1, 1], {}),
        ([1, 2], [1, np.nan], {}),
        ([1, 2], [1, 0], {}),
        ([[1]], [[1]], {}),
        (["x"], [1], {}),
        ([1], [1], {"batch_size": 0}),
        ([1], [1], {"momentum": 1}),
    ],
)
def test_a_run_cannot_be_made_wrong(step, loss, keys):
    with pytest.raises(InputError, match="run a: "):
        Run("a", step, loss, COSINE, **keys)


def test_the_arrays_of_a_run_are_its_own():
    step = np.array([1.0, 2.0])
    run = Run("a", step, step, COSINE)
    step[0] = 9
    assert run.step[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        run.loss[0] = 3


@pytest.mark.parametrize("folder", ["llama124m", "mpl25m", "mpl100m"])
def test_published_curves_agree_with_their_declared_schedules(folder):
    runs = read_runs(CURVES / folder)
    listed = pl.read_csv(CURVES / folder / "runs.csv")["run"].to_list()
    assert [run.name for run in runs] == listed
    assert all(run.caveats == () and not run.diverged for run in runs)
    if folder == "llama124m":
        assert {run.batch_size for run in runs} == {100}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_million_rows_are_read_in_seconds_of_the_processor(tmp_path, suffix):
    step = np.arange(1_000_000)
    frame = pl.DataFrame({"step": step, "lr": 1e-3, "loss": 3 + 1 / (1 + step)})
    path = write(tmp_path / f"a{suffix}", frame)
    start = time.process_time()
    (run,) = read_runs(path)
    # About two, which do not depend on what else the machine does.
    assert time.process_time() - start < 10
    assert len(run.step) == 1_000_000
