"""bench/value.py: which long runs it makes, and the arithmetic of its table."""

import json
import math

import numpy as np
import pytest

from etastar.schedule import parse_schedule

pytest.importorskip("torch")  # which the scripts import

SCRIPTS = ("value_models", "value_trainings", "value_places", "loss_exponents", "value_table")
PILOT = "wsd:peak=4e-3,horizon=4000,warmup=100,cooldown=0.4"


@pytest.fixture
def bench(bench_script):
    """The modules by name."""
    return {name: bench_script(name) for name in SCRIPTS}


@pytest.fixture
def place(bench, tmp_path):
    """A training whose pilots and plan are there."""
    made = bench["value_places"].Place("gpt_code", tmp_path)
    made.__dict__.update(best_pilot=parse_schedule(PILOT), paid=9600)
    made.plan.mkdir(parents=True)
    nearest = {"spec": "linear:peak=2e-3,horizon=16000,warmup=100", "regret": 0.0}
    loss = {"mean": 1.6, "low": 1.5, "high": 1.65}
    (made.plan / "plan.json").write_text(json.dumps({"nearest": nearest, "loss": loss}))
    table = parse_schedule("linear:peak=2e-3,horizon=16000")
    table.save(made.plan / "schedule.json")
    return made


def loss_of(run, best):
    """A loss that is lowest at one peak, with the luck of a seed that all schedules share."""
    peak = 2e-3 if run.schedule.endswith(".json") else parse_schedule(run.schedule).peak
    worse = {"schedule-free": 0.03, "prodigy": 0.5}.get(run.optimizer, 0.0)
    wsd = 0.01 * run.name.startswith("wsd")
    return 1.6 + 0.05 * math.log2(peak / best) ** 2 + 0.002 * run.seed + worse + wsd


def train_all(bench, place, best):
    """The long runs in the order in which they are made."""
    losses, made = {}, []
    while True:
        wanted = bench["value_places"].wanted(place, losses)
        run = next((run for run in wanted if run.name not in losses), None)
        if run is None:
            return losses, made
        losses[run.name] = loss_of(run, best)
        made.append(run)


@pytest.mark.parametrize(("best", "peaks"), [(4e-3, 5), (2e-2, 6), (3e-4, 8)])
def test_the_grid_is_extended_until_its_best_is_inside(bench, place, best, peaks):
    losses, made = train_all(bench, place, best)
    assert len({run.name for run in made}) == len(made)
    for shape in ("cosine", "wsd"):
        table = bench["value_places"].grid(place, shape, losses)
        first = [losses[runs[0].name] for runs in table]
        lowest = int(np.argmin(first))
        assert len(table) == peaks
        assert 0 < lowest < peaks - 1
        repeated = [i for i, runs in enumerate(table) if len(runs) == 3]
        assert repeated == [lowest - 1, lowest, lowest + 1]
        steps = [parse_schedule(runs[0].schedule).peak for runs in table]
        assert np.allclose(np.diff(np.log2(steps)), 1.0)


def test_all_ways_are_trained_with_all_seeds(bench, place):
    losses, made = train_all(bench, place, 4e-3)
    ways = {way.name: way for way in bench["value_places"].contenders(place, losses)}
    assert list(ways) == [
        "plan", "nearest", "carried_cosine", "carried_wsd", "carried_linear", "root_cosine",
        "bound_linear", "schedule_free", "prodigy",
    ]  # fmt: skip
    assert all([run.seed for run in way.runs] == [0, 1, 2] for way in ways.values())
    # Pilots of 9600 updates, horizon 16000; schedule-free has four candidates, the best is kept.
    assert ways["plan"].cost == 25600
    assert ways["schedule_free"].cost == 9600 + 4 * 16000
    assert ways["prodigy"].cost == 16000
    assert ways["schedule_free"].runs[1].name == "schedule_free_x1_s1"
    assert parse_schedule(ways["root_cosine"].runs[0].schedule).peak == 2e-3  # sqrt(1/4) of 4e-3
    assert {run.seed for run in made} == {0, 1, 2}


def test_the_bound_moves_a_peak_as_its_closed_form(bench):
    """D/G / sqrt(S C), with S = T/2, C = 2 of linear decay and S = T (1 - f/2), C = 2 + ln(2/f - 1)
    of WSD with a cooldown over the part f (docs/robust.md)."""
    bound_peak = bench["value_places"].bound_peak
    pilot = parse_schedule("wsd:peak=3e-3,horizon=40000,cooldown=0.4")
    target = parse_schedule("linear:peak=1,horizon=160000")
    wsd = 40000 * 0.8 * (2 + math.log(4.0))
    assert bound_peak(pilot, target) == pytest.approx(3e-3 * math.sqrt(wsd / 160000), rel=1e-3)


def test_losses_are_compared_seed_by_seed(bench):
    compared = bench["value_table"].compared
    found = compared({0: 2.2, 1: 4.2, 2: 6.5}, {0: 2.0, 1: 4.0, 2: 6.0})
    assert found.mean == pytest.approx(0.3 / 4)
    assert found.error == pytest.approx(np.std([0.05, 0.05, 0.125], ddof=1) / math.sqrt(3))
    assert found.sure  # 3 standard errors, and Student's t of 2 degrees of freedom asks for 2.92
    assert not compared({0: 2.2, 1: 4.2, 2: 6.52}, {0: 2.0, 1: 4.0, 2: 6.0}).sure
    assert compared({0: 2.2, 1: 4.21}, {0: 2.0, 1: 4.0}).sure
    assert compared({0: math.inf}, {0: 2.0}).mean == math.inf
    assert compared({0: 1.0}, {1: 2.0}).seeds == 0


