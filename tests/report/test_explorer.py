"""What the page of a plan computes in a browser is what the library computes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from etastar.control import Limits, Member, Past, steps_to_match
from etastar.export import TARGETS, known_target
from etastar.law import AverageLaw, fit
from etastar.planning import BatchMap, Estimate, Plan
from etastar.report import plan_report
from etastar.report._numbers import steps_text
from etastar.report._page import SCRIPTS, browser_text
from etastar.schedule import Schedule, join, parse_schedule, table
from tests.helpers.browser import opened_browser, opened_page, settle
from tests.helpers.laws import make_batch_pilots, make_pilots
from tests.helpers.plans import make_plan

pytestmark = pytest.mark.slow

SCHEDULES = 50
CLOSE = 1e-6


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as found:
        yield found


def planned(runs, schedule: Schedule, limits: Limits, batch=None, charted=None) -> Plan:
    """A plan by a law fitted to runs, without a search for its schedule."""
    law = fit(runs)
    forecast = law.predict(schedule, batch_size=batch)
    return make_plan(
        horizon=schedule.horizon, schedule=schedule, law=law, members=(law, *law.draws(3)),
        limits=limits, runs=tuple(runs), forecast=forecast, loss=Estimate(*forecast.final),
        batch_size=batch, batch_map=charted, comparison=(), other_horizons=(),
        samples=None if batch is None else float(batch.intrinsic_time(schedule.horizon)),
    )  # fmt: skip


def knots(horizon: int) -> Schedule:
    """A schedule of as many knots as a solver makes."""
    steps = horizon * np.linspace(0, 1, 61) ** 0.8
    rates = 1.2e-3 * (1 - np.linspace(0, 1, 61) ** 2)
    rates[0], rates[30:] = 0.0, 0.7 * rates[30:]
    return table(steps, rates)


@pytest.fixture(scope="module")
def own_plan() -> Plan:
    return planned(make_pilots(), knots(16_000), Limits(2e-3, warmup=100))


@pytest.fixture(scope="module")
def batch_plan() -> Plan:
    """Several batch sizes, a ramp of these, and another form of the law."""
    sizes = [(16, 4000), (40, 9000), (128, 12_000)]
    batch = join(
        [(parse_schedule(f"constant:peak={b},horizon={until}"), until) for b, until in sizes]
    )
    charted = BatchMap(np.array([1e-3, 2e-3]), np.array([8.0, 128.0]), np.full((2, 2), 2.7))
    schedule = parse_schedule("wsd:peak=1.4e-3,horizon=12000,warmup=60,cooldown=0.3,decay=sqrt")
    return planned(make_batch_pilots(), schedule, Limits(1.4142e-3, warmup=60), batch, charted)


@pytest.fixture(scope="module")
def continued_plan() -> Plan:
    past = Past(parse_schedule("cosine:peak=1e-3,horizon=5000,warmup=100"), 3000, 8.0)
    limits = Limits(2e-3, floor=1e-5, warmup=80, past=past)
    schedule = limits.whole(parse_schedule("linear:peak=1.1e-3,horizon=5920,final=0.05"))
    batch = parse_schedule("constant:peak=8,horizon=9000")
    return planned(make_pilots(), schedule, limits, batch)


PLANS = ["own_plan", "batch_plan", "continued_plan"]


@pytest.fixture(params=PLANS)
def any_plan(request) -> Plan:
    return request.getfixturevalue(request.param)


def random_schedules(plan: Plan, rng: np.random.Generator) -> list[Schedule]:
    """Schedules of every shape, and the plan's own at other horizons and peaks."""
    tails = (
        "constant:", "linear:", "linear:final=0.2,", "cosine:final=0.1,", "polynomial:power=1.7,",
        "power:chi=0.4,final=0.05,", "inverse_sqrt:", "exponential:final=0.01,",
        "wsd:cooldown=0.15,", "wsd:cooldown=0.5,decay=sqrt,final=0.1,", "wsd:cooldown=900,",
        "wsd:cooldown=0.3,decay=cosine,", "wsd:cooldown=0.3,decay=exponential,final=0.02,",
        "step:at=1500,factor=0.3,", "plan",
    )  # fmt: skip
    found = []
    for i in range(SCHEDULES):
        horizon = int(plan.horizon * np.exp(rng.uniform(-1.2, 1.5)))
        peak = float(plan.peak_lr * np.exp(rng.uniform(-1.5, 0.8)))
        tail = tails[i % len(tails)]
        if tail == "plan":
            found.append(plan.schedule.stretched(horizon=horizon).scaled(peak=peak))
        else:
            warmup = int(rng.integers(0, 2) * 120)
            found.append(parse_schedule(f"{tail}peak={peak!r},horizon={horizon},warmup={warmup}"))
    return found


