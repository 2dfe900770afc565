"""Settings, skips and examples that hold for the tests and for the doctests of the library.

Frameworks are optional: a file that imports one that is not installed is skipped and says so, and
is not an error.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

# By default Keras asks for TensorFlow; it must be told before it is first imported.
os.environ.setdefault("KERAS_BACKEND", "torch")

# What JAX compiled is kept for the next test process, and never among the user's own files.
os.environ.setdefault("ETASTAR_CACHE", str(Path(__file__).parent / ".cache"))

FRAMEWORKS = (
    "accelerate",
    "keras",
    "lightning",
    "mlflow",
    "numpyro",
    "optax",
    "ray",
    "streamlit",
    "tensorboard",
    "torch",
    "trackio",
    "transformers",
    "wandb",
)
TRAIN = Path(__file__).parent / "src" / "etastar" / "train"
# Examples in docstrings that are marked as slow, by the name of what they show.
SLOW_EXAMPLES = {"compute_optimal", "segment_loss", "segment_losses"}
# Tests of processes that wait for each other, which a crowded machine makes miss a moment: what
# fails is tried once more, and the summary says so.
TIMED = {
    "test_distributed.py",
    "test_faults.py",
    "test_follow.py",
    "test_judgement.py",
    "test_mlflow.py",
    "test_odd_ends.py",
    "test_pilot_command.py",
    "test_ray.py",
    "test_run.py",
    "test_screen.py",
    "test_slurm.py",
    "test_stages.py",
    "test_watch.py",
}
# Slow tests that search, simulate or refit for many seconds each: `make test-long` runs them.
LONG = {
    "test_a_long_run_is_solved_from_a_shorter_one",
    "test_a_plan_from_logs_of_the_exact_model_is_near_its_optimum",
    "test_a_plan_over_other_fits_is_stable_and_knows_what_uncertainty_costs",
    "test_a_redirected_solve_shows_nothing_else",
    "test_a_solve_says_what_is_left_and_is_right_within_a_factor_of_three",
    "test_a_solve_tells_from_nothing_to_all",
    "test_baselines_are_at_their_own_optimum",
    "test_batch_ramp_under_a_budget_of_time",
    "test_bound_optimum_and_baselines_are_in_order_whatever_the_noise",
    "test_every_law_can_be_planned",
    "test_every_shape_is_the_schedule_to_the_last_bit_of_the_float",
    "test_examples_run_on_the_bundled_pilots",
    "test_few_updates_in_large_batches_are_optimal_each",
    "test_it_is_below_the_heavy_ball",
    "test_losses_of_adam_are_those_of_runs",
    "test_losses_of_sign_descent_are_those_of_runs",
    "test_moments_are_those_of_simulated_sgd",
    "test_momentum_helps_the_hard_phase_and_never_hurts",
    "test_no_free_search_is_much_better",
    "test_no_free_search_of_every_update_is_lower_by_more_than_the_gap",
    "test_no_worse_than_a_search_over_every_update",
    "test_no_worse_than_brute_force_elsewhere",
    "test_runs_collapse_over_batch_sizes_where_noise_dominates",
    "test_the_easy_phase_gains_next_to_nothing",
    "test_the_exponent_of_the_hard_phase_is_the_derived_one",
    "test_the_gap_of_a_long_run_is_true",
    "test_the_horizon_costs_neither_compilations_nor_accuracy",
    "test_the_optimum_is_at_or_below_every_baseline_with_a_small_gap",
    "test_the_order_of_baselines_is_that_of_theory",
    "test_the_posterior_by_nuts_is_that_of_the_refits",
    "test_the_slope_of_every_law_is_that_of_its_losses",
    "test_transient_rates_gain_what_a_free_search_does",
    "test_under_a_budget_of_samples_all_mixes_are_nearly_as_good",
    "test_without_label_noise_no_start_ends_far_above_the_others",
}
MISSING = {name for name in FRAMEWORKS if find_spec(name) is None}


def missing_frameworks(path: Path) -> list[str]:
    """The missing frameworks that a file imports at its top, itself or by a module of ours.

    The modules: `etastar.integrations.NAME`, and what `etastar.train` holds.
    """
    imported: set[str] = set()
    statements = list(ast.parse(path.read_bytes()).body)
    for statement in statements:
        # `try` stands around an import to say how to install what is missing.
        if isinstance(statement, ast.Try):
            statements += statement.body
        if isinstance(statement, ast.Import):
            imported.update(*(name.name.split(".") for name in statement.names))
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            imported.update(statement.module.split("."))
            if statement.module == "etastar.train":
                files = (TRAIN / f"{name.name}.py" for name in statement.names)
                imported.update(*(missing_frameworks(file) for file in files if file.exists()))
    return sorted(MISSING & imported)


class SkippedFile(pytest.File):
    """A file of tests that cannot be imported here."""

    def collect(self) -> list[pytest.Item]:
        names = ", ".join(missing_frameworks(self.path))
        pytest.skip(f"{self.nodeid} is skipped, because it imports what is not installed: {names}")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    collectors = yield
    if MISSING and collectors and missing_frameworks(file_path):
        return [SkippedFile.from_parent(parent, path=file_path)]
    return collectors


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow examples, the long tests, and those that a crowded machine may upset."""
    for item in items:
        name = getattr(item, "originalname", item.name)
        if name in LONG and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.long)
        if item.path.name in TIMED:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if isinstance(item, pytest.DoctestItem) and item.name.split(".")[-1] in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _examples_of_reports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plan` and `tested` for the examples in docstrings of `etastar.report`.

    To plan, or to fit a law that can be tested, would take an example half a minute.
    """
    if request.node.path.parent.name == "report" and request.node.path.suffix == ".py":
        from tests.helpers.backtests import make_backtest
        from tests.helpers.plans import make_plan

        # One namespace serves all examples: what stays in it would hide the names of other files.
        namespace = request.getfixturevalue("doctest_namespace")
        monkeypatch.setitem(namespace, "plan", make_plan())
        monkeypatch.setitem(namespace, "tested", make_backtest("low", "high"))