def finished(bench, place, best):
    """All long runs on the disk."""
    losses, made = train_all(bench, place, best)
    place.long.mkdir(parents=True)
    lines = ["run,schedule,status,seconds"]
    for run in made:
        lines.append(f'{run.name},"{run.schedule}",finished,1')
        text = f"step,loss\n0,5.5\n16000,{losses[run.name]:.6f}\n"
        (place.long / f"{run.name}.csv").write_text(text)
    (place.long / "runs.csv").write_text("\n".join(lines))
    return losses


class Foretold:
    """Forecasts that are all the same."""

    def __init__(self, place):
        pass

    def __call__(self, run, name):
        return (1.65, 1.55, 1.75) if run.optimizer == "own" else None


def test_the_table_of_a_finished_training(bench, place, monkeypatch):
    table = bench["value_table"]
    losses = finished(bench, place, 4e-3)
    monkeypatch.setattr(table, "Forecasts", Foretold)
    result = table.result_of(place)
    assert result.complete
    assert place.losses() == pytest.approx(losses, abs=1e-6)
    rows = {row.name: row for row in result.rows}
    assert rows["grid_cosine"].over_best.mean == 0.0
    assert rows["grid_wsd"].over_best.mean == pytest.approx(0.01 / 1.602)
    assert rows["plan"].over_best.mean == pytest.approx(0.05 / 1.602)
    assert rows["carried_cosine"].over_plan.mean == pytest.approx(-0.05 / 1.652)
    assert rows["carried_cosine"].over_plan.sure  # the seeds' luck cancels in a pair
    assert rows["plan"].cost == 1.6
    assert rows["plan"].held == 3
    assert rows["prodigy"].forecast is None
    assert len(result.points) == 10


def test_forecasts_are_judged_by_run(bench, place, monkeypatch):
    table = bench["value_table"]
    row = table.Row("a", "", {0: 1.0, 1: 2.0}, 1.0, (1.5, 1.2, 2.1), None, None)
    other = table.Row("b", "", {0: 4.0, 1: math.inf}, 1.0, (4.0, 3.9, 4.1), None, None)
    unknown = table.Row("c", "", {0: 4.0}, 1.0, None, None, None)
    found = table.calibration([row, other, unknown])
    assert (found.runs, found.schedules) == (3, 2)
    assert found.held == pytest.approx(2 / 3)
    assert found.error == pytest.approx((0.5 + 0.25 + 0) / 3)
    assert found.bias == pytest.approx((0.5 - 0.25 + 0) / 3)
    assert found.reach == pytest.approx((0.45 + 0.225 + 0.025) / 0.75)
    assert table.calibration([unknown]) is None


def test_numbers_can_be_written_and_drawn(bench, place, monkeypatch, tmp_path, capsys):
    table = bench["value_table"]
    finished(bench, place, 4e-3)
    monkeypatch.setattr(table, "Forecasts", Foretold)
    results = table.results_of([place])
    table.write_json(results, tmp_path / "table.json")
    document = json.loads((tmp_path / "table.json").read_text())
    assert document["together"]["touched"]["ways"]["plan"]["trainings"] == 1
    assert document["trainings"]["gpt_code"]["complete"]
    table.print_results(results)
    assert "the plan lost to carried_cosine, surely: -3.03%" in capsys.readouterr().out
    table.write_figure(results, tmp_path / "figure.html")
    assert "prodigy" in (tmp_path / "figure.html").read_text()


def test_a_diverged_run_has_no_loss(bench, place):
    place.long.mkdir(parents=True)
    (place.long / "runs.csv").write_text("run,status\na,diverged\nb,running\n")
    assert place.losses() == {"a": math.inf}


@pytest.fixture
def driver(bench, bench_script):
    return bench_script("value")


@pytest.fixture
def pretended(bench, driver, place, monkeypatch):
    """Trainings that take no time; returns the names of the runs that were made."""
    made = []

    def train(arguments):
        options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        run = bench["value_places"].LongRun(
            options["--name"], options["--schedule"], int(options["--seed"]), options["--optimizer"]
        )
        if len(made) == 7:
            made.append("interrupted")
            return 130
        made.append(run.name)
        (place.long / f"{run.name}.csv").write_text(f"step,loss\n16000,{loss_of(run, 4e-3)}\n")
        row = {"run": run.name, "status": "finished", "seconds": "2"}
        driver.declare_run(place.long, row)
        return 0

    place.long.mkdir(parents=True)
    monkeypatch.setattr(driver.value_trainings, "main", train)
    return made


def test_an_interrupted_benchmark_goes_on_and_ends(driver, place, pretended):
    assert driver.run(place) == 130
    journal = (place.root / "gpt_code.csv").read_text().splitlines()
    assert journal[0] == "step,loss,run"
    assert journal[-1].startswith(f"{9600 + 7 * 16000},")
    assert driver.run(place) == 0
    assert len(set(pretended)) == len(pretended)
    rows = driver.read_table(place.root / "runs.csv")[1]
    assert [row["status"] for row in rows] == ["finished"]
    assert int(rows[0]["seconds"]) == 2 * (len(pretended) - 1)
    made = len(pretended)
    assert driver.run(place) == 0
    assert len(pretended) == made


def test_failing_pilots_end_the_benchmark(driver, place, monkeypatch):
    (place.plan / "plan.json").unlink()
    monkeypatch.setattr(driver, "run_long", lambda place: 0)  # the grid is there
    monkeypatch.setattr(driver, "run_pilots", lambda place: 2)
    assert driver.run(place) == 2
    assert not place.planned
