"""The real trainings of momentum and batch ramps: what is compared, and how it is counted."""

import csv
import itertools

import numpy as np
import pytest

from etastar.model import PowerLaw, exact_losses
from etastar.schedule import parse_schedule
from etastar.train import images


@pytest.fixture
def arms(bench_script):
    return bench_script("real_arms")


def test_arms_that_are_compared_spend_the_same(arms):
    budgets = arms.compared()
    for arm in budgets["updates"]:
        assert (arm.controls.lr.horizon, arm.controls.samples) == (arms.UPDATES, arms.SAMPLES)
    for arm in budgets["samples"]:
        assert arm.controls.samples == pytest.approx(arms.SAMPLES, rel=2e-3)
    for arm in budgets["seconds"]:
        assert arms.seconds_of(arm.controls) == pytest.approx(arms.SECONDS, rel=2e-3)


def test_a_ramp_has_the_lr_over_batch_of_the_decay_at_the_same_sample(arms):
    decay = parse_schedule(f"linear:peak=0.5,horizon={arms.UPDATES},warmup={arms.WARMUP}")
    ramp = arms.ramp_instead_of_decay(decay)
    steps = np.arange(ramp.lr.horizon)
    sizes = np.maximum(np.round(ramp.batch(steps)), 1)
    assert ramp.samples == pytest.approx(arms.SAMPLES, rel=2e-3)
    assert sizes.max() == arms.LARGEST_BATCH
    assert np.all(sizes[: arms.WARMUP] == arms.BATCH)
    seen = np.cumsum(sizes) - sizes
    wanted = decay(np.minimum(seen // arms.BATCH, arms.UPDATES - 1)) / arms.BATCH
    assert np.allclose(ramp.lr(steps) / sizes, wanted, rtol=0.05, atol=0.5 / arms.BATCH * 2e-3)
    held = (steps >= arms.WARMUP) & (sizes < arms.LARGEST_BATCH)
    held[-1] = False  # the last batch is cut where the samples end
    assert np.allclose(ramp.lr(steps[held]), 0.5, rtol=0.05)
    assert ramp.lr.horizon < 0.6 * arms.UPDATES


def test_every_run_of_the_queue_is_one_that_can_be_trained(bench_script, arms):
    queue = bench_script("run_queue")
    trainings = [*queue.momentum(), *queue.ramp_images()]
    assert len({training.name for training in trainings}) == len(trainings)
    for training in trainings:
        options = training.command[training.command.index("--device") :]
        given = vars(
            images.make_parser().parse_args([*options, "--out", "x", "--name", training.name])
        )
        schedule = parse_schedule(given.pop("schedule"))
        assert schedule.horizon == training.updates
        for key in ("out", "name"):
            del given[key]
        for option in images.CONTROLS:
            given[option] = images.read_control(option, given[option])
        images.ImageSettings(schedule, **given)  # checks them


@pytest.fixture
def trained(bench_script, arms, tmp_path):
    """Three arms with made-up final losses, by arm, factor and seed, and the script that reads."""
    plain = arms.Controls(parse_schedule("linear:peak=1,horizon=10"))
    chosen = [arms.Arm("momentum", name, plain, (1, 2, 4)) for name in ("linear_a", "linear_b")]
    chosen.append(arms.Arm("momentum", "heavy_ball", plain, (1, 2, 4), planned=True))
    rng = np.random.default_rng(0)
    losses, rows = {}, []
    folder = tmp_path / "momentum"
    folder.mkdir()
    for arm, factor, seed in itertools.product(chosen, (1, 2, 4), range(3)):
        if (arm.name, factor) == ("linear_a", 4) and seed == 2:
            continue  # not trained yet
        diverged = (arm.name, factor, seed) == ("heavy_ball", 4, 1)
        # The planned arm ends lowest, and still is no rival.
        loss = float(np.round(rng.uniform(0.4, 0.8) - 0.3 * arm.planned, 6))
        losses[arm.name, factor, seed] = np.inf if diverged else loss
        name = arm.run_name(factor, seed)
        (folder / f"{name}.csv").write_text(f"step,loss\n0,2.3\n10,{loss}\n")
        rows.append((name, "diverged" if diverged else "finished"))
    with (folder / "runs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("run", "status"), *rows])
    return chosen, losses, bench_script("real_controls"), tmp_path


def test_best_factors_and_paired_differences_against_counting_by_hand(trained, capsys):
    chosen, losses, script, folder = trained
    found = {arm.name: script.read_ends(arm, folder) for arm in chosen}
    best = {}
    for arm in chosen:
        means = {
            factor: sum(losses[arm.name, factor, seed] for seed in range(3)) / 3
            for factor in (1, 2, 4)
            if (arm.name, factor, 2) in losses
        }
        factor = min(means, key=lambda f: means[f])
        best[arm.name] = [losses[arm.name, factor, seed] for seed in range(3)]
        assert found[arm.name].factors[found[arm.name].best] == factor
        assert found[arm.name].losses.tolist() == best[arm.name]
    rival = min(("linear_a", "linear_b"), key=lambda name: sum(best[name]))
    difference = [a - b for a, b in zip(best["heavy_ball"], best[rival], strict=True)]
    mean = sum(difference) / 3
    error = (sum((each - mean) ** 2 for each in difference) / 2 / 3) ** 0.5
    script.print_table("updates", chosen, found, {"hard": {arm.name: 0.1 for arm in chosen}})
    printed = capsys.readouterr().out.splitlines()
    assert f"minus {rival}" in printed[2]
    row = next(line for line in printed if line.startswith("heavy_ball"))
    assert f"{mean:+.4f} +- {error:.4f}" in row


def test_an_arm_without_any_whole_set_of_seeds_is_left_out(trained):
    chosen, _, script, folder = trained
    (folder / "momentum" / "runs.csv").write_text("run,status\n")
    assert script.read_ends(chosen[0], folder) is None
    assert script.read_ends(chosen[0], folder / "nowhere") is None


def test_best_loss_of_the_model_is_that_of_a_fine_grid(trained):
    _, _, script, _ = trained
    model = PowerLaw(1.5, 0.3, 0.25, 16)
    lr = parse_schedule("linear:peak=0.3,horizon=60")
    found = script.best_model_loss(model, script.Controls(lr, 0.5))
    grid = [
        exact_losses(model, lr.scaled(peak=peak), momentum=0.5)[0]
        for peak in np.geomspace(0.05, 3.0, 200)
    ]
    assert found == pytest.approx(min(grid), rel=1e-4)
