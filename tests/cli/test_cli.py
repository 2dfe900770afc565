"""Commands: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import etastar.law
import etastar.planning
from etastar import cli
from etastar._provenance import making, provenance
from etastar.model import PowerLaw
from etastar.schedule import InputError, Schedule, parse_schedule

SPEC = "cosine:peak=0.02,horizon=4000,warmup=20"
FIELDS_OF_LAW = (
    "form",
    "units",
    "steps_fitted",
    "peak_range",
    "caveats",
    "transient_error",
    "doublings",
)


def run(capsys, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.fixture
def planning(monkeypatch, plan_of):
    """Make `plan` answer at once; returns what it was asked."""
    asked = []

    def fake(runs, horizon, **options):
        asked.append((runs, horizon, options))
        print("a library talks")
        return plan_of()

    monkeypatch.setattr(etastar.planning, "plan", fake)
    return asked


@pytest.fixture
def fitting(monkeypatch, plan_of):
    """Make `fit` answer at once."""
    monkeypatch.setattr(etastar.law, "fit", lambda *_, **__: plan_of().law)


def assert_wrong_input(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


# What is printed


def test_plan_prints_one_json_object_and_nothing_else(capsys, planning, logs):
    code, out, err = run(capsys, "plan", logs, "--horizon", 8000, "--json")
    assert code == 0
    assert out.count("\n") == 1
    assert list(json.loads(out)) == [
        "phase",
        "peak_lr",
        "schedule",
        "nearest",
        "loss",
        "expected_regret",
        "batch_size",
        "samples",
        "seconds",
        "critical_batch",
        "within",
        "beyond_cap",
        "comparison",
        "caveats",
        "provenance",
    ]
    assert "a library talks" in err


def test_plan_prints_tables(capsys, planning, logs):
    code, out, _ = run(capsys, "plan", logs, "--horizon", "8e3")
    assert code == 0
    for text in ("peak LR", "0.015", "cosine:peak=0.02", "> 100×", "1.12×", "only 3 pilots"):
        assert text in out
    assert planning[0][1] == 8000
    assert [run.name for run in planning[0][0]] == ["low", "high", "cooled"]


def test_plan_hands_its_options_on(capsys, planning, logs):
    words = ["--peak-cap", "0.05", "--floor", "1e-4", "--warmup", "7", "--transient", "0.1"]
    run(capsys, "plan", logs, "--horizon", 8000, *words)
    expected = {"peak_cap": 0.05, "floor": 1e-4, "warmup": 7, "continued": None, "form": "etastar"}
    expected |= {"samples": None, "seconds": None, "step_time": None, "batch_size": None}
    assert callable(planning[0][2].pop("progress"))
    assert planning[0][2] == expected | {"transient": 0.1, "optimiser": "auto"}


def test_plan_hands_budget_and_batch_size_on(capsys, planning, logs):
    words = ["--samples", "1e6", "--batch", "16,512", "--optimiser", "normalised"]
    assert run(capsys, "plan", logs, *words)[0] == 0
    _, horizon, options = planning[0]
    assert horizon is None
    assert options["samples"] == 1e6
    assert options["batch_size"] == (16.0, 512.0)
    assert options["optimiser"] == "normalised"
    words = ["--seconds", 3600, "--step-time", "0.1,0.002", "--batch", 64]
    assert run(capsys, "plan", logs, *words)[0] == 0
    options = planning[1][2]
    assert (options["seconds"], options["step_time"]) == (3600.0, (0.1, 0.002))
    assert options["batch_size"] == 64.0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["Missing", "--horizon, --samples or --seconds"]),
        (["--horizon", 9, "--samples", 9], ["--horizon and --samples"]),
        (["--seconds", 9], ["--seconds needs --step-time"]),
        (["--seconds", 9, "--step-time", "0,0"], ["--step-time", "not both 0"]),
        (["--seconds", 9, "--step-time", "1"], ["--step-time", "two numbers"]),
        (["--samples", "many"], ["--samples 'many'"]),
        (["--horizon", 80, "--batch", "0"], ["--batch '0'"]),
        (["--horizon", 80, "--batch", "64,16"], ["--batch '64,16'"]),
        (["--horizon", 80, "--batch", "1,2,3"], ["--batch '1,2,3'"]),
        (["--horizon", 80, "--optimiser", "adam"], ["--optimiser 'adam'", "normalised"]),
    ],
)
def test_budgets_and_batch_sizes_that_are_none_name_the_option(capsys, logs, words, parts):
    assert_wrong_input(run(capsys, "plan", logs, *words), *parts)


def test_forecast_takes_the_batch_size_asked_or_that_of_the_file(
    capsys, monkeypatch, fitting, logs, tmp_path, plan_of
):
    asked = []
    law = plan_of().law

    def predict(schedule, at, batch_size):
        asked.append(batch_size)
        return law.predict(schedule, at)

    fake = SimpleNamespace(**{name: getattr(law, name) for name in FIELDS_OF_LAW}, predict=predict)
    monkeypatch.setattr(etastar.law, "fit", lambda *_, **__: fake)
    for words in ([], ["--batch", "64"]):
        assert run(capsys, "forecast", logs, "--schedule", SPEC, *words)[0] == 0
    assert asked == [None, 64.0]
    path, size = tmp_path / "schedule.json", parse_schedule("constant:peak=16,horizon=4000")
    parse_schedule(SPEC).save(path, batch_size=size)
    code, _, _ = run(capsys, "forecast", logs, "--schedule", path)
    assert code == 0
    assert asked[2] == size
    assert_wrong_input(
        run(capsys, "forecast", logs, "--schedule", SPEC, "--batch", "-1"), "--batch '-1'"
    )


def test_plan_writes_its_files(capsys, planning, logs, tmp_path, plan_of):
    folder = tmp_path / "new" / "folder"
    code, out, _ = run(capsys, "plan", logs, "--horizon", 8000, "--out", folder)
    assert code == 0
    assert out.splitlines()[-2:] == [
        f"report: {folder / 'report.html'}",
        f"next: etastar open {folder}",
    ]
    assert Schedule.load(folder / "schedule.json") == plan_of().schedule
    code, out, _ = run(capsys, "plan", logs, "--horizon", 8000, "--out", folder, "--json")
    assert json.loads(out) == json.loads((folder / "plan.json").read_text())


def test_plan_says_how_it_was_made(capsys, monkeypatch, planning, logs, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    words = ["plan", logs, "--horizon", 8000, "--out", tmp_path / "plan", "--json"]
    _, out, _ = run(capsys, *words)
    made = json.loads(out)["provenance"]
    assert made["command"] == " ".join(["etastar", *map(str, words)])
    assert made["date"] == "2023-11-14T22:13:20+00:00"
    assert [Path(each["name"]).name for each in made["inputs"]] == [
        "runs.csv",
        "low.csv",
        "high.csv",
        "cooled.csv",
    ]
    page = (tmp_path / "plan" / "report.html").read_text()
    assert made["inputs"][1]["sha256"] in page.split("<footer")[1]
    # With it and without it the plan is read.
    document = json.loads((tmp_path / "plan" / "plan.json").read_text())
    _, with_it, _ = run(capsys, "export", tmp_path / "plan", "--to", "megatron")
    del document["provenance"]
    (tmp_path / "plan" / "plan.json").write_text(json.dumps(document))
    _, without, _ = run(capsys, "export", tmp_path / "plan", "--to", "megatron")
    assert with_it == without
    assert "--lr-decay-style WSD" in without


def test_a_training_reads_a_plan_with_its_provenance(tmp_path, plan_of):
    torch = pytest.importorskip("torch")
    from etastar.integrations.torch import ScheduledLR

    with making(["etastar", "plan"]):
        plan_of(provenance=provenance()).save(tmp_path)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    assert ScheduledLR(optimizer, tmp_path / "plan.json").schedule == plan_of().schedule


def test_no_table_prints_the_knots_of_a_schedule(
    capsys, planning, fitting, logs, tmp_path, plan_of
):
    plan_of().save(tmp_path)
    for words in (
        ["plan", logs, "--horizon", 8000],
        ["forecast", logs, "--schedule", tmp_path],
        ["robust", tmp_path],
    ):
        code, out, _ = run(capsys, *words)
        assert code == 0
        assert "knots=" not in out
        assert ("piecewise (4 knots), peak 0.015, 8k steps" in out) == (words[0] != "plan")


def test_plan_goes_on_from_a_run_that_is_read_once(capsys, planning, logs):
    words = ["--continue", logs / "cooled.csv", "--horizon", 8000]
    code, _, _ = run(capsys, "plan", logs, *words)
    assert code == 0
    runs, _, options = planning[0]
    assert [each.name for each in runs].count("cooled") == 1
    assert any(each is options["continued"] for each in runs)
    code, _, _ = run(capsys, "plan", logs / "low.csv", *words)
    assert code == 0
    assert [each.name for each in planning[1][0]] == ["low", "cooled"]
    wrong = run(capsys, "plan", logs, "--continue", logs, "--horizon", 8000)
    assert_wrong_input(wrong, "--continue", "3 runs", "name the log of one")


def test_text_that_looks_like_markup_is_printed_as_it_is(capsys, monkeypatch, plan_of, logs):
    caveat = "run [bold]x[/bold] [/] is odd"
    monkeypatch.setattr(etastar.planning, "plan", lambda *_, **__: plan_of(caveats=(caveat,)))
    code, out, _ = run(capsys, "plan", logs, "--horizon", 8000)
    assert code == 0
    assert caveat in out


def test_forecast_prints_the_law_at_the_steps_asked(capsys, fitting, logs, plan_of):
    words = ["--schedule", SPEC, "--at", "1000, 4e3,200", "--json"]
    code, out, err = run(capsys, "forecast", logs, *words)
    assert code == 0
    document = json.loads(out)
    assert list(document) == ["loss", "columns"]
    assert list(document["loss"]) == ["200", "1000", "4000"]
    expected = plan_of().law.predict(parse_schedule(SPEC), np.array([200.0, 1000.0, 4000.0]))
    for row, mean in zip(document["loss"].values(), expected.mean, strict=True):
        assert list(row) == ["mean", "low", "high"]
        assert row["mean"] == mean
    assert "note: the schedule is 2 times as long as the longest run fitted" in err


def test_forecast_goes_to_the_horizon_by_default(capsys, fitting, logs):
    code, out, _ = run(capsys, "forecast", logs, "--schedule", SPEC)
    assert code == 0
    assert " 4k " in out
    _, out, _ = run(capsys, "forecast", logs, "--schedule", "constant:peak=1,horizon=1", "--json")
    assert list(json.loads(out)["loss"]) == ["1"]


def test_forecast_takes_the_file_that_plan_writes(capsys, fitting, logs, tmp_path):
    parse_schedule(SPEC).save(tmp_path / "schedule.json")
    words = ["--at", "4000", "--json"]
    _, from_file, _ = run(
        capsys, "forecast", logs, "--schedule", tmp_path / "schedule.json", *words
    )
    _, from_spec, _ = run(capsys, "forecast", logs, "--schedule", SPEC, *words)
    assert from_file == from_spec
    _, from_folder, _ = run(capsys, "forecast", logs, "--schedule", tmp_path, *words)
    assert from_folder == from_spec


def test_export_takes_the_folder_of_a_plan(capsys, tmp_path):
    parse_schedule(SPEC).save(tmp_path / "schedule.json")
    _, from_folder, _ = run(capsys, "export", tmp_path, "--to", "torch")
    _, from_spec, _ = run(capsys, "export", SPEC, "--to", "torch")
    assert from_folder == from_spec


def test_forecast_hands_its_transient_on(capsys, monkeypatch, logs, plan_of):
    asked = []

    def fake(runs, form, **options):
        asked.append(options)
        return plan_of().law

    monkeypatch.setattr(etastar.law, "fit", fake)
    run(capsys, "forecast", logs, "--schedule", SPEC, "--transient", "0.2")
    assert asked[0]["transient"] == 0.2


BACKTEST_KEYS = ["r2", "mae", "rmse", "mean_rel", "worst_rel", "final_error", "covered"]


def test_backtest_of_real_fits(capsys, logs):
    words = ["--fit", logs / "low.csv", "--fit", logs / "high.csv", "--test", logs]
    code, out, err = run(capsys, "backtest", *words, "--json")
    assert code == 0
    document = json.loads(out)
    assert list(document) == [
        "runs",
        "average",
        "rank_correlation",
        "selection_regret",
        "fit_seconds",
        "columns",
    ]
    assert [row["run"] for row in document["runs"]] == ["cooled"]
    assert list(document["runs"][0]) == ["run", *BACKTEST_KEYS]
    assert list(document["average"]) == BACKTEST_KEYS
    assert document["rank_correlation"] is None
    assert "note: fitted, so not tested: low, high" in err
    code, out, _ = run(capsys, "backtest", *words)
    assert code == 0
    for name in ("cooled", "average", "worst_rel", "rank correlation -"):
        assert name in out


def test_backtest_of_another_law_draws_its_plot(capsys, logs, tmp_path):
    words = ["--fit", logs / "low.csv", "--fit", logs / "high.csv", "--test", logs]
    page = tmp_path / "new" / "plot.html"
    code, out, _ = run(capsys, "backtest", *words, "--law", "power", "--plot", page)
    assert code == 0
    assert f"plot: {page}" in out
    text = page.read_text()
    assert "Backtest of the law power" in text
    assert "1 run that the law was not fitted to" in text
    assert "cooled" in text
    wrong = run(capsys, "backtest", *words, "--law", "chinchilla")
    assert_wrong_input(wrong, "--law 'chinchilla'", "annealing")
    wrong = run(capsys, "backtest", *words, "--plot", tmp_path / "plot.png")
    assert_wrong_input(wrong, "plot.png", ".html")


def test_backtest_measures_where_its_transient_ends(capsys, logs):
    words = ["--fit", logs / "low.csv", "--fit", logs / "high.csv", "--test", logs]
    words += ["--law", "power", "--json"]
    _, first, _ = run(capsys, "backtest", *words)
    _, given, _ = run(capsys, "backtest", *words, "--transient", "0.05")
    _, later, _ = run(capsys, "backtest", *words, "--transient", "0.5")
    first, given, later = (json.loads(text)["runs"] for text in (first, given, later))
    assert given == first
    # In the second half alone the losses vary less.
    assert later[0]["r2"] != first[0]["r2"]
    wrong = run(capsys, "backtest", *words, "--transient", "2")
    assert_wrong_input(wrong, "--transient", "from 0 to below 1")


@pytest.mark.slow
def test_plan_and_forecast_for_real_in_a_process_of_their_own(logs, tmp_path):
    words = ["plan", str(logs), "--horizon", "6000", "--out", str(tmp_path), "--json"]
    done = subprocess.run([sys.executable, "-m", "etastar.cli", *words], capture_output=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["loss"]["low"] <= document["loss"]["mean"] <= document["loss"]["high"]
    assert all(row["regret"] >= 0 for row in document["comparison"])
    assert document["nearest"]["regret"] == min(row["regret"] for row in document["comparison"])
    assert 10**5 < (tmp_path / "report.html").stat().st_size < 2 * 10**6
    schedule = Schedule.load(tmp_path / "schedule.json")
    assert schedule.horizon == 6000
    assert schedule.peak == document["peak_lr"]


# Exit codes


def test_help_and_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("etastar 0.")
    for words in ([], ["--help"], ["plan", "--help"], ["-h"]):
        code, out, err = run(capsys, *words)
        assert code == 0
        assert "Usage" in out
        assert err == ""


def test_help_imports_nothing_slow():
    script = (
        "import sys\nfrom etastar import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "slow = {'jax', 'plotly', 'polars', 'scipy', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["Missing", "--horizon"]),
        (["--horizon", "0"], ["--horizon", "from 1"]),
        (["--horizon", "-5"], ["--horizon"]),
        (["--horizon", "1e15"], ["--horizon", "below 1e15"]),
        (["--horizon", "many"], ["--horizon 'many' is not a number"]),
        (["--horizon", "nan"], ["--horizon"]),
        (["--horizon", "inf"], ["--horizon"]),
        (["--horizon", "10.5"], ["--horizon", "whole number"]),
        (["--horizon", "100", "--warmup", "x"], ["--warmup"]),
        (["--horizon", "100", "--floor", "x"], ["--floor"]),
        (["--horizon", "100", "--transient", "x"], ["--transient"]),
        (["--horizon", "100", "--transient", "-0.1"], ["--transient", "from 0 to below 1"]),
        (["--horizon", "100", "--transient", "1"], ["--transient", "0.05 is 5%"]),
        (["--horizon", "100", "--transient", "nan"], ["--transient"]),
        (["--horizon", "100", "--nonsense"], ["--nonsense"]),
        (
            ["--horizon", "100", "--loss", "perplexity"],
            ["perplexity", "name one of these with --loss"],
        ),
        (["--horizon", "100", "--runs-schedule", "cosin:peak=1"], ["did you mean 'cosine'"]),
    ],
)
def test_bad_options_are_one_line_and_exit_2(capsys, logs, words, parts):
    assert_wrong_input(run(capsys, "plan", logs, *words), *parts)


def test_bad_sources_are_one_line_and_exit_2(capsys, tmp_path, logs):
    plan = ["--horizon", "100"]
    assert_wrong_input(run(capsys, "plan", tmp_path / "none.csv", *plan), "none.csv")
    assert_wrong_input(run(capsys, "plan", tmp_path, *plan), str(tmp_path), "no logs")
    assert_wrong_input(run(capsys, "plan", *plan), "RUNS")
    bad = tmp_path / "bad.csv"
    bad.write_text("step,lr,loss\n1,0.1,x\n2,0.1,3\n")
    assert_wrong_input(run(capsys, "plan", bad, *plan), "bad.csv")
    words = ["--fit", logs / "low.csv", logs / "high.csv", "--test", logs]
    assert_wrong_input(run(capsys, "backtest", *words), "high.csv", "quote a glob")
    words = ["--fit", logs, "--test", logs]
    assert_wrong_input(run(capsys, "backtest", *words), "every --test run is a --fit run")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--schedule", "cosine:peak=1"], ["horizon"]),
        (["--schedule", "no/such.json"], ["no/such.json"]),
        (["--schedule", "pilots"], ["unknown schedule 'pilots'", "nor is there a file or folder"]),
        (["--schedule", __file__], ["test_cli.py: is no schedule; give a schedule.json"]),
        (["--schedule", str(Path(__file__).parent)], ["this folder has no schedule.json"]),
        (["--schedule", SPEC, "--at", "4001"], ["--at 4001", "beyond the horizon"]),
        (["--schedule", SPEC, "--at", "1,,2"], ["--at ''"]),
        (["--schedule", SPEC, "--at", "-1"], ["--at"]),
        (["--schedule", SPEC, "--transient", "5"], ["--transient", "0.05 is 5%"]),
    ],
)
def test_bad_forecasts_are_one_line_and_exit_2(capsys, logs, fitting, words, parts):
    assert_wrong_input(run(capsys, "forecast", logs, *words), *parts)


def test_a_folder_for_output_is_tried_before_the_work(capsys, planning, logs, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        assert_wrong_input(
            run(capsys, "plan", logs, "--horizon", 100, "--out", folder), "is not a folder"
        )
    assert planning == []
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_refused(capsys, planning, logs, tmp_path):
    tmp_path.chmod(0o500)
    assert_wrong_input(
        run(capsys, "plan", logs, "--horizon", 100, "--out", tmp_path), "cannot be written"
    )


def test_input_errors_of_the_library_exit_2(capsys, monkeypatch, logs):
    def refuse(*_, **__):
        raise InputError("too few\nruns: add one")

    monkeypatch.setattr(etastar.planning, "plan", refuse)
    result = run(capsys, "plan", logs, "--horizon", 100, "--json")
    assert_wrong_input(result, "too few runs: add one")


def test_our_fault_is_one_line_and_exit_1(capsys, monkeypatch, logs):
    def fail(*_, **__):
        raise ZeroDivisionError("in the\nsolver")

    monkeypatch.setattr(etastar.planning, "plan", fail)
    monkeypatch.delenv("ETASTAR_DEBUG", raising=False)
    code, out, err = run(capsys, "plan", logs, "--horizon", 100)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "ZeroDivisionError: in the solver" in err
    assert "ETASTAR_DEBUG=1" in err
    monkeypatch.setenv("ETASTAR_DEBUG", "1")
    code, _, err = run(capsys, "plan", logs, "--horizon", 100)
    assert code == 1
    assert "Traceback" in err


def test_a_closed_pipe_is_no_traceback(logs: Path):
    code = (
        "import sys\nfrom etastar import cli\nsys.stdout.write('x' * 10**6)\ncli.main(['--help'])\n"
    )
    command = f'{sys.executable} -c "{code}" | head -c 1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


# The solvable model and robustness


@pytest.mark.slow
def test_solve_prints_the_optimum_as_json(capsys):
    words = ("--capacity", 1.5, "--source", 1, "--noise", 0.25, "--batch", 8, "--horizon", "1e3")
    code, out, _ = run(capsys, "solve", *words, "--json")
    assert code == 0
    document = json.loads(out)
    times = ["seconds", "wall_seconds", "compile_seconds"]
    numbers = ["gap", "lower_bound", *times, "cap"]
    assert list(document) == ["phase", "loss", "schedule", "baselines", *numbers]
    assert document["lower_bound"] < document["loss"]
    assert document["seconds"] + document["compile_seconds"] < document["wall_seconds"]
    assert document["cap"] == pytest.approx(PowerLaw(1.5, 1.0, 0.25, 8).max_rate)
    assert set(document["phase"]) == {"name", "xi", "delta", "loss_exponent"}
    assert {"constant", "power", "linear", "cosine", "wsd"} < set(document["baselines"])
    for family, each in document["baselines"].items():
        assert each["spec"].startswith(f"{family}:peak={each['peak_lr']:.6g}"[: len(family) + 8])
        assert set(each) == {"loss", "peak_lr", "spec"}
    assert document["loss"] <= min(each["loss"] for each in document["baselines"].values())
    assert document["gap"] < 1e-4
    assert document["schedule"]["knots"][-1][0] == 1000


@pytest.mark.slow
def test_solve_without_a_cap_says_so(capsys, tmp_path):
    words = ("--capacity", 1.5, "--source", 0.2, "--noise", 0.25, "--batch", 64, "--horizon", 12)
    page = tmp_path / "optimum.html"
    code, out, _ = run(capsys, "solve", *words, "--cap", "transient", "--json", "--plot", page)
    assert code == 0
    document = json.loads(out)
    assert document["cap"] == "transient"
    rates = [rate for _, rate in document["schedule"]["knots"]]
    assert max(rates) > 2 * PowerLaw(1.5, 0.2, 0.25, 64).max_rate
    assert "the largest that is stable when held" in page.read_text()


@pytest.mark.slow
def test_solve_prints_tables_and_draws(capsys, tmp_path):
    words = ("--capacity", 1.5, "--source", 0.2, "--noise", 0.25, "--batch", 8, "--horizon", 1000)
    code, out, _ = run(capsys, "solve", *words, "--plot", tmp_path / "optimum.html")
    assert code == 0
    assert "hard phase" in out
    assert re.search(r"solved in [\d.]+ s \([\d.e-]+ s of it compilation\)", " ".join(out.split()))
    assert "inverse_sqrt" in out
    assert "Optimal schedule of the solvable model" in (tmp_path / "optimum.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--capacity", 0.5, "--horizon", 1000), "capacity"),
        (("--capacity", 1.5), "one budget"),
        (("--capacity", 1.5, "--horizon", 0), "--horizon"),
        (("--capacity", 1.5, "--horizon", 1000, "--step-time", "1"), "--step-time"),
        (("--capacity", 1.5, "--horizon", 1000, "--controls", "lr,wd"), "controls"),
        (("--capacity", 1.5, "--horizon", 1000, "--cap", "high"), "neither an LR nor transient"),
        (("--capacity", 1.5, "--horizon", "1M", "--cap", "transient"), "largest for cap=transient"),
        (("--capacity", 1.5, "--horizon", 1000, "--controls", "lr,batch"), "give samples"),
    ],
)
def test_solve_names_what_is_wrong(capsys, words, said):
    result = run(capsys, "solve", "--source", 1, "--noise", 0.25, "--batch", 8, *words)
    assert_wrong_input(result, said)


@pytest.mark.slow
def test_solve_takes_full_gradients(capsys):
    words = ("--capacity", 1.5, "--source", 1, "--noise", 0.25, "--batch", "inf", "--horizon", 5)
    code, out, _ = run(capsys, "solve", *words, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["loss"] < 0.06  # five updates of gradient descent
    assert document["loss"] <= min(each["loss"] for each in document["baselines"].values())


def test_phase_prints_the_exponents(capsys, tmp_path):
    words = ("phase", "--capacity", 1.5, "--source", 0.2)
    code, out, _ = run(capsys, *words, "--json", "--plot", tmp_path / "phase.html")
    assert code == 0
    document = json.loads(out)
    assert document["name"] == "hard"
    assert document["annealed_exponent"] == pytest.approx(0.1)
    assert "<dd>hard</dd>" in (tmp_path / "phase.html").read_text()


def test_robust_prints_inflation_and_grid(capsys):
    code, out, _ = run(capsys, "robust", "linear:peak=1,horizon=20000", "--rho", "10", "--json")
    assert code == 0
    document = json.loads(out)
    assert list(document) == ["inflation", "exponent", "grid"]
    assert document["inflation"]["10"] == pytest.approx(2.04, abs=0.01)
    assert document["exponent"] == pytest.approx(1 / 3, abs=0.01)


# What was read


def test_commands_say_which_columns_they_read(capsys, tmp_path):
    rows = [
        f"{step},{3 - step / 4000:.4f},0.1,{2.9 - step / 4000:.4f}" for step in range(0, 2001, 100)
    ]
    text = "\n".join(["step,train_loss,lr,val/nll", *rows]) + "\n"
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(text)
    words = (tmp_path / "a.csv", "--schedule", "constant:peak=0.1,horizon=2000", "--law", "power")
    line = "read: loss from train_loss, step from step, LR from lr"
    code, out, _ = run(capsys, "forecast", *words, "--loss", "train_loss")
    assert code == 0
    assert line in out
    code, out, _ = run(capsys, "forecast", *words, "--loss", "val/nll", "--json")
    assert code == 0
    read = {"runs": ["a"], "step": "step", "loss": "val/nll", "lr": "lr"}
    assert json.loads(out)["columns"] == [read]
    words = ("--fit", tmp_path / "a.csv", "--test", tmp_path / "b.csv", "--law", "power")
    code, out, _ = run(capsys, "backtest", *words, "--loss", "train_loss")
    assert code == 0
    assert line in out
