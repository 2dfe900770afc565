"""The design of pilots: what a run tells, what is chosen, and what is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from etastar.law import FORMS, Law, Posterior, fit
from etastar.law._points import Units
from etastar.pilot import Finished, InformationDesigner, Pilot, make_designer
from etastar.pilot._candidates import PILOT_SHAPES, candidates_between
from etastar.pilot._information import SYSTEMATIC, Belief, Sensitivities, misfit_features
from etastar.pilot._range_test import bounds_of, range_test
from etastar.runs import Run
from etastar.schedule import InputError, make_schedule, parse_schedule

HORIZON, BUDGET, PEAKS = 40_000, 60_000, (1e-3, 3e-2)
FORM = FORMS["etastar"]
TRUTH = Law(
    theta=np.array([0.6, 0.2, -7.0, 1.8, -6.0, 1.0, 0.5, 1.0, 1.0]),
    linear=np.array([2.6, 0.15, 0.3]),
    posterior=Posterior.known(12),
    units=Units(rate=3e-2, steps=10_000.0),
    spread=0.0,
    trend=0.0,
    run_count=10,
    steps_fitted=10_000.0,
    peak_range=PEAKS,
    residuals={},
    seconds=0.0,
)


def run_of(pilot: Pilot, noise: float = 1e-3) -> Run:
    """The log of a pilot under the true law; of a branch the part after it."""
    schedule = pilot.schedule
    step = np.unique(np.linspace(schedule.horizon / 60, schedule.horizon, 60).round())
    rng = np.random.default_rng(len(pilot.name))
    loss = TRUTH.predict(schedule, at=step).mean * np.exp(noise * rng.standard_normal(len(step)))
    new = step > pilot.branch_step
    return Run(pilot.name, step[new], loss[new], schedule)


def asking(designer: InformationDesigner, interval: float) -> InformationDesigner:
    """The designer of the same task that stops at an interval."""
    return replace(designer, task=replace(designer.task, interval=interval))


def ended(*pilots: Pilot) -> list[Finished]:
    return [Finished(pilot, run_of(pilot)) for pilot in pilots]


@pytest.fixture(scope="module")
def designer() -> InformationDesigner:
    made = make_designer(HORIZON, BUDGET, peaks=PEAKS, warmup=100)
    assert isinstance(made, InformationDesigner)
    return made


@pytest.fixture(scope="module")
def first(designer):
    """The whole design, before any run."""
    return designer.propose([], [], BUDGET)


@pytest.fixture(scope="module")
def branching():
    """A designer whose pilots may start from another's checkpoint, and its whole design."""
    made = make_designer(HORIZON, BUDGET, peaks=PEAKS, warmup=100, resumable=True)
    return made, made.propose([], [], BUDGET)


@pytest.fixture(scope="module")
def after(designer, first):
    """What is proposed once the first five have ended."""
    left = BUDGET - sum(pilot.steps for pilot in first.pilots[:5])
    return designer.propose(ended(*first.pilots[:5]), [], left)


def test_the_slopes_are_those_of_the_law():
    """Central differences of `Law.predict`, which shares no code with the design's derivatives."""
    schedule = parse_schedule("wsd:peak=1e-2,horizon=8000,warmup=100,cooldown=0.2")
    one = np.ones((1, 12))
    belief = Belief(
        TRUTH.theta[None], TRUTH.linear[None], one, np.array([3e-2]), np.array([1e4]), np.ones(1)
    )
    rows = belief.sensitivities([schedule])
    at = rows.step[0]
    assert at[-1] == 8000
    np.testing.assert_allclose(rows.loss[0, 0], TRUTH.predict(schedule, at).mean, rtol=1e-9)
    for i in range(12):

        def log_loss(step: float, i: int = i) -> np.ndarray:
            both = np.concatenate([TRUTH.theta, TRUTH.linear])
            both[i] += step
            law = replace(TRUTH, theta=both[:9], linear=both[9:])
            return np.log(law.predict(schedule, at).mean)

        slope = (log_loss(1e-5) - log_loss(-1e-5)) / 2e-5
        np.testing.assert_allclose(rows.slope[0, 0, :, i], slope, rtol=2e-4, atol=1e-8)


