"""Each caveat of a plan: there where it should be, and not a step before."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.control import Limits, Past, optimal_schedule
from etastar.law import FORMS, fit
from etastar.planning import plan
from etastar.planning._caveats import Evidence, _batch_size, caveats_of
from etastar.runs import Run
from etastar.schedule import parse_schedule, table
from tests.helpers.laws import make_run

CAP = 2e-3


def evidence(law, runs, horizon, limits=None, was_given=False) -> Evidence:
    """What `plan` hands over, from a real fit and a real solve."""
    limits = Limits(law.peak_range[1], warmup=100) if limits is None else limits
    solution = optimal_schedule(law, horizon, limits)
    return Evidence(law, solution, runs, runs, horizon, limits, was_given)


def said(evidence: Evidence, words: str) -> bool:
    return any(words in line for line in caveats_of(evidence))


@pytest.mark.parametrize(("horizon", "far"), [(31_999, False), (32_001, True), (100_000, True)])
def test_a_horizon_beyond_eight_times_the_longest_pilot_is_far(law, pilots, horizon, far):
    assert said(evidence(law, pilots, horizon), "times the longest pilot") == far


@pytest.mark.parametrize(("horizon", "short"), [(3999, True), (4000, False)])
def test_a_horizon_below_the_longest_pilot_is_short(law, pilots, horizon, short):
    words = "is shorter than the longest pilot (4,000 steps)"
    assert said(evidence(law, pilots, horizon), words) == short


def test_a_diverged_run_is_said_once(law, pilots):
    lost = replace(pilots[0], metadata={**pilots[0].metadata, "diverged": True})
    told = replace(law, caveats=(f"{lost.name}: diverged, left out of the fit",))
    lines = caveats_of(evidence(told, [lost, *pilots[1:]], 8000))
    assert lines == [f"runs that diverged are left out of the fit: {lost.name}"]


@pytest.mark.parametrize(("count", "few"), [(3, True), (4, False)])
def test_fewer_than_four_pilots_are_few(pilots, count, few):
    runs = pilots[2 : 2 + count]
    found = evidence(fit(runs), runs, 8000)
    assert said(found, f"only {count} pilots") == few


def test_a_plan_of_many_close_pilots_has_no_caveat(law, pilots):
    assert caveats_of(evidence(law, pilots, 8000)) == []


def test_a_peak_at_the_cap_says_whose_cap_it_is(law, pilots):
    low = Limits(3e-4, warmup=100)
    assert said(evidence(law, pilots, 2000, low), "is the largest of the pilots (0.0003)")
    assert said(evidence(law, pilots, 2000, low, was_given=True), "is the cap that was given")
    assert said(evidence(law, pilots, 2000, low), "below every pilot's") is False


def test_a_peak_below_every_pilot_is_said(law, pilots):
    raised = replace(law, peak_range=(1.9e-3, CAP))
    assert said(evidence(raised, pilots, 40_000), "is below every pilot's")


def test_pilots_of_one_peak_tell_little_of_peaks(pilots):
    runs = [run for run in pilots if run.schedule.peak == 1e-3]
    found = evidence(fit(runs), runs, 8000)
    assert said(found, "all pilots have the peak LR 0.001")
    assert not said(evidence(fit(pilots), pilots, 8000), "all pilots have the peak LR")


@pytest.mark.parametrize(("spread", "missed"), [(0.0099, False), (0.0101, True)])
def test_a_law_that_misses_the_ends_is_said(law, pilots, spread, missed):
    found = evidence(replace(law, spread=spread), pilots, 8000)
    assert said(found, "misses the ends of the pilots") == missed


@pytest.mark.parametrize(("rises", "warmup", "said_so"), [(False, 0, True), (True, 0, False)])
def test_logged_lrs_without_a_warmup_are_said(law, pilots, rises, warmup, said_so):
    knots = ([0, 100, 2000], [0.0, 1e-3, 0.0]) if rises else ([0, 2000], [1e-3, 0.0])
    logged = [replace(run, schedule=table(*knots)) for run in pilots[::2]]
    given = evidence(law, pilots, 8000, Limits(CAP, warmup=warmup))
    assert said(replace(given, used=logged), "the logged LRs show no warmup") == said_so
    assert not said(given, "the logged LRs show no warmup")


def test_pilots_that_do_not_anneal_are_said(law, pilots):
    def runs(final):
        return [
            Run("a", np.array([1e3, 2e3]), np.array([3.0, 2.9]), parse_schedule(spec.format(final)))
            for spec in ["linear:peak=1e-3,horizon=2000,final={}"]
        ]

    given = evidence(law, pilots, 8000)
    residual = {"a": (np.array([2000.0]), np.array([0.0]))}
    for final, flat in ((0.5, False), (0.51, True)):
        used = replace(given, law=replace(law, residuals=residual), used=runs(final))
        assert said(used, "no pilot lowers its LR") == flat


def test_a_run_off_the_law_is_named(law, pilots):
    name = pilots[0].name
    for error, off in ((0.009, False), (0.0101, True)):
        residuals = {**law.residuals, name: (np.arange(30.0), np.full(30, error))}
        found = evidence(replace(law, residuals=residuals, spread=1e-3), pilots, 8000)
        assert said(found, f"{name}: its end lies") == off


@pytest.mark.parametrize(("rate", "jumps"), [(4e-4, True), (2e-3, False)])
def test_a_rise_on_going_on_is_said(law, pilots, rate, jumps):
    past = Past(parse_schedule(f"constant:peak={rate},horizon=2000,warmup=100"), 2000)
    found = evidence(law, pilots, 6000, Limits(CAP, warmup=60, past=past))
    assert said(found, "within 60 updates from step 2000") == jumps


def test_what_was_left_out_on_reading_and_in_the_fit_is_said(law, pilots):
    doubtful = replace(pilots[0], caveats=("a.csv:3: a line is left out",))
    other = replace(pilots[1], batch_size=None)
    given = evidence(replace(law, caveats=("b: too short",)), pilots, 8000)
    lines = caveats_of(replace(given, runs=[doubtful, doubtful, other, *pilots[2:]]))
    assert lines.count("a.csv:3: a line is left out") == 1
    assert any(line.startswith("runs differ in batch size") for line in lines)
    assert lines[-1] == "b: too short"


def test_runs_of_several_batch_sizes_are_said_where_the_law_does_not_see_them(law, pilots):
    runs = [replace(pilots[0], batch_size=16), *pilots[1:]]
    assert not said(evidence(law, runs, 8000), "runs differ in batch size")
    blind = replace(law, form=FORMS["power"], theta=law.theta[:1], linear=law.linear[:2])
    given = replace(evidence(law, runs, 8000), law=blind)
    assert said(given, "runs differ in batch size")


def of_batch(law, pilots, piloted, batch, **changes) -> Evidence:
    """Evidence of runs of some batch sizes, and of a plan with another."""
    runs = [replace(run, batch_size=size) for run, size in zip(pilots, piloted, strict=False)]
    given = evidence(law, runs, 8000)
    size = parse_schedule(batch)
    solution = replace(given.solution, batch_size=size)
    low, high = size(0), size(8000)
    given = replace(given, used=runs, solution=solution, sizes=(low, high), asked=True)
    return replace(given, **changes)


@pytest.mark.parametrize(
    ("sizes", "batch", "changes", "words"),
    [
        ((8, 8), "constant:peak=8,horizon=8000", {}, None),
        ((8, 8), "constant:peak=32,horizon=8000", {}, "have the batch size 8: what 32 does"),
        ((8, 64), "constant:peak=32,horizon=8000", {}, None),
        ((8, 64), "constant:peak=32,horizon=8000", {"asked": False}, "none was asked for: planned"),
        ((8, 64), "constant:peak=99,horizon=8000", {}, "99 lies outside the pilots', 8 to 64"),
        ((8, 64), "constant:peak=4,horizon=8000", {}, "a pilot at 4 would tell"),
        ((8, None), "constant:peak=4,horizon=8000", {}, "not all logs say their batch size"),
        ((8, 64), "constant:peak=8,horizon=8000", {"sizes": (8.0, 64.0)}, "the largest batch size"),
        (
            (8, 64),
            "join:constant:peak=8,horizon=4000 then constant:peak=64,horizon=4000",
            {"gain": 0.0123, "budget": "samples"},
            "rises from 8 to 64, which no pilot does: by the law it ends 0.0123 below",
        ),
    ],
)
def test_batch_sizes_that_pilots_do_not_show_are_said(law, pilots, sizes, batch, changes, words):
    lines = list(_batch_size(of_batch(law, pilots, sizes, batch, **changes)))
    assert len(lines) == (words is not None)
    assert words is None or words in lines[0]


def test_the_reach_of_a_plan_is_counted_in_samples_where_batch_sizes_differ(law, pilots):
    # 4000 updates at batch size 8 and 8 times as many samples.
    units = replace(law.units, batch=8.0)
    for size, far in ((30, False), (34, True)):
        found = of_batch(law, pilots, (8, 64), f"constant:peak={size},horizon=8000")
        found = replace(found, law=replace(law, units=units))
        assert said(found, "times the samples of the longest pilot") == far


@pytest.mark.slow
def test_a_plan_holds_its_caveats(pilots):
    far = plan(pilots[2:5], 33_000)
    assert far.caveats[0].startswith("the horizon is")
    assert any("only 3 pilots" in line for line in far.caveats)
    near = plan([*pilots, make_run("linear:peak=1e-3,horizon=3000,warmup=100", 20)], 8000)
    assert near.caveats == ()