# Runs of the test in the page: losses at steps, with bands, and the difference to the plan.
ASKED = """([documents, sizes, steps]) => documents.map((document, i) => {
  const plan = Explorer.plan();
  const ramped = sizes[i] !== null && typeof sizes[i] === "object";
  const size = ramped ? Schedules.make(sizes[i]) : sizes[i];
  const schedule = Schedules.make(document);
  const one = { schedule, batch: size, mesh: Meshes.make(schedule, size) };
  const { interval } = plan.law;
  const targets = Intervals.targets(plan.law, one, steps[i]);
  const losses = targets.map((target) => Intervals.forecast(interval, target));
  const end = targets[targets.length - 1];
  const { mean, low, high } = Intervals.difference(interval, end, plan.target, false);
  return [losses.map((each) => [each.mean, each.low, each.high]), [mean, low, high],
    Plans.expected(plan, one), schedule.spec];
})"""


def bare(schedule: Schedule) -> dict[str, Any]:
    document = json.loads(schedule.to_json())
    return {key: value for key, value in document.items() if key not in ("format", "version")}


def test_losses_bands_and_differences_are_those_of_the_law(any_plan, browser, tmp_path):
    plan, rng = any_plan, np.random.default_rng(5)
    page = opened_page(browser, plan_report(plan), tmp_path)
    schedules = random_schedules(plan, rng)
    sizes: list[Any] = [None] * SCHEDULES
    if plan.batch_size is not None:
        sizes = [float(8 * np.exp(rng.uniform(-0.5, 2.5))) for _ in schedules]
        sizes[::7] = [plan.batch_size.stretched(horizon=one.horizon) for one in schedules[::7]]
    steps = [np.unique(np.round(one.horizon * np.array([0.2, 0.7, 1.0]))) for one in schedules]
    plain = [bare(size) if isinstance(size, Schedule) else size for size in sizes]
    found = page.evaluate(
        ASKED, [[bare(one) for one in schedules], plain, [x.tolist() for x in steps]]
    )
    average = AverageLaw(plan.law, plan.members).final_losses(schedules, sizes)
    for schedule, size, at, mean, (losses, apart, expected, spec) in zip(
        schedules, sizes, steps, average, found, strict=True
    ):
        forecast = plan.law.predict(schedule, at, batch_size=size)
        wanted = np.stack([forecast.mean, forecast.low, forecast.high], 1)
        np.testing.assert_allclose(losses, wanted, rtol=CLOSE)
        # The band by itself, too, and not only beside the loss.
        np.testing.assert_allclose(
            np.ptp(losses, axis=1), np.ptp(wanted, axis=1), rtol=CLOSE, err_msg=schedule.spec
        )
        difference = plan.law.difference(
            schedule, plan.schedule, batch_size=size, other_batch_size=plan.batch_size
        )
        wanted = [difference.mean, difference.low, difference.high]
        np.testing.assert_allclose(apart, wanted, rtol=CLOSE, atol=CLOSE * np.ptp(wanted))
        assert expected == pytest.approx(mean, rel=CLOSE)
        assert parse_schedule(spec) == schedule


def test_the_page_begins_with_the_plan(any_plan, browser, tmp_path):
    page = opened_page(browser, plan_report(any_plan), tmp_path)
    settle(page)
    assert page.text_content("#x-difference") == "0"
    assert page.text_content("#x-tie") == "this is the plan"
    assert page.text_content("#x-loss") == f"{any_plan.loss.value:#.5g}"
    assert page.text_content("#x-steps") == steps_text(any_plan.horizon)
    assert parse_schedule(page.text_content("#x-spec")) == any_plan.schedule
    assert all(said.startswith("file:") for said in page.said), page.said


STATES = [
    {"kind": "cosine", "peak": 1e-3},
    {"kind": "wsd-sqrt", "peak": 8e-4, "cooldown": 0.35, "horizon": 7000},
    {"kind": "linear", "peak": 5e-4, "horizon": 11_000},
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state["kind"])
def test_steps_to_match_are_those_of_a_plan(own_plan, browser, tmp_path, state):
    plan = own_plan
    page = opened_page(browser, plan_report(plan), tmp_path)
    found = page.evaluate(
        """(changes) => {
          const plan = Explorer.plan();
          const state = { ...Plans.stateOf(plan), ...changes };
          return [Plans.run(plan, state).schedule.spec, Plans.stepsToMatch(plan, state)];
        }""",
        state,
    )
    average = AverageLaw(plan.law, plan.members)
    schedule = parse_schedule(found[0])
    goal, own = average.final_losses([plan.schedule, schedule])
    assert own > goal
    member = Member(state["kind"], schedule, float(own))
    wanted = steps_to_match(average, member, float(goal), plan.limits)
    assert found[1] == pytest.approx(wanted, rel=1e-6)