def test_the_squared_error_is_that_of_simulated_fits(designer):
    """Ridge fits of random constants, misfits and noise, against the closed form."""
    rng = np.random.default_rng(0)
    search = designer.search([], [], PEAKS)
    made = [3, 40, 77, 100]
    rows = search.sensitivities
    last = np.array([search.candidates[i].schedule.horizon for i in made], float)
    some = Sensitivities(
        rows.step[made], rows.loss[:1, made], rows.slope[:1, made], rows.misfit_features[made]
    )
    noise = search.belief.noise
    told = some.information(np.zeros(4), last, noise, search.begin)
    one = replace(
        search.error,
        slope=search.error.slope[:1, :1],
        misfit_features=search.error.misfit_features[:1, :1],
        weight=np.ones((1, 1)),
    )
    precision = np.eye(12) + told.precision.sum(1)
    closed = one.squared(precision, told.misfit_score.sum(1))[0]

    slope, features, weight, run = [], [], [], []
    for r, end in enumerate(last):
        inside = some.step[r] > search.begin
        squared = np.clip(some.step[r] / end, 0.02, 1.0)[inside]
        slope.append(some.slope[0, r][inside])
        features.append(some.misfit_features[r][inside])
        weight.append(squared / squared.sum() / noise**2)
        run += [r] * int(inside.sum())
    jacobian, misfits, w = map(np.concatenate, (slope, features, weight))
    normal = jacobian.T @ (w[:, None] * jacobian) + np.eye(12)
    np.testing.assert_allclose(normal, precision[0], rtol=1e-9)
    missed = []
    for _ in range(6000):
        constants = rng.standard_normal(12)
        amplitude = SYSTEMATIC * noise * rng.standard_normal(misfits.shape[1])
        # Each point's noise such that a run's weighted mean has the variance noise^2.
        jitter = rng.standard_normal(len(w)) / np.sqrt(w)
        seen = jacobian @ constants + misfits @ amplitude + jitter
        found = np.linalg.solve(normal, jacobian.T @ (w * seen))
        truth = one.slope[0, 0] @ constants + one.misfit_features[0, 0] @ amplitude
        missed.append(one.slope[0, 0] @ found - truth)
    assert np.mean(np.square(missed)) == pytest.approx(closed, rel=0.08)


def test_misfits_are_alike_near_each_other():
    """The features' products follow the Matern-3/2 kernel; those of one point are 1."""
    near = parse_schedule("constant:peak=0.01,horizon=100000")
    step = np.geomspace(100, 100_000, 40)
    features = misfit_features(near, step)
    away = np.abs(np.subtract.outer(np.log2(step), np.log2(step))) / 2.0 * np.sqrt(3)
    kernel = (1 + away) * np.exp(-away)
    np.testing.assert_allclose((features**2).sum(1), 1.0, rtol=1e-12)
    assert np.sqrt(np.mean((features @ features.T - kernel) ** 2)) < 0.1


def test_a_design_keeps_to_budget_bounds_and_horizon(first):
    names = [pilot.name for pilot in first.pilots]
    assert len(set(names)) == len(names) >= 4
    assert BUDGET * 0.8 < sum(pilot.steps for pilot in first.pilots) <= BUDGET
    for pilot in first.pilots:
        assert pilot.parent is None
        assert pilot.steps <= HORIZON // 4
        assert pilot.schedule.warmup == 100
        assert PEAKS[0] <= pilot.schedule.peak <= PEAKS[1]
    assert len({pilot.schedule.peak for pilot in first.pilots}) >= 3
    assert len({pilot.steps for pilot in first.pilots}) >= 2
    assert first.expected[-1] < 0.4 * first.interval
    assert list(first.expected) == sorted(first.expected, reverse=True)


