"""`Watch`: reports from a process beside the training, at next to no cost for the training."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time

import pytest

from etastar.integrations import _watch
from etastar.integrations._log import RunLog
from etastar.integrations._watch import Watch, numbers_of
from etastar.schedule import InputError
from tests.helpers.laws import make_pilots, make_run
from tests.helpers.work import executed_lines

SPEC = "cosine:peak=1e-3,horizon=8000,warmup=100"
RUN = make_run(SPEC, seed=7)
REPORT = {
    "run": "long", "step": 4, "horizon": 8, "loss": 3.0, "ended": False, "on_plan": False,
    "final": {"mean": 2.5, "low": 2.25, "high": 2.75}, "pilots": None,
    "planned": {"mean": 2.875, "low": 2.75, "high": 2.95},
    "warnings": [{"kind": "spike", "step": 3, "loss": 4.0, "expected": 3.0, "message": "spike!"}],
    "line": "step 4 of 8",
}  # fmt: skip
NUMBERS = {
    "etastar/final_loss": 2.5, "etastar/final_low": 2.25, "etastar/final_high": 2.75,
    "etastar/planned_loss": 2.875, "etastar/on_plan": 0.0, "etastar/warnings": 1.0,
}  # fmt: skip


def until(condition, watch, step, seconds=60.0):
    """Train on, with the same step, until something has come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came from the process beside"
        watch(step)
        time.sleep(0.05)


