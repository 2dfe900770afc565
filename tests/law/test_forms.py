"""Published laws against their formulas, step by step; the solvable law against the model."""

import re
from pathlib import Path

import numpy as np
import pytest

from etastar.cli import main
from etastar.law import FORMS, backtest, fit
from etastar.law._points import Units, place
from etastar.model import PowerLaw, exact_losses
from etastar.runs import Run
from etastar.schedule import InputError, parse_schedule

HORIZON = 2000
UNITS = Units(2e-3, float(HORIZON))
SPECS = [
    "constant:peak=2e-3,horizon=2000",
    "cosine:peak=2e-3,horizon=2000,warmup=100,final=0.1",
    "wsd:peak=1e-3,horizon=2000,warmup=100,cooldown=0.3",
    "step:peak=2e-3,horizon=2000,warmup=100,at=1200,factor=0.1",
]


def columns(name, theta, schedule, at):
    point = place([schedule], [np.array([float(at)])], UNITS)
    return point.columns(FORMS[name], np.array(theta, dtype=float))[0]


def rates(schedule, at):
    """LRs of the updates before step `at`, and their falls from the highest so far."""
    eta = schedule(np.arange(at)) / UNITS.rate
    below = np.maximum.accumulate(eta) - eta
    return eta, np.diff(below, prepend=0.0)


@pytest.mark.parametrize("at", [900, 2000])
@pytest.mark.parametrize("spec", SPECS)
def test_the_annealing_law_is_its_double_sum(spec, at):
    schedule = parse_schedule(spec)
    forget = 0.004
    eta, fall = rates(schedule, at)
    area = eta.sum() / HORIZON
    # momentum_i = lambda momentum_(i-1) + fall_i, S2 = sum_i momentum_i
    momentum, annealed = 0.0, 0.0
    for drop in fall:
        momentum = (1 - forget) * momentum + drop
        annealed += momentum / HORIZON
    got = columns("annealing", [0.4, np.log(forget)], schedule, at)
    assert got[1] == pytest.approx(area**-0.4, rel=1e-5)
    assert -got[2] == pytest.approx(annealed, rel=0.02, abs=1e-9)


@pytest.mark.parametrize("at", [900, 2000])
@pytest.mark.parametrize("spec", SPECS)
def test_the_multi_power_law_is_its_sum_over_falls(spec, at):
    schedule = parse_schedule(spec)
    alpha, beta, gamma, scale = 0.4, 0.5, 0.3, 20.0
    eta, fall = rates(schedule, at)
    since = np.cumsum(eta[::-1])[::-1] / HORIZON
    gain = 1 - (1 + scale * np.maximum(eta, 1e-9) ** -gamma * since) ** -beta
    got = columns("multi-power", [alpha, beta, gamma, np.log(scale)], schedule, at)
    assert got[1] == pytest.approx((eta.sum() / HORIZON) ** -alpha, rel=1e-5)
    assert -got[2] == pytest.approx(np.sum(fall * gain), rel=0.02, abs=1e-9)


@pytest.mark.parametrize("at", [900, 2000])
@pytest.mark.parametrize("spec", SPECS)
def test_the_last_iterate_law_is_the_bound_from_the_first_step(spec, at):
    schedule = parse_schedule(spec)
    eta, _ = rates(schedule, at)
    eta = eta[eta > 0]
    first = np.cumsum(eta[::-1])[::-1]
    second = np.cumsum((eta**2)[::-1])[::-1]
    bracket = second[0] / first[0] + np.sum(eta[:-1] / first[1:] * second[:-1] / first[:-1])
    got = columns("last-iterate", [], schedule, at)
    assert got[1] == pytest.approx(HORIZON / (2 * eta.sum()), rel=1e-3)
    assert got[2] == pytest.approx(bracket / 2, rel=0.03)


