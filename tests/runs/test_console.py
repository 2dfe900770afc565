"""Text that a training printed: the lines of each tool, written here as its source prints them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from etastar.cli import main
from etastar.runs import Run, read_runs
from etastar.schedule import InputError

STEPS = np.arange(0, 101, 10)
LOSSES = 2 + 2 / (1 + STEPS / 40)
RATES = 6e-4 * np.minimum(STEPS / 20, 1)
CONSTANT = "constant:peak=1e-3,horizon=200"


def lines_of(line: Callable[[int, float, float], str], before: str = "") -> str:
    rows = zip(STEPS.tolist(), LOSSES.tolist(), RATES.tolist(), strict=True)
    return before + "".join(line(*row) for row in rows)


def read_text(tmp_path: Path, text: str, name: str = "run.log", **options):
    (tmp_path / name).write_text(text)
    (run,) = read_runs(tmp_path / name, **options)
    return run


def check_rates(run: Run, stretch: int = 1) -> None:
    """The schedule of a run: loggers differ by a step in which LR they write."""
    assert run.schedule.peak == pytest.approx(6e-4, rel=1e-3)
    assert run.schedule(stretch * STEPS[3:]) == pytest.approx(RATES[3:], rel=1e-3)
    assert run.schedule(stretch * 10) == pytest.approx(3e-4, rel=0.1)


MEGATRON = lines_of(
    lambda step, loss, lr: (
        f" [2025-03-01 10:00:{step % 60:02d}.123456] iteration {step:8d}/     100 | consumed"
        f" samples: {step * 64:12d} | elapsed time per iteration (ms): 512.3 | learning rate:"
        f" {lr:.6E} | global batch size:    64 | lm loss: {loss:.6E} | loss scale: 1.0 | grad norm:"
        " 0.512 | number of skipped iterations:   0 | number of nan iterations:   0 |\n"
    ),
    "> building train, validation, and test datasets ...\n",
)
TORCHTITAN = lines_of(
    lambda step, loss, lr: (
        f"[rank0]:[titan] 2025-03-01 10:00:00,000 - root - INFO - \x1b[31mstep: {step:2d}"
        f"  \x1b[32mloss: {loss:7.4f}  \x1b[38;2;180;60;0mgrad_norm:  0.9876  \x1b[33mmemory:"
        " 40.19GiB(50.7%)  \x1b[34mtps: 1,234  \x1b[36mtflops: 12.34  \x1b[35mmfu: 3.95%\x1b[39m\n"
        f"[rank1]:[titan] 2025-03-01 10:00:00,000 - root - INFO - step: {step:2d}  loss: 99.0\n"
    ),
    "[rank0]:[titan] 2025-03-01 10:00:00,000 - root - INFO - Training starts at step 1\n",
)
NANOGPT = lines_of(
    lambda step, loss, lr: (
        f"step {step}: train loss {loss - 0.1:.4f}, val loss {loss:.4f}\n"
        f"iter {step}: loss {loss + 0.3:.4f}, time 123.45ms, mfu 12.34%\n"
    ),
    "tokens per iteration will be: 491,520\nnumber of parameters: 123.59M\n",
)
MODDED = lines_of(
    lambda step, loss, lr: (
        f"step:{step}/100 val_loss:{loss:.4f} train_time:{step * 100}ms step_avg:100.00ms\n"
        f"step:{step + 1}/100 train_time:{step * 100}ms step_avg:100.00ms\n"
    ),
    'import os\nfor step in range(10):\n    print(f"step:{step} val_loss:{val_loss:.4f}")\n===\n',
)
NANOCHAT = lines_of(
    lambda step, loss, lr: (
        f"Step {step:05d} | Validation bpb: {loss:.4f}\n"
        f"step {step:05d}/00100 (0.00%) | loss: {loss + 1:.6f} | lrm: 1.00 | dt: 512.00ms |"
        " tok/sec: 1,024 | mfu: 48.00 | total time: 0.10m\n"
    )
)
LLM_C = lines_of(
    lambda step, loss, lr: (
        (f"val loss {loss:.6f}\n" if step % 20 == 0 else "")
        + f"step {step + 1:4d}/100 | loss {loss + 1:.6f} (+nanz)| norm 15.3 (+nanz)| lr {lr:.2e} |"
        " 3056.36 ms | 49.2% bf16 MFU | 171543 tok/s\n"
        f"step {step + 10:4d}/100 | loss {loss + 1:.6f} (+nanz)| norm 15.3 (+nanz)| lr {lr:.2e} |"
        " 3056.36 ms | 49.2% bf16 MFU | 171543 tok/s\n"
    )
)
LLM_C_LOG = lines_of(
    lambda step, loss, lr: (
        f"s:{step} tel:{loss:.4f}\ns:{step} trl:{loss + 1:.4f} lr:{lr:.6f} norm:0.50\n"
        f"s:{step} eval:0.2500\n"
    )
)
BUILD_NANOGPT = lines_of(
    lambda step, loss, lr: (
        f"{step} val {loss:.4f}\n{step} train {loss + 1:.6f}\n{step} hella 0.25\n"
    )
)
BAR = "{:3.0f}%|###       | {}/100 [00:10<01:30, 10.00it/s]"
TRANSFORMERS = lines_of(
    lambda step, loss, lr: (
        f"\r{BAR.format(step, step)}\r{BAR.format(step, step)}"
        + (f"\n{{'loss': {loss:.4f}, 'grad_norm': 1.5, 'learning_rate': {lr}, 'epoch': 0.1}}\n")
        + "\r 50%|##   | 10/20 [00:01<00:01]"
    )
)


@pytest.mark.parametrize(
    ("text", "column", "steps"),
    [
        (MEGATRON, "loss", STEPS),
        (TORCHTITAN, "loss", STEPS),
        (NANOGPT, "val_loss", STEPS),
        (MODDED, "val_loss", STEPS),
        (NANOCHAT, "val_bpb", STEPS),
        (LLM_C, "val_loss", STEPS[::2]),
        (LLM_C_LOG, "val_loss", STEPS),
        (BUILD_NANOGPT, "val_loss", STEPS),
        (TRANSFORMERS, "loss", STEPS),
    ],
)
def test_the_lines_of_a_tool_are_read(tmp_path: Path, text: str, column: str, steps: np.ndarray):
    run = read_text(tmp_path, text, schedule=CONSTANT)
    assert run.metadata["loss_column"] == column
    assert run.step.tolist() == steps.tolist()
    # As many decimals as the tool prints.
    assert run.loss == pytest.approx(2 + 2 / (1 + steps / 40), abs=1e-4)


@pytest.mark.parametrize("text", [MEGATRON, LLM_C_LOG, TRANSFORMERS])
def test_the_learning_rate_of_a_tool_is_read(tmp_path: Path, text: str):
    run = read_text(tmp_path, text)
    check_rates(run)


def test_megatron_tells_its_batch_size_and_its_validation(tmp_path: Path):
    assert read_text(tmp_path, MEGATRON).batch_size == 64
    ramp = MEGATRON.replace("size:    64", "size:    32", 3)
    run = read_text(tmp_path, ramp)
    assert run.batch_size is None
    assert any("batch size varies from 32 to 64" in line for line in run.caveats)
    rule = "-" * 90 + "\n"
    said = [
        f"{rule} validation loss at iteration {step} on {{}} set | lm loss value: {loss:.6E} |"
        f" lm loss PPL: 1.0E+01 | \n{rule}"
        for step, loss in zip(STEPS.tolist(), LOSSES.tolist(), strict=True)
    ]
    text = MEGATRON + "".join(line.format("validation") + line.format("test") for line in said)
    run = read_text(tmp_path, text)
    assert run.metadata["loss_column"] == "val_loss"
    assert run.loss == pytest.approx(LOSSES, abs=1e-5)


def test_of_several_ranks_one_is_read_and_the_caveat_says_so(tmp_path: Path):
    run = read_text(tmp_path, TORCHTITAN, schedule=CONSTANT)
    assert any("2 ranks write to it; the lines of rank 0 are read" in line for line in run.caveats)
    # As srun --label writes them.
    text = lines_of(lambda step, loss, lr: f"0: step {step} loss {loss}\n1: step {step} loss 9\n")
    assert read_text(tmp_path, text, schedule=CONSTANT).loss == pytest.approx(LOSSES)


def test_other_losses_are_not_taken_for_the_loss(tmp_path: Path):
    text = lines_of(
        lambda step, loss, lr: f"step {step} aux loss 0.01 z_loss 1e-4 test loss 7.0 loss {loss}\n"
    )
    assert read_text(tmp_path, text, schedule=CONSTANT).loss == pytest.approx(LOSSES)


@pytest.mark.parametrize(
    "line",
    [
        "step={s} loss={loss:.6f} lr={lr:.8f}",
        "Step {s:,}: Loss = {loss:.6f}, Learning Rate = {lr:.8f}",
        "Iter(train) [ {s}/40000]  lr: {lr:.8f}  eta: 0:00:01  time: 0.5  loss: {loss:.6f}",
        "[INFO] [Rank 0] step={s}, skipped=0, lr=[{lr:.8f}], mom=[(0.9, 0.95)], loss={loss}",
        '{{"epoch": 1, "update": 0.1, "loss": "{loss}", "num_updates": "{s}", "lr": "{lr}"}} |',
        " eta: 0:10:00  iter: {s}  total_loss: {loss:.6f}  loss_cls: 0.5  lr: {lr:.8f}  mem: 9M",
        " 10%|#   | {s}/9000 [00:10<03:10, 5.00it/s, loss={loss:.6f}, lr={lr:.8f}]",
        "1|{s}|Loss: {loss}:  10%|#  | {s}/9000 [00:10<03:10, lr={lr}]",
    ],
)
def test_lines_that_are_written_alike_are_read(tmp_path: Path, line: str):
    text = "".join(
        line.format(s=100 * step, loss=loss, lr=lr) + "\n"
        for step, loss, lr in zip(STEPS.tolist(), LOSSES.tolist(), RATES.tolist(), strict=True)
    )
    run = read_text(tmp_path, text)
    assert run.step.tolist() == (100 * STEPS).tolist()
    assert run.loss == pytest.approx(LOSSES, abs=1e-5)
    check_rates(run, 100)


def test_a_decimal_comma_is_not_read_as_a_whole_number(tmp_path: Path):
    text = lines_of(lambda step, loss, lr: f"step {step} loss {loss:.4f}\n".replace(".", ","))
    with pytest.raises(InputError, match="no line of it gives both"):
        read_text(tmp_path, text, schedule=CONSTANT)


def test_lines_of_an_evaluation_give_validation_losses(tmp_path: Path):
    text = lines_of(
        lambda step, loss, lr: (
            f"INFO step: {step}  loss: {loss + 1:.4f}  lr: {lr:.3e}\n"
            f"INFO validate step: {step}  loss: {loss:.4f}  memory: 1.0GiB\n"
        )
    )
    run = read_text(tmp_path, text)
    assert run.metadata["loss_column"] == "val_loss"
    assert run.loss == pytest.approx(LOSSES, abs=1e-4)


def test_an_unfinished_number_at_the_end_is_left_out(tmp_path: Path):
    text = lines_of(lambda step, loss, lr: f"step {step} lr {lr:.6f} loss {loss:.6f}\n")
    run = read_text(tmp_path, text[:-4])
    assert run.step.tolist() == STEPS[:-1].tolist()
    assert any("cut mid-line" in line for line in run.caveats)
    assert read_text(tmp_path, text[:-1]).step.tolist() == STEPS.tolist()


@pytest.mark.parametrize("line", ["step {}: loss 2.7", "it {}/900 [00:10<03:10] loss 2.7"])
@pytest.mark.parametrize("digits", [30, 5003])
def test_a_step_of_too_many_digits_is_refused_with_its_line(tmp_path: Path, line: str, digits: int):
    texts = [f"step {step}: loss {3 - step / 200}" for step in STEPS.tolist()]
    texts[2] = line.format("7" * digits)
    with pytest.raises(InputError, match=r":3: step is .* below 1e15"):
        read_text(tmp_path, "\n".join(texts) + "\n", schedule=CONSTANT)


def test_steps_that_begin_again_in_each_epoch_are_refused(tmp_path: Path):
    text = "".join(
        f"Epoch {epoch} step {step}/100 loss {3 - epoch - step / 200}\n"
        for epoch in (0, 1)
        for step in STEPS.tolist()
    )
    with pytest.raises(InputError, match="its steps begin again in each epoch"):
        read_text(tmp_path, text, schedule=CONSTANT)


def test_lines_of_transformers_without_a_progress_bar_count_epochs(tmp_path: Path):
    text = lines_of(
        lambda step, loss, lr: (
            f"{{'loss': '{loss:.4f}', 'learning_rate': '{lr}', 'epoch': '{(step + 10) / 50}'}}\n"
        )
    )
    text += (
        "{'train_runtime': 10.0, 'train_steps_per_second': 11.0, 'train_loss': 9.0, 'epoch': 2}\n"
    )
    with pytest.raises(InputError, match="it counts epochs: give the updates in one"):
        read_text(tmp_path, text)
    run = read_text(tmp_path, text, steps_per_epoch=50)
    assert run.step.tolist() == (STEPS + 10).tolist()
    assert run.loss == pytest.approx(LOSSES, abs=1e-4)


OTHER = lines_of(
    lambda step, loss, lr: f"[{step:>4}/1,000] L={loss:.4f} eta={lr:.8f} (1.5 s)\n", "hello\n"
)
PATTERN = r"\[ *(?P<step>\d+)/[\d,]+\] L=(?P<loss>\S+) eta=(?P<lr>\S+)"


def test_a_pattern_reads_what_is_not_known(tmp_path: Path):
    with pytest.raises(InputError, match=r"no line of it gives both a step and a loss.*--pattern"):
        read_text(tmp_path, OTHER)
    run = read_text(tmp_path, OTHER, pattern=PATTERN)
    assert run.step.tolist() == STEPS.tolist()
    assert run.loss == pytest.approx(LOSSES, abs=1e-4)
    check_rates(run)
    # In a folder such a text is found by the pattern.
    assert len(read_runs(tmp_path, pattern=PATTERN)) == 1
    with pytest.raises(InputError, match="no logs in it"):
        read_runs(tmp_path)


def test_several_patterns_and_a_line_without_its_step(tmp_path: Path):
    text = lines_of(lambda step, loss, lr: f"update {step:,} eta {lr:.8f}\n> judged {loss:.5f}\n")
    run = read_text(
        tmp_path,
        text,
        pattern=[r"update (?P<step>\S+) eta (?P<lr>\S+)", r"judged (?P<val_loss>\S+)"],
    )
    assert run.step.tolist() == STEPS.tolist()
    assert run.loss == pytest.approx(LOSSES, abs=1e-5)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(step", "is no regular expression"),
        (r"step (\d+)", "names no group"),
        ("(?P<loss>nothing)", "no line matches the pattern .*; it begins 'hello'"),
    ],
)
def test_a_pattern_that_finds_nothing_is_refused(tmp_path: Path, pattern: str, message: str):
    with pytest.raises(InputError, match=message):
        read_text(tmp_path, OTHER, pattern=pattern)


def test_a_folder_with_a_table_and_a_text_is_the_table(tmp_path: Path):
    (tmp_path / "train.log").write_text(MEGATRON)
    (tmp_path / "notes.txt").write_text("step by step\n")
    assert [run.name for run in read_runs(tmp_path)] == ["train"]
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "run.csv").write_text("step,lr,loss\n0,1,3\n1,1,2\n")
    assert [run.name for run in read_runs(tmp_path)] == ["run"]


def test_a_row_of_runs_csv_finds_a_text_by_its_name(tmp_path: Path):
    (tmp_path / "amber.log").write_text(NANOGPT)
    (tmp_path / "runs.csv").write_text(f'run,schedule\namber,"{CONSTANT}"\n')
    (run,) = read_runs(tmp_path)
    assert (run.name, run.schedule(0), run.schedule.horizon) == ("amber", 1e-3, 200)


def test_the_command_line_takes_patterns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "run.log").write_text(OTHER)
    wrong = ["forecast", str(tmp_path / "run.log"), "--schedule", CONSTANT]
    for words, said in ((["--pattern", "(step"], "is no regular expression"), ([], "--pattern")):
        with pytest.raises(SystemExit) as stopped:
            main([*wrong, *words])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err