@pytest.fixture
def canned(monkeypatch):
    """A process that says two reports, the same warning in both, and waits for the end."""
    script = (
        "import sys\nsys.stdin.readline()\n"
        f"for _ in range(2): print({json.dumps(REPORT)!r}, flush=True)\nsys.stdin.read()\n"
    )
    monkeypatch.setattr(_watch, "COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr(_watch, "LOOK", 0.0)


@pytest.fixture
def pilots(tmp_path):
    folder = tmp_path / "pilots"
    for i, run in enumerate(make_pilots()[:6]):
        with RunLog(folder / f"pilot_{i}.jsonl", run.schedule, batch_size=8) as log:
            for step, loss in zip(run.step, run.loss, strict=True):
                log.add(step, loss)
    return folder


@pytest.mark.slow
def test_a_training_is_told_what_to_expect_of_it(tmp_path, pilots, monkeypatch):
    """With the real process, from the run's own log and its pilots."""
    monkeypatch.setattr(_watch, "LOOK", 0.0)
    lines, numbers = [], []
    path = tmp_path / "long.jsonl"
    writer = lambda found, step: numbers.append((step, found))  # noqa: E731
    watch = Watch(
        path, pilots=pilots, every=1000, writer=writer, say=lines.append, share=1.0, rank=0
    )
    found = {}
    with watch, RunLog(path, SPEC, batch_size=8) as log:
        for begin, end in ((0, 4000), (4000, 8000)):
            for step, loss in zip(RUN.step, RUN.loss, strict=True):
                if begin < step <= end:
                    log.add(step, loss)
            until(lambda end=end: (watch.latest or {}).get("step") == end, watch, end)
            found[end] = watch.latest
    half = found[4000]
    assert half["on_plan"] is True
    assert half["warnings"] == []
    assert half["final"]["low"] < RUN.final_loss < half["final"]["high"]
    assert found[8000]["ended"] is True
    assert lines[-1].startswith("etastar: step 8,000 of 8,000: loss ")
    assert numbers[-1][0] == 8000
    assert numbers[-1][1]["etastar/final_loss"] == pytest.approx(RUN.final_loss)


@pytest.mark.usefixtures("canned")
def test_a_report_is_told_and_a_warning_once(tmp_path):
    lines, numbers = [], []
    with (
        Watch(
            tmp_path / "long.jsonl",
            writer=lambda *each: numbers.append(each),
            say=lines.append,
            rank=0,
        ) as watch,
        pytest.warns(UserWarning, match="long: spike!") as told,
    ):
        until(lambda: len(lines) == 2, watch, 6)
    assert lines == ["etastar: step 4 of 8"] * 2
    assert len(told) == 1
    assert [step for _, step in numbers] == [6, 6]
    assert numbers[0][0] == NUMBERS == numbers_of(REPORT)


@pytest.mark.usefixtures("canned")
def test_nothing_is_printed_where_nothing_shall_be(tmp_path, capfd):
    with (
        Watch(tmp_path / "a.jsonl", say=None, rank=0) as watch,
        pytest.warns(UserWarning, match="spike!"),
    ):
        until(lambda: watch.latest is not None, watch, 1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("canned")
def test_numbers_reach_tensorboard(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path / "board") as writer:
        watch = Watch(tmp_path / "a.jsonl", writer=writer, say=None, rank=0)
        with watch, pytest.warns(UserWarning, match="spike!"):
            until(lambda: watch.latest is not None, watch, 7)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(NUMBERS)
    (first, *_) = events.Scalars("etastar/final_loss")
    assert (first.step, first.value) == (7, 2.5)


@pytest.mark.slow
@pytest.mark.usefixtures("canned")
def test_numbers_reach_wandb_beside_steps_that_it_has_passed(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=tmp_path, project="p") as run:
        run.log({"loss": 1.0}, step=500)
        watch = Watch(tmp_path / "a.jsonl", writer=run, say=None, rank=0)
        with watch, pytest.warns(UserWarning, match="spike!"):
            until(lambda: watch.latest is not None, watch, 7)
        assert run.summary["etastar/final_loss"] == 2.5
        assert run.summary["etastar/step"] == 7


def test_writers_are_checked_and_may_be_several(tmp_path):
    with pytest.raises(InputError, match=r"writer is 3: give a TensorBoard SummaryWriter"):
        Watch(tmp_path / "a.jsonl", writer=3, rank=0)
    assert len(_watch._writers([print, None, [print]])) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every"),
        ({"share": 0.0}, "share"),
        ({"level": 1.0}, "level"),
        ({"schedule": "cosin:peak=1,horizon=2"}, "unknown schedule 'cosin'"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        Watch(tmp_path / "a.jsonl", rank=0, **options)


@pytest.mark.slow
def test_what_is_wrong_is_said_once_and_the_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_watch, "LOOK", 0.0)
    watch = Watch(tmp_path / "a.jsonl", pilots=tmp_path / "none", say=None, rank=0)
    with pytest.warns(UserWarning, match=r"the run is not watched: .*none"):
        until(lambda: watch._process is None and watch._begun, watch, 1)
    watch(2)
    watch.close()


def test_only_rank_zero_watches(tmp_path):
    watch = Watch(tmp_path / "a.jsonl", rank=1)
    watch(1)
    assert watch._process is None


@pytest.mark.usefixtures("canned")
def test_the_process_ends_with_the_watch_and_closing_twice_does_nothing(tmp_path):
    watch = Watch(tmp_path / "a.jsonl", say=None, rank=0)
    watch(1)
    process = watch._process
    assert process is not None
    assert process.poll() is None
    with pytest.warns(UserWarning, match="spike!"):
        watch.close()
    assert process.poll() == 0
    watch.close()
    watch(2)
    assert watch._process is None


@pytest.mark.slow
def test_the_process_does_not_outlive_a_training_that_is_killed(tmp_path):
    script = (
        "import os, time\nfrom etastar.integrations._watch import Watch\n"
        f"watch = Watch({str(tmp_path / 'a.jsonl')!r}, rank=0)\nwatch(1)\n"
        "print(watch._process.pid, flush=True)\ntime.sleep(3)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9
    pid, end = int(done.stdout), time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the process is still there")


@pytest.mark.usefixtures("canned")
def test_a_call_between_two_looks_does_next_to_nothing(tmp_path, monkeypatch):
    """The smallest training has steps of a hundred microseconds; a line takes about a tenth."""
    monkeypatch.setattr(_watch, "LOOK", 1e9)
    watch = Watch(tmp_path / "a.jsonl", say=None, rank=1)
    watch(0)
    assert max(executed_lines(lambda step=step: watch(step)) for step in range(1, 21)) <= 5


@pytest.mark.usefixtures("canned")
def test_the_trainer_of_transformers_logs_the_numbers(tmp_path):
    module = pytest.importorskip("transformers")
    torch = importlib.import_module("torch")
    from etastar.integrations.transformers import WatchCallback

    class Line(torch.nn.Linear):
        def forward(self, x):
            time.sleep(0.02)
            return {"loss": super().forward(x).square().mean()}

    callback = WatchCallback(tmp_path / "a.jsonl", say=None)
    arguments = module.TrainingArguments(
        tmp_path, max_steps=60, per_device_train_batch_size=2, logging_steps=100, use_cpu=True,
        disable_tqdm=True, save_strategy="no", report_to=[],
    )  # fmt: skip
    trainer = module.Trainer(
        Line(1, 1), arguments, train_dataset=[{"x": torch.ones(1)}] * 200, callbacks=[callback]
    )
    trainer.remove_callback(module.PrinterCallback)
    callback.trainer = trainer
    with pytest.warns(UserWarning, match="spike!"):
        trainer.train()
    logged = [row for row in trainer.state.log_history if "etastar/final_loss" in row]
    assert len(logged) == 2
    assert {name: logged[0][name] for name in NUMBERS} == NUMBERS
    assert callback.watch is not None
    assert callback.watch._process is None


@pytest.mark.usefixtures("canned")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_the_loggers_of_lightning_get_the_numbers(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    torch = importlib.import_module("torch")
    from lightning.pytorch.loggers import CSVLogger

    from etastar.integrations.lightning import WatchCallback

    class Line(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(1, 1)

        def training_step(self, x):
            time.sleep(0.02)
            return self.line(x).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callback = WatchCallback(tmp_path / "a.jsonl", say=None)
    trainer = lightning.Trainer(
        max_steps=60, accelerator="cpu", callbacks=[callback], logger=CSVLogger(tmp_path),
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="spike!"):
        trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(200, 1), batch_size=2))
    (path,) = tmp_path.rglob("metrics.csv")
    head, *rows = path.read_text().splitlines()
    assert set(NUMBERS) < set(head.split(","))
    assert len(rows) >= 1
    assert callback.watch is not None
    assert callback.watch._process is None


@pytest.mark.slow
def test_keras_tells_and_ends_the_watch(tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    canned_script = (
        "import sys\nsys.stdin.readline()\n"
        f"print({json.dumps(REPORT)!r}, flush=True)\nsys.stdin.read()\n"
    )
    script = f"""
import sys, time, keras, numpy as np
from etastar.integrations import _watch
from etastar.integrations.keras import WatchCallback
_watch.COMMAND, _watch.LOOK = (sys.executable, "-c", {canned_script!r}), 0.0
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
seen = []
watch = WatchCallback("a.jsonl", writer=lambda *each: seen.append(each), say=None)
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)
x = np.ones((100, 1))
model.fit(x, x, batch_size=2, verbose=0, callbacks=[Slow(), watch])
assert seen[0][0]["etastar/final_loss"] == 2.5, seen
assert watch.watch._process is None
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