def test_the_same_question_has_the_same_answer(designer, first):
    assert designer.propose([], [], BUDGET) == first


def test_the_unit_of_the_learning_rate_does_not_matter(first):
    other = make_designer(HORIZON, BUDGET, peaks=(1.0, 30.0), warmup=100)
    found = other.propose([], [], BUDGET)
    assert [p.schedule.scaled(peak=1.0) for p in found.pilots] == [
        p.schedule.scaled(peak=1.0) for p in first.pilots
    ]
    np.testing.assert_allclose(found.expected, first.expected, rtol=0.02)


def test_no_random_design_of_the_same_budget_expects_less(designer):
    search = designer.search([], [], PEAKS)
    pilots, _, level = min(
        (search.greedy(BUDGET, per_step) for per_step in (True, False)), key=lambda x: x[2]
    )
    assert pilots
    rng = np.random.default_rng(1)
    last = np.array([each.schedule.horizon for each in search.candidates], float)
    told = search.sensitivities.information(0 * last, last, search.belief.noise, search.begin)
    levels = []
    for _ in range(200):
        order = rng.permutation(len(last))
        taken = order[np.cumsum(last[order]) <= BUDGET]
        error = search.error.squared(
            search.start.precision + told.precision[:, taken].sum(1),
            search.start.misfit_score + told.misfit_score[:, taken].sum(1),
        )
        levels.append(search.belief.weight @ np.log(error))
    assert level < min(levels)
    assert level < np.mean(levels) - 0.1


def test_branches_start_where_their_parents_end(branching):
    designer, found = branching
    before: dict[str, Pilot] = {}
    branches = 0
    for pilot in found.pilots:
        if pilot.parent is not None:
            parent = before[pilot.parent]
            assert pilot.branch_step == parent.steps < pilot.steps
            steps = np.arange(pilot.branch_step)
            np.testing.assert_array_equal(parent.schedule(steps), pilot.schedule(steps))
            branches += 1
        before[pilot.name] = pilot
    assert branches >= 1
    assert sum(pilot.steps - pilot.branch_step for pilot in found.pilots) <= BUDGET
    # A trunk that has ended is branched from, also when the designer is asked again.
    trunk = next(p for p in found.pilots if p.schedule.shape.name == "constant")
    again = designer.propose(ended(trunk), [], BUDGET - trunk.steps)
    assert any(pilot.parent == trunk.name for pilot in again.pilots)


def own(pilots: Sequence[Pilot]) -> list[int]:
    """The seeds of pilots that are no branches."""
    return [pilot.seed for pilot in pilots if pilot.parent is None]


def test_each_pilot_has_a_seed_of_its_own(first, after):
    assert own(first.pilots) == list(range(len(first.pilots)))
    # The five that have ended keep theirs; the others count on.
    assert own(after.pilots) == list(range(5, 5 + len(after.pilots)))