def test_the_best_peak_and_its_range_are_those_of_a_fine_grid(own_plan, browser, tmp_path):
    plan = own_plan
    page = opened_page(browser, plan_report(plan), tmp_path)
    found = page.evaluate("() => Plans.best(Explorer.plan(), Explorer.state())")
    peaks = np.geomspace(plan.limits.cap / 16, plan.limits.cap, 400)
    average = AverageLaw(plan.law, plan.members)
    losses = average.final_losses([plan.schedule.scaled(peak=float(peak)) for peak in peaks])
    close = peaks[losses <= losses.min() + 0.002]
    assert found["peak"] == pytest.approx(peaks[losses.argmin()], rel=0.03)
    assert found["loss"] == pytest.approx(losses.min(), abs=1e-5)
    assert [found["low"], found["high"]] == pytest.approx([close[0], close[-1]], rel=0.03)


def test_what_is_done_stays_as_it_was_in_a_run_that_goes_on(continued_plan, browser, tmp_path):
    plan = continued_plan
    page = opened_page(
        browser, plan_report(plan), tmp_path, "#shape=wsd-linear&horizon=12000&peak=0.0008&final=0"
    )
    schedule = parse_schedule(page.text_content("#x-spec"))
    rest = parse_schedule("wsd:peak=0.0008,horizon=8920,cooldown=0.2,final=0.0125")
    assert schedule == plan.limits.whole(rest)


# Moving and copying


def test_a_moved_slider_changes_the_numbers_and_the_link(own_plan, browser, tmp_path):
    page = opened_page(browser, plan_report(own_plan), tmp_path)
    before = page.text_content("#x-loss")
    page.evaluate("document.getElementById('x-peak').value = 420")
    page.dispatch_event("#x-peak", "input")
    page.select_option("#x-shape", "wsd-cosine")
    page.fill("#x-horizon-number", "20000")
    page.press("#x-horizon-number", "Enter")
    spec, shown = page.text_content("#x-spec"), page.text_content("#x-loss")
    assert shown != before
    schedule = parse_schedule(spec)
    assert schedule.spec.startswith("wsd:")
    assert schedule.horizon == 20_000
    mean, low, high = own_plan.law.predict(schedule).final
    assert shown == f"{mean:#.5g}"
    assert page.text_content("#x-band") == f"90% interval {low:#.5g} to {high:#.5g}"
    again = opened_page(browser, plan_report(own_plan), tmp_path, "#" + page.url.split("#")[1])
    assert again.text_content("#x-spec") == spec
    again.click("#x-reset")
    assert again.text_content("#x-loss") == before
    assert again.url.endswith("#")


def test_another_batch_size_takes_the_same_samples(batch_plan, browser, tmp_path):
    page = opened_page(browser, plan_report(batch_plan), tmp_path)
    page.fill("#x-batch-number", "64")
    page.press("#x-batch-number", "Enter")
    horizon = int(page.input_value("#x-horizon-number"))
    assert horizon == round(batch_plan.samples / 64)
    schedule = parse_schedule(page.text_content("#x-spec"))
    loss = batch_plan.law.predict(schedule, batch_size=64.0).final[0]
    assert page.text_content("#x-loss") == f"{loss:#.5g}"
    settle(page)
    assert "is within 0.002 of the least" in page.text_content("#x-batch-text")


def test_a_link_to_what_is_no_run_opens_one_that_is(own_plan, browser, tmp_path):
    page = opened_page(browser, plan_report(own_plan), tmp_path, "#horizon=abc&peak=-1&shape=x")
    assert page.text_content("#x-tie") == "this is the plan"
    page = opened_page(browser, plan_report(own_plan), tmp_path, "#horizon=3&shape=cosine")
    assert parse_schedule(page.text_content("#x-spec")).horizon == 16


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "csv"])
def test_a_snippet_is_what_the_exporter_writes(own_plan, browser, tmp_path, name):
    target = known_target(name)
    page = opened_page(browser, plan_report(own_plan), tmp_path)
    states = [
        "shape=cosine&final=0.1", "shape=linear&warmup=0", "shape=constant&peak=0.00001",
        "shape=wsd-linear&cooldown=0.35&horizon=9000", "shape=wsd-sqrt&final=0.05&peak=0.0004",
        "shape=wsd-exponential&final=0.01", "shape=plan",
    ]  # fmt: skip
    for state in states:
        page.evaluate(f"window.location.hash = '{state}'")
        shape = state[6:].split("&")[0]
        page.wait_for_function(f"document.getElementById('x-shape').value === '{shape}'")
        page.select_option("#x-target", name)
        schedule = parse_schedule(page.text_content("#x-spec"))
        text = page.text_content("#x-snippet")
        if not target.takes(schedule):
            assert f"{name} has no schedule of this shape" in text
            continue
        wanted = target.text(schedule, target.notes(schedule))
        assert numbers(text) == numbers(wanted)
        assert words(text) == words(wanted)


