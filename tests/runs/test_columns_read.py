"""Which columns were read is said once where all logs have the same, and else by run."""

from __future__ import annotations

from dataclasses import replace

from etastar.planning import Plan
from etastar.report import plan_report
from etastar.runs import columns_lines, columns_read, read_runs

CONSTANT = "constant:peak=0.1,horizon=100"


def test_logs_of_other_columns_are_named(tmp_path):
    for name, head in (("a", "step,loss,lr"), ("b", "iter,val_loss,lr"), ("c", "step,loss,lr")):
        (tmp_path / f"{name}.csv").write_text(f"{head}\n0,4,0.1\n50,3,0.1\n100,2.5,0.1\n")
    assert columns_lines(read_runs(tmp_path)) == [
        "read of a, c: loss from loss, step from step, LR from lr",
        "read of b: loss from val_loss, step from iter, LR from lr",
    ]


def test_a_declared_schedule_needs_no_column(tmp_path):
    (tmp_path / "a.csv").write_text("step,loss\n0,4\n50,3\n100,2.5\n")
    runs = read_runs(tmp_path, schedule=CONSTANT)
    assert columns_lines(runs) == ["read: loss from loss, step from step, LR as declared"]
    assert columns_read([replace(run, metadata={}) for run in runs]) == ()


def test_a_plan_and_its_page_say_what_was_read(plan_of, tmp_path):
    (tmp_path / "a.csv").write_text("step,my loss\n0,4\n50,3\n100,2.5\n")
    plan: Plan = replace(
        plan_of(), runs=tuple(read_runs(tmp_path, loss="my loss", schedule=CONSTANT))
    )
    (read,) = plan.to_dict()["columns"]
    assert read == {"runs": ["a"], "step": "step", "loss": "my loss", "lr": None}
    assert "read: loss from my loss, step from step, LR as declared" in plan_report(plan)
