"""A log that is followed: before it is there, while it grows, when it is replaced, at its end."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from etastar.integrations._log import RunLog
from etastar.runs import Run
from etastar.schedule import InputError, parse_schedule
from etastar.watch import LiveRun, follow, report_on
from etastar.watch import _follow as following
from tests.helpers.laws import make_run

SPEC = "cosine:peak=1e-3,horizon=4000,warmup=100"
RUN = make_run(SPEC, seed=7)
HORIZON = RUN.schedule.horizon


def read(live: LiveRun) -> Run:
    """The run so far, which must be there."""
    run = live.read()
    assert run is not None
    return run


class Training:
    """Writes the next rows of a run whenever the watch waits."""

    def __init__(self, path, rows, most=100):
        self.path, self.rows, self.most, self.waits = path, rows, most, []
        self.at = 0

    def __call__(self, seconds):
        self.waits.append(seconds)
        assert len(self.waits) < self.most, "the watch does not end"
        if self.at == 0:
            self.path.write_text("step,loss\n")
        here = slice(self.at, self.at + self.rows)
        lines = zip(RUN.step[here], RUN.loss[here], strict=True)
        with self.path.open("a") as file:
            file.writelines(f"{step:g},{loss!r}\n" for step, loss in lines)
        self.at += self.rows


def test_it_waits_for_the_log_reports_and_ends_with_the_run(tmp_path, law):
    path = tmp_path / "long.csv"
    training = Training(path, rows=10)
    live = LiveRun(path.with_suffix(""), schedule=SPEC)
    reports = list(follow(live, law, every=1000, poll=0.5, wait=training))
    steps = [report.step for report in reports]
    assert steps == [500, 1500, 2500, 3500, 4000]
    assert [report.ended for report in reports] == [False] * 4 + [True]
    assert reports[-1].final is not None
    assert reports[-1].final[0] == RUN.final_loss
    assert all(report.on_plan for report in reports)
    assert set(training.waits) == {0.5}
    widths = [report.final[2] - report.final[1] for report in reports if report.final]
    assert widths[3] < widths[0]


def test_it_rests_after_a_report_as_its_share_says(tmp_path, law, monkeypatch):
    clock = iter(np.arange(0.0, 1e4, 1.0))
    monkeypatch.setattr(following.time, "process_time", lambda: next(clock))
    training = Training(tmp_path / "long.csv", rows=40)
    live = LiveRun(tmp_path / "long.csv", schedule=SPEC)
    list(follow(live, law, every=1, share=0.01, poll=0.5, wait=training))
    # A report takes one second of this clock: the wait is 99 of them.
    assert training.waits == [0.5, pytest.approx(99.0)]


def test_a_log_without_room_for_another_row_has_ended_after_a_silence(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(following.time, "monotonic", lambda: now[0])
    path = tmp_path / "long.csv"
    rows = "".join(f"{step},{4 - step / 2000}\n" for step in range(300, 3901, 300))
    path.write_text("step,loss\n" + rows)

    def wait(_):
        now[0] += 25.0
        assert now[0] < 1000

    reports = list(follow(LiveRun(path, schedule=SPEC), every=10_000, wait=wait))
    assert [report.ended for report in reports] == [False, True]
    assert now[0] == 75.0


def test_a_divergence_is_reported_though_its_rows_have_no_loss(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("step,loss\n" + "".join(f"{step},3\n" for step in range(50, 1001, 50)))

    class End(Exception):
        pass

    waits = []

    def wait(_):
        waits.append(1)
        if len(waits) == 1:
            with path.open("a") as file:
                file.write("1050,nan\n1100,nan\n")
        if len(waits) == 4:
            raise End

    reports = follow(LiveRun(path, schedule=SPEC), every=2000, wait=wait)
    found = [next(reports), next(reports)]
    with pytest.raises(End):
        next(reports)
    assert [[alarm.kind for alarm in report.alarms] for report in found] == [[], ["divergence"]]
    assert found[1].final is None
    assert found[1].alarms[0].message == ("divergence from step 1,050: the loss is NaN or infinite")
    assert found[1].step == 1100
    assert found[1].to_dict()["warnings"][0]["step"] == 1050


def test_a_run_of_lost_losses_ends_at_its_horizon(tmp_path):
    path = tmp_path / "long.csv"
    rows = [f"{step},{3 if step <= 500 else 'nan'}\n" for step in range(50, HORIZON + 1, 50)]
    path.write_text("step,loss\n" + "".join(rows))

    def wait(_):
        raise AssertionError("the watch waits for a run that has ended")

    (report,) = follow(LiveRun(path, schedule=SPEC), wait=wait)
    assert report.ended
    assert report.step == HORIZON
    assert report.alarms[0].step == 550


def test_a_run_whose_losses_are_lost_is_not_on_its_plan(law):
    schedule = parse_schedule(SPEC)
    steps = np.arange(50.0, 501.0, 50.0)
    loss = law.predict(schedule, steps).mean
    run = Run("a", steps, loss, schedule)
    assert report_on(run, law).on_plan
    lost = replace(run, metadata={"diverged": True, "not_finite": (550.0, 900.0)})
    report = report_on(lost, law)
    assert report.on_plan is False
    assert "plan" not in report.line


def test_rotation_keeps_the_rows_before(tmp_path):
    path = tmp_path / "run.csv"
    live = LiveRun(path, schedule=SPEC)
    path.write_text("step,loss\n50,4\n100,3.5\n150,3.2\n")
    assert list(read(live).step) == [50, 100, 150]
    path.rename(tmp_path / "run.csv.1")
    assert list(read(live).step) == [50, 100, 150]
    path.write_text("step,loss\n")
    assert list(read(live).step) == [50, 100, 150]
    path.write_text("step,loss\n150,3.1\n200,3.0\n")
    assert list(read(live).step) == [50, 100, 150, 200]
    assert read(live).loss[2] == 3.1
    path.write_text("step,loss\n50,4.5\n100,4.4\n")
    assert list(read(live).loss) == [4.5, 4.4]


def test_a_log_that_declares_its_schedule_needs_no_other(tmp_path):
    path = tmp_path / "run.jsonl"
    live = LiveRun(path)
    with RunLog(path, SPEC, batch_size=8) as log:
        assert live.read() is None
        log.add(50, 4.0)
        assert live.read() is None
        log.add(100, 3.5)
        assert read(live).schedule.horizon == 4000
        with path.open("a") as file:
            file.write('{"step": 150, "lo')
        assert list(read(live).step) == [50, 100]


def test_a_log_with_rows_that_cannot_be_read_is_an_error_after_some_looks(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("step,loss\n50,4\n100,3.5\n150,3\n")
    live = LiveRun(path)
    assert live.read() is None
    assert live.read() is None
    with pytest.raises(InputError, match="its schedule is unknown"):
        live.read()


def test_a_log_of_several_runs_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl"
    rows = [{"run": name, "step": step, "loss": 3.0} for name in "ab" for step in (10, 20, 30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"2 runs \(a, b, \.\.\.\)"):
        LiveRun(path, schedule=SPEC).read()