@pytest.mark.parametrize("spec", SPECS)
def test_the_functional_law_is_its_integral(spec):
    schedule = parse_schedule(spec)
    source, memory, lag, origin = 0.6, 0.4, 1e-3, 2e-3
    eta, _ = rates(schedule, HORIZON)
    time = np.concatenate([[0.0], np.cumsum(eta) / HORIZON])
    to_go = time[-1] - (time[1:] + time[:-1]) / 2
    kernel = (1 + to_go / lag) ** -(1 + memory) * memory / lag / (1 - (1 + 1 / lag) ** -memory)
    bias = ((time + origin) / (1 + origin)) ** -source
    noise = np.sum(eta**2 * kernel) / HORIZON
    fed = np.sum(eta**2 * kernel * (bias[1:] + bias[:-1]) / 2) / HORIZON
    theta = [source, memory, np.log(lag), np.log(origin)]
    got = columns("functional", theta, schedule, HORIZON)
    assert got[1] == pytest.approx(bias[-1], rel=1e-6)
    assert got[2] == pytest.approx(noise, rel=0.01)
    assert got[3] / got[2] == pytest.approx(fed / noise, rel=0.01)


@pytest.mark.parametrize(
    "spec",
    [
        "wsd:peak=0.2,horizon=2000,warmup=50,cooldown=0.3",
        "cosine:peak=0.3,horizon=2000,warmup=50",
        "step:peak=0.3,horizon=2000,at=1000,factor=0.1",
    ],
)
@pytest.mark.parametrize(("capacity", "source"), [(1.6, 0.8), (2.0, 0.3)])
def test_the_solvable_law_is_the_exact_model(spec, capacity, source):
    model = PowerLaw(capacity, source, 0.25, 4)
    schedule = parse_schedule(spec)
    at = np.array([200.0, 900, 1100, 1700, 2000])
    units = Units(schedule.peak, 2000.0)
    theta = [source, 1 - 1 / capacity, np.log(units.rate * units.steps), np.log(1 / 4)]
    value = place([schedule], [at], units).columns(FORMS["solvable"], np.array(theta))
    got = value @ np.array([0.25, 1.0, 0.25])
    exact = exact_losses(model, schedule, at=at) + 0.25
    # The modes beyond 1e7 and the width of the bins: a thousandth for the slowest spectrum.
    np.testing.assert_allclose(got, exact, rtol=1.5e-3)


@pytest.mark.parametrize("name", [name for name in FORMS if name not in ("etastar", "solvable")])
def test_every_published_law_fits_what_it_made(name):
    form = FORMS[name]
    linear = np.linspace(2.0, 0.2, len(form.linear))
    runs = []
    for spec in SPECS:
        schedule = parse_schedule(spec)
        step = np.arange(100, HORIZON + 1, 50, dtype=float)
        value = place([schedule], [step], UNITS).columns(form, form.mean)
        runs.append(Run(spec, step, value @ linear, schedule))
    law = fit(runs, name)
    assert law.form is form
    for run in runs:
        mean = law.predict(run.schedule, at=run.step[5:]).mean
        np.testing.assert_allclose(mean, run.loss[5:], rtol=4e-3)


def test_an_unknown_law_is_refused_by_name():
    run = Run("a", np.arange(10.0, 900, 10), np.full(89, 3.0), parse_schedule(SPECS[0]))
    with pytest.raises(InputError, match="no law is named 'chinchilla'; choose one of etastar"):
        backtest([run], [Run("b", run.step, run.loss + 1, run.schedule)], form="chinchilla")


def test_the_command_and_the_guides_name_every_law(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    # A name that is broken at the end of a line is put together again.
    said = re.sub(
        r"-\s+", "-", " ".join(re.sub(r"[^\w\s,.:-]", " ", capsys.readouterr().out).split())
    )
    *others, last = FORMS
    assert f"The law to fit: {', '.join(others)} or {last}." in said
    laws = Path("docs/law.md").read_text(encoding="utf-8").split("\n## Other laws\n")[1]
    described = re.findall(r"^\| `([\w-]+)` \|", laws.split("\n## ")[0], flags=re.M)
    assert set(described) == set(FORMS) - {"etastar"}
    planning = Path("docs/planning.md").read_text(encoding="utf-8").split("\n### Another law\n")[1]
    assert set(re.findall(r"`([\w-]+)`", planning.split("\n\n")[0])) >= set(FORMS)