NUMBER = re.compile(r"(?<![\w^.])\d+(?:\.\d+)?(?:e[+-]?\d+)?\b")


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(on_one_line(text))]


def words(text: str) -> str:
    return NUMBER.sub("#", on_one_line(text))


def on_one_line(text: str) -> str:
    """A text whose strings are not broken: where they are depends on how numbers are written."""
    return text.replace('"\n    "', "")


# What the page does not know


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"log_lag", "noise', '"log_leg", "noise', "does not know the constant log_leg"),
        ('"form": "etastar"', '"form": "other"', "does not know the form other"),
        ('"noise"], "theta"', '"noise", "more"], "theta"', "does not know the form etastar"),
        ('"above": 0.01', '"above": 0.01, "luck": 1', "by its formulas the plan has the loss"),
    ],
)
def test_what_the_page_does_not_know_is_said_above_the_report(
    own_plan, browser, tmp_path, old, new, said
):
    report = plan_report(own_plan)
    assert report.count(old) == 1
    page = opened_page(browser, report.replace(old, new), tmp_path)
    assert said in page.text_content("#explore-failed")
    assert page.is_visible("#explore-failed")
    assert not page.is_visible("#explore-body")
    assert page.locator("[data-chart] canvas").count() == 3
    assert page.is_visible("text=Planned and standard schedules")


def test_a_plan_of_another_law_has_a_page_that_does_not_move(browser, tmp_path):
    law = fit(make_pilots(), "power")
    schedule = parse_schedule("cosine:peak=1e-3,horizon=9000")
    forecast = law.predict(schedule)
    plan = make_plan(
        law=law, members=(law,), limits=Limits(2e-3), schedule=schedule, forecast=forecast,
        horizon=9000, runs=tuple(make_pilots()[:3]),
    )  # fmt: skip
    report = plan_report(plan)
    assert "explore-body" not in report.split("<script>")[0]
    page = opened_page(browser, report, tmp_path)
    assert page.locator("[data-chart] canvas").count() == 3
    assert all(said.startswith("file:") for said in page.said), page.said


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(batch_plan, browser, tmp_path, width):
    viewport = {"width": width, "height": 800}
    page = opened_page(browser, plan_report(batch_plan), tmp_path, viewport=viewport)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".plot canvas").count() == 4 + 5


def test_a_page_is_small_for_many_long_runs(own_plan):
    pilots = [replace(run, name=f"run {i}") for i, run in enumerate(make_pilots() * 4)]
    steps = np.arange(1.0, 20_001.0)
    schedule = parse_schedule("cosine:peak=1e-3,horizon=20000")
    long = replace(pilots[0], step=steps, loss=2.6 + steps**-0.3, schedule=schedule)
    plan = planned(pilots, own_plan.schedule, own_plan.limits)
    report = plan_report(replace(plan, runs=(*plan.runs, *[long] * 12)))
    assert len(plan.law.posterior.observed.residual) > 250
    assert len(report.encode()) < 2e6


def test_scripts_are_short_and_strict():
    for name in SCRIPTS:
        lines = browser_text(name).splitlines()
        if name.startswith("uplot"):
            continue
        assert len(lines) <= 500, name
        assert max(map(len, lines)) <= 100, name
        assert '"use strict";' in lines, name


def test_a_run_after_the_cap_is_said_to_be_beyond_the_pilots(own_plan, browser, tmp_path):
    page = opened_page(browser, plan_report(own_plan), tmp_path, "#peak=0.003")
    assert "above 0.002, the highest peak LR of the pilots" in page.text_content("#x-notes")
    given = replace(own_plan, limits=Limits(1.5e-3, warmup=100))
    page = opened_page(browser, plan_report(given), tmp_path, "#peak=0.003")
    assert "above 0.0015, the highest peak LR allowed" in page.text_content("#x-notes")
