"""The law on published curves it was not fitted on, and what a backtest refuses."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.law import backtest, fit
from etastar.runs import read_runs
from etastar.schedule import InputError
from tests.helpers.curves import CURVES
from tests.helpers.laws import make_run

STANDARD = ("cosine_24000", "constant_24000", "wsdcon_9")


@pytest.mark.parametrize(("folder", "worst"), [("mpl25m", 0.0035), ("mpl100m", 0.0045)])
def test_the_standard_split_is_met(folder, worst):
    runs = read_runs([CURVES / folder])
    result = backtest(
        [run for run in runs if run.name in STANDARD],
        [run for run in runs if run.name not in STANDARD],
    )
    assert len(result.runs) == 6
    assert result.average["mean_rel"] <= 0.0008
    assert result.average["worst_rel"] <= worst
    assert result.average["covered"] >= 0.5


def test_a_run_may_not_be_fitted_and_tested(pilots):
    with pytest.raises(InputError, match="fitted and tested"):
        backtest(pilots, pilots[:1])


def test_numbers_are_those_of_their_definitions(pilots, law):
    test = [make_run(f"linear:peak={peak},horizon=4000,warmup=100", 9) for peak in (1e-3, 2e-3)]
    result = backtest(pilots, test, law)
    row = result.runs[0]
    # The fit leaves out 5% of the longest pilot, which is more than the warmup of 100 steps.
    after = test[0].step >= 0.05 * 4000
    np.testing.assert_array_equal(row.step, test[0].step[after])
    error = law.predict(test[0].schedule, at=test[0].step[after]).mean - test[0].loss[after]
    assert row.mae == pytest.approx(np.abs(error).mean())
    assert row.rmse == pytest.approx(np.sqrt(np.mean(error**2)))
    assert row.final_error == pytest.approx(error[-1])
    assert row.worst_rel == pytest.approx(np.abs(error / test[0].loss[after]).max())
    assert result.selection_regret is not None
    assert result.selection_regret >= 0
    assert set(result.to_dict()) == {
        "runs", "average", "rank_correlation", "selection_regret", "fit_seconds",
    }  # fmt: skip


def test_errors_are_measured_on_the_steps_that_a_fit_would_use(pilots):
    """Of any transient, and of a warmup that is longer than it."""
    warm = make_run("linear:peak=1e-3,horizon=8000,warmup=1000", 9)
    short = make_run("linear:peak=1e-3,horizon=3000,warmup=100", 9)
    for transient in (0.0, 0.2, 0.5):
        result = backtest(pilots, [warm, short], form="power", transient=transient)
        assert result.law.transient == transient
        assert min(steps[0] for steps, _ in result.law.residuals.values()) == max(
            100, transient * 4000
        )
        assert [run.step[0] for run in result.runs] == [
            max(1000, transient * 4000),
            max(100, transient * 4000),
        ]


def test_a_transient_is_counted_in_samples_where_batch_sizes_are_known(pilots):
    test = make_run("linear:peak=1e-3,horizon=4000,warmup=100", 9)
    large = replace(test, batch_size=32)
    result = backtest(pilots, [test, large], form="power", transient=0.5)
    assert [run.step[0] for run in result.runs] == [2000, 500]


def test_a_law_fitted_before_keeps_its_transient(pilots, law):
    test = make_run("linear:peak=1e-3,horizon=4000,warmup=100", 9)
    wide = fit(pilots, "power", transient=0.25)
    assert backtest(pilots, [test], wide).runs[0].step[0] == 1000
    assert law.transient == law.form.transient == 0.05
    with pytest.raises(InputError, match="give it to `fit`"):
        backtest(pilots, [test], wide, transient=0.1)


def test_a_run_that_ends_in_the_transient_is_not_tested(pilots):
    test = make_run("linear:peak=1e-3,horizon=400,warmup=50", 9)
    assert len(backtest(pilots, [test], form="power").runs) == 1
    with pytest.raises(InputError, match="first 20% of the longest fitted run"):
        backtest(pilots, [test], form="power", transient=0.2)


@pytest.mark.parametrize("transient", [-0.1, 1.0, float("nan"), "half"])
def test_a_transient_is_a_part(pilots, transient):
    with pytest.raises(InputError, match="transient must be"):
        fit(pilots, "power", transient=transient)
