"""The law on published curves it was not fitted on, and what a backtest refuses."""

import numpy as np
import pytest

from etastar.law import backtest
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
    after = test[0].step >= 100
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