@pytest.mark.slow
def test_seeds_count_on_from_the_one_given_with_a_range_test_too():
    designer = make_designer(HORIZON, BUDGET, warmup=50, seed=30)
    found = designer.propose([], [], BUDGET)
    assert own(found.pilots) == list(range(30, 30 + len(found.pilots)))
    done, _ = _tests_of(2e-3, 0.05)
    done = [replace(each, pilot=replace(each.pilot, seed=30 + i)) for i, each in enumerate(done)]
    later = designer.propose(done, [], BUDGET // 2)
    assert own(later.pilots) == list(range(30 + len(done), 30 + len(done) + len(later.pilots)))


def test_seeds_of_what_runs_are_not_given_again(designer, first):
    """The second of three was put off: the one after it had started with its seed already."""
    running = (first.pilots[0], first.pilots[2])
    left = BUDGET - sum(pilot.steps for pilot in running)
    found = designer.propose([], running, left)
    assert own(found.pilots) == list(range(3, 3 + len(found.pilots)))


def test_branches_have_their_parents_seed(branching):
    designer, found = branching
    seeds = {pilot.name: pilot.seed for pilot in found.pilots}
    branches = [pilot for pilot in found.pilots if pilot.parent is not None]
    assert branches
    assert all(pilot.seed == seeds[str(pilot.parent)] for pilot in branches)
    assert own(found.pilots) == list(range(len(own(found.pilots))))
    # Of a trunk that has ended with any seed, too, and again for the same question.
    trunk = next(p for p in found.pilots if p.schedule.shape.name == "constant")
    done = ended(replace(trunk, seed=7))
    again = designer.propose(done, [], BUDGET - trunk.steps)
    assert any(pilot.parent == trunk.name for pilot in again.pilots)
    assert all(pilot.seed == 7 for pilot in again.pilots if pilot.parent == trunk.name)
    assert own(again.pilots) == list(range(8, 8 + len(own(again.pilots))))
    assert designer.propose(done, [], BUDGET - trunk.steps) == again


def test_candidates_are_the_shapes_listed_and_their_rates_hold_as_long_as_said():
    candidates = candidates_between(*PEAKS, longest=10_000, warmup=100)
    begins = {each.name.split("_p")[0] for each in candidates}
    assert begins == {shape.name for shape in PILOT_SHAPES}
    assert len({each.name for each in candidates}) == len(candidates)
    for each in candidates:
        rates, peak = each.schedule(np.arange(each.schedule.horizon)), each.schedule.peak
        if each.flat:
            assert np.all(rates[100 : each.flat] == peak)
            assert each.flat == each.schedule.horizon or rates[each.flat + 1] < peak
        else:
            assert rates[101] < peak


def test_with_runs_the_interval_is_the_laws(designer, first, after):
    runs = [run_of(pilot) for pilot in first.pilots[:5]]
    law = fit(runs)
    peaks = np.geomspace(*PEAKS, 9)
    common = {"horizon": HORIZON, "warmup": 100}
    rivals = [
        make_schedule(n, peak=float(p), **common) for p in peaks for n in ("cosine", "linear")
    ]
    rivals += [make_schedule("wsd", peak=float(p), cooldown=0.2, **common) for p in peaks]
    best = rivals[int(np.argmin(law.final_losses(rivals)))]
    mean, low, high = law.predict(best).final
    assert after.interval == pytest.approx((high - low) / 2 / mean)
    assert after.interval < first.interval
    assert {pilot.name for pilot in after.pilots}.isdisjoint(p.name for p in first.pilots[:5])
    left = BUDGET - sum(pilot.steps for pilot in first.pilots[:5])
    assert sum(pilot.steps for pilot in after.pilots) <= left


def test_it_stops_where_the_interval_is_as_asked_or_the_steps_are_spent(designer, first, after):
    done = ended(*first.pilots[:5])
    easy = asking(designer, after.interval * 1.01)
    stopped = easy.propose(done, [], 30_000)
    assert stopped.pilots == ()
    assert "asked" in stopped.reason
    spent = designer.propose(done, [], 1000)
    assert spent.pilots == ()
    assert "1,000 steps" in spent.reason
    # Asked for little before any run, it designs no more than that takes.
    loose = asking(designer, 0.25).propose([], [], BUDGET)
    assert 1 <= len(loose.pilots) < len(first.pilots)
    assert loose.expected[-1] <= 0.25


def test_what_runs_is_counted_and_not_proposed(designer, first):
    running = first.pilots[:3]
    left = BUDGET - sum(pilot.steps for pilot in running)
    found = designer.propose([], running, left)
    assert found.interval == pytest.approx(first.expected[2])
    assert {pilot.name for pilot in found.pilots}.isdisjoint(pilot.name for pilot in running)


def test_a_diverged_pilot_bounds_the_peaks(designer, first):
    bad = next(pilot for pilot in first.pilots if pilot.schedule.peak == PEAKS[1])
    found = designer.propose([Finished(bad, None, diverged=True)], [], BUDGET)
    assert found.pilots
    assert max(pilot.schedule.peak for pilot in found.pilots) < PEAKS[1] / 1.4
    low = Pilot("low", parse_schedule("constant:peak=5e-4,horizon=100"))
    assert bounds_of([Finished(low, None, diverged=True)], PEAKS)[1] < 5e-4


def _tests_of(best: float, stable: float) -> tuple[list[Finished], int]:
    """A range test on a training whose loss is least at `best` and infinite beyond `stable`."""
    done: list[Finished] = []
    calls = 0
    while (found := range_test(done, [], BUDGET, 0)) is not None:
        calls += 1
        assert calls < 9
        for pilot in found.pilots:
            peak = pilot.schedule.peak
            if peak > stable:
                done.append(Finished(pilot, None, diverged=True))
                continue
            loss = 3 + np.log10(peak / best) ** 2 + np.geomspace(1.0, 0.01, 20)
            step = np.linspace(0.05, 1, 20) * pilot.steps
            done.append(Finished(pilot, Run(pilot.name, step, loss, pilot.schedule)))
    return done, calls


@pytest.mark.parametrize(("best", "stable"), [(2e-3, 0.05), (0.8, 3.0), (1e-6, 2e-6), (0.05, 99)])
def test_a_range_test_finds_where_the_learning_rates_lie(best, stable):
    done, _ = _tests_of(best, stable)
    low, high = bounds_of(done, None)
    assert low < best < high * 1.05
    assert high < min([1e9, *(e.pilot.schedule.peak for e in done if e.diverged)])
    assert sum(each.pilot.steps for each in done) <= 0.2 * BUDGET


@pytest.mark.slow
def test_without_peaks_a_range_test_comes_first():
    designer = make_designer(HORIZON, BUDGET, warmup=50)
    found = designer.propose([], [], BUDGET)
    assert all(pilot.name.startswith("range_") for pilot in found.pilots)
    assert len(found.expected) == len(found.pilots) >= 3
    assert found.interval is not None
    assert "after it" in found.reason
    waiting = designer.propose([], found.pilots, BUDGET - 4 * found.pilots[0].steps)
    assert waiting.pilots == ()
    done, _ = _tests_of(2e-3, 0.05)
    later = designer.propose(done, [], BUDGET // 2)
    assert later.pilots
    # The best LR tested is 1e-3, next to the best there is.
    assert all(1e-4 <= pilot.schedule.peak <= 3.17e-3 for pilot in later.pilots)


def test_a_range_test_that_finds_nothing_says_so():
    done = [
        Finished(Pilot(f"range_{p:g}", parse_schedule(f"linear:peak={p:g},horizon=100")), None)
        for p in 10.0 ** np.arange(-8, 5)
    ]
    with pytest.raises(InputError, match="give peaks"):
        range_test(done, [], BUDGET, 0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": 1e4}, "horizon"),
        ({"budget": 10}, "budget"),
        ({"warmup": -1}, "warmup"),
        ({"warmup": 5000}, "four times the warmup"),
        ({"peaks": (1e-2, 1e-3)}, "peaks"),
        ({"peaks": (0.0, 1e-3)}, "peaks"),
        ({"peaks": (1e-3,)}, "peaks"),
        ({"peaks": "ab"}, "peaks"),
        ({"interval": 0.0}, "interval"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_named(keys, message):
    given = {"horizon": HORIZON, "budget": BUDGET, **keys}
    with pytest.raises(InputError, match=message):
        make_designer(**given)


def test_a_budget_too_small_for_a_range_test_asks_for_peaks():
    with pytest.raises(InputError, match="give the bounds"):
        make_designer(4000, 100).propose([], [], 100)
    assert make_designer(4000, 100, peaks=PEAKS).propose([], [], 100).pilots
