"""What a careless user names: odd columns, links, a plan in place of logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from etastar.runs import check_together, read_runs
from etastar.schedule import InputError

ODD = "trainer/global_step,train/loss_step,optimizer/lr,eval/nll\n"
ROWS = "".join(f"{step},{3 - step / 100},0.01,{4 - step / 100}\n" for step in range(0, 70, 7))


def odd_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "odd.csv"
    path.write_text(ODD + ROWS)
    return path


def test_the_message_names_the_column_that_may_be_the_lr(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"schedule is unknown; .*; the LR may be 'optimizer/lr'$"):
        read_runs(odd_log(tmp_path))


def test_a_training_loss_beside_a_validation_loss_is_a_caveat(tmp_path: Path) -> None:
    path = odd_log(tmp_path)
    runs = read_runs(path, lr="optimizer/lr")
    assert runs[0].metadata["passed_over"] == "eval/nll"
    (caveat,) = check_together(runs)
    assert caveat == (
        "the loss is train/loss_step, a training loss, but the logs have eval/nll too: for a plan"
        " by a validation loss give loss=eval/nll"
    )
    for loss in ("train/loss_step", "eval/nll"):
        assert not check_together(read_runs(path, lr="optimizer/lr", loss=loss))


def test_a_folder_is_named_by_itself_and_not_by_a_link_to_it(tmp_path: Path) -> None:
    path = odd_log(tmp_path / "offline-run-1")
    (tmp_path / "latest-run").symlink_to(path.parent)
    (run,) = read_runs(tmp_path, lr="optimizer/lr")
    assert run.metadata["file"] == str(path)


@pytest.mark.parametrize("name", ["", "plan.json", "schedule.json", "report.html"])
def test_a_plan_is_no_log(tmp_path: Path, name: str) -> None:
    for each in ("plan.json", "schedule.json", "report.html"):
        (tmp_path / each).write_text("{}")
    with pytest.raises(InputError, match="is a plan, and no log; name the logs"):
        read_runs(tmp_path / name)
