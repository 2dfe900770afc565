"""The training on images: deterministic, resumable bit by bit, with labels that may be wrong."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from etastar import InputError, read_runs
from etastar.schedule import parse_schedule
from etastar.train import images, loop
from etastar.train.drawing import draw

SPEC = "linear:peak=0.05,horizon=40,warmup=5"
TINY = ["--width=4", "--stages=2", "--size=8", "--batch=4", "--validation-images=64"]


def command(out: Path, name: str, *more: str, spec: str = SPEC) -> list[str]:
    return ["--schedule", spec, "--out", str(out), "--name", name, "--device=cpu", *TINY, *more]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def settings(**more) -> images.ImageSettings:
    return images.ImageSettings(parse_schedule(SPEC), **{"size": 8, "batch": 4, **more})


def test_same_seed_gives_the_same_log_and_another_seed_another(tmp_path, last_weights):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert images.main(command(tmp_path, name, "--seed", seed)) == 0
    a, b, c = (rows(tmp_path / f"{name}.csv") for name in "abc")
    assert a == b
    assert last_weights[0] == last_weights[1]
    assert [r["loss"] for r in a] != [r["loss"] for r in c]


@pytest.mark.slow  # starts Python with PyTorch
def test_killed_run_goes_on_bit_by_bit(tmp_path, last_weights):
    """Killed with SIGKILL at some moment, it ends in the weights and log of a run in one go."""
    spec = "linear:peak=0.02,horizon=400,warmup=20"
    more = ["--eval-every=20", "--checkpoint-every=15", "--seed=3"]
    assert images.main(command(tmp_path, "whole", *more, spec=spec)) == 0
    arguments = command(tmp_path, "killed", *more, spec=spec)
    process = subprocess.Popen(
        [sys.executable, "-m", "etastar.train.images", *arguments], stdout=subprocess.PIPE
    )
    assert process.stdout
    for _ in range(4):  # one line at the start, then one per tenth
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert images.main(command(tmp_path, "killed", *more, spec=spec)) == 0
    assert last_weights[0] == last_weights[1]
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_interrupted_run_goes_on_bit_by_bit(tmp_path, capsys, interrupted, last_weights, optimizer):
    more = ["--optimizer", optimizer, "--label-noise=0.2", "--eval-every=10"]
    assert images.main(command(tmp_path, "whole", *more)) == 0
    with interrupted(images, 13):
        assert images.main(command(tmp_path, "a", *more)) == 130
    assert "a: stopped at step 14 of 40; the same command goes on" in capsys.readouterr().out
    assert images.main(command(tmp_path, "a", *more)) == 0
    assert "goes on from step 14" in capsys.readouterr().out
    assert last_weights[0] == last_weights[2] != last_weights[1]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


CONTROLS = {
    "momentum": ["--momentum-schedule", "table:horizon=40,knots=0:0/10:0.5/20:0.9/40:0"],
    "velocity": [
        "--momentum-schedule=linear:peak=0.9,horizon=40",
        "--velocity-schedule=linear:peak=0.01,horizon=40",
    ],
    "batch": ["--batch-schedule=table:horizon=40,knots=0:1/39:60"],
}


@pytest.mark.parametrize("name", CONTROLS)
def test_run_with_other_controls_goes_on_bit_by_bit(tmp_path, interrupted, last_weights, name):
    more = [*CONTROLS[name], "--eval-every=10", "--label-noise=0.2"]
    assert images.main(command(tmp_path, "whole", *more)) == 0
    with interrupted(images, 13):
        assert images.main(command(tmp_path, "a", *more)) == 130
    assert images.main(command(tmp_path, "a", *more)) == 0
    assert last_weights[0] == last_weights[2] != last_weights[1]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert images.main(command(tmp_path, "plain", "--eval-every=10", "--label-noise=0.2")) == 0
    assert last_weights[3] != last_weights[0]


def test_log_of_other_controls_is_read_back_with_their_schedules(tmp_path, capsys):
    """The columns of the fixed batch size and momentum are empty: the run has none."""
    more = [*CONTROLS["batch"], *CONTROLS["velocity"]]
    assert images.main(command(tmp_path, "a", *more)) == 0
    assert images.main(command(tmp_path, "b")) == 0
    a, b = read_runs(tmp_path)
    assert (a.batch_size, a.momentum) == (None, None)
    assert (b.batch_size, b.momentum) == (4, 0.9)
    for option, _, spec in (text.partition("=") for text in more):
        kept = a.metadata[option.removeprefix("--").replace("-", "_")]
        assert parse_schedule(str(kept)) == parse_schedule(spec)
    assert images.main(command(tmp_path, "a", *CONTROLS["velocity"])) == 2
    assert "'a' was made with batch_size" in capsys.readouterr().err


@pytest.mark.parametrize("two_rates", [False, True])
def test_updates_follow_the_formula_of_the_controls(two_rates):
    """v' = mu v + g and w' = w - eta_g g - eta_v v', also where the momentum is 0 in between."""
    momentum = parse_schedule("table:horizon=40,knots=0:0.8/1:0/2:0.9/40:0.9")
    velocity = parse_schedule("linear:peak=0.02,horizon=40")
    chosen = settings(momentum_schedule=momentum, velocity_schedule=velocity if two_rates else None)
    model = torch.nn.Linear(5, 3).double()
    optimizer = images.make_optimizer(model, chosen)
    state = loop.State(model, optimizer, loop.Log(Path("none.csv")))
    generator = torch.Generator().manual_seed(0)
    w = [p.detach().clone() for p in model.parameters()]
    v = [torch.zeros_like(p) for p in w]
    for step in range(5):
        state.step = step
        mu, lr, of_velocity = float(momentum(step)), 0.1 + step, float(velocity(step))
        for i, parameter in enumerate(model.parameters()):
            g = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.grad = g.clone()
            v[i] = mu * v[i] + g
            w[i] = w[i] - lr * g - of_velocity * v[i] if two_rates else w[i] - lr * v[i]
        images.step_optimizer(state, chosen, lr)
        for expected, parameter in zip(w, model.parameters(), strict=True):
            assert torch.allclose(parameter, expected, rtol=1e-12, atol=1e-14)


def test_a_constant_run_holds_the_shorter_ones(tmp_path):
    """So that one run of the longest horizon serves every horizon."""
    for name, horizon in (("long", 60), ("short", 20)):
        spec = f"constant:peak=0.05,horizon={horizon},warmup=5"
        assert images.main(command(tmp_path, name, "--eval-every=10", spec=spec)) == 0
    assert rows(tmp_path / "long.csv")[:3] == rows(tmp_path / "short.csv")


def test_log_is_read_back_with_what_the_run_was(tmp_path):
    assert images.main(command(tmp_path, "a", "--label-noise=0.2", "--eval-every=8")) == 0
    (run,) = read_runs(tmp_path)
    assert run.schedule == parse_schedule(SPEC)
    assert run.batch_size == 4
    assert run.momentum == 0.9
    assert run.metadata["label_noise"] == 0.2
    assert run.caveats == ()
    assert run.step.tolist() == [0, 8, 16, 24, 32, 40]
    assert run.loss[0] == pytest.approx(np.log(10), abs=1e-6)


@pytest.mark.slow  # 300 updates of the network in its usual size
def test_the_network_learns_to_name_the_shapes(tmp_path):
    spec = "linear:peak=0.05,horizon=300,warmup=50"
    arguments = ["--schedule", spec, "--out", str(tmp_path), "--name", "a", "--eval-every=150"]
    assert images.main([*arguments, "--validation-images=512", "--device=cpu"]) == 0
    losses = [float(row["loss"]) for row in rows(tmp_path / "a.csv")]
    assert losses[-1] < 1.9 < losses[0]


def test_batches_are_the_stream_in_order_whatever_the_batch_size():
    seen = []
    for batch in (4, 24, 200):
        chosen = settings(batch=batch)
        batches = images.ImageBatches(images.sources(chosen)[0], chosen)
        steps = range(600 // batch)
        seen.append(torch.cat([batches(step)[0] for step in steps]))
        assert batches(1)[0].equal(seen[-1][batch : 2 * batch])  # also backwards
    expected = draw((0, images.TRAINING), 0, 600, 8)[0]
    assert all(np.array_equal(each.numpy(), expected) for each in seen)


def test_batches_of_a_ramp_are_the_stream_in_order():
    sizes = parse_schedule("table:horizon=40,knots=0:1/20:5.4/39:180")
    chosen = settings(batch_schedule=sizes)
    batches = images.ImageBatches(images.sources(chosen)[0], chosen)
    found = [batches(step)[0] for step in range(40)]
    assert [len(each) for each in found] == [max(1, round(float(sizes(t)))) for t in range(40)]
    expected = draw((0, images.TRAINING), 0, sum(map(len, found)), 8)[0]
    assert np.array_equal(torch.cat(found).numpy(), expected)
    assert batches(3)[0].equal(found[3])  # also backwards


def test_validation_images_are_in_no_training_stream():
    held = images.sources(settings())[1](0, 500)[0]
    trained = [images.sources(settings(seed=seed))[0](0, 500)[0] for seed in (0, 1)]
    everything = np.concatenate([held, *trained])
    assert len({image.tobytes() for image in everything}) == 1500
    assert np.array_equal(held, images.sources(settings(seed=7))[1](0, 500)[0])


def test_label_noise_replaces_that_share_of_the_classes_evenly():
    classes = draw((0, 0), 0, 20000, 2)[1]
    noisy = images.flip(classes, 0, 0, 0.2)
    wrong = noisy != classes
    assert wrong.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 20000))
    steps = np.bincount((noisy - classes)[wrong] % 10, minlength=10)
    assert steps[0] == 0
    mean = wrong.sum() / 9
    assert np.sum((steps[1:] - mean) ** 2 / mean) < 26.1  # 8 degrees of freedom, 1 in 1000
    assert np.array_equal(images.flip(classes[500:600], 0, 500, 0.2), noisy[500:600])
    assert np.array_equal(images.flip(classes, 0, 0, 0.0), classes)
    assert np.any(images.flip(classes, 1, 0, 0.2) != noisy)


def test_validation_loss_is_the_mean_over_flipped_labels():
    classes = np.arange(2000) % 10
    logits = torch.randn(2000, 10, generator=torch.Generator().manual_seed(0))
    exact = torch.nn.functional.cross_entropy(logits, images.targets(classes, 0.2))
    drawn = [
        torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(images.flip(classes, seed, 0, 0.2))
        )
        for seed in range(200)
    ]
    error = torch.stack(drawn).std() / 200**0.5
    assert abs(torch.stack(drawn).mean() - exact) < 4 * error
    assert images.targets(classes, 0.0).sum(1).eq(1).all()


def test_cifar5m_is_trained_on_and_resumed(tmp_path, last_weights):
    rng = np.random.default_rng(0)
    for number in (0, 5):
        pixels = rng.integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / f"part{number}.npz", X=pixels, Y=rng.integers(0, 10, 400))
    more = ["--data", str(tmp_path), "--eval-every=20"]
    assert images.main(command(tmp_path / "out", "a", *more)) == 0
    assert rows(tmp_path / "out" / "runs.csv")[0]["data"] == "cifar5m"
    assert len(rows(tmp_path / "out" / "a.csv")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedule", "linear:peak=1"], "horizon"),
        (["--size", "10"], "--size 10: must be a multiple of 4 for --stages 2"),
        (["--label-noise", "1"], "--label-noise: '1' must be a number of at least 0 and below 1"),
        (["--optimizer", "adam"], "--optimizer: invalid choice"),
        (["--data", "/nowhere"], "--data /nowhere: part0.npz ... part4.npz not found"),
        (["--momentum-schedule", "linear:peak=1,horizon=40"], "the momentum must stay below 1"),
        (["--momentum-schedule", "nosuch:horizon=40"], "--momentum-schedule: "),
        (["--batch-schedule", "constant:peak=4,horizon=30"], "--batch-schedule: has 30 updates"),
        (
            ["--velocity-schedule", "constant:peak=1,horizon=40", "--weight-decay=0.1"],
            "--velocity-schedule: only without --weight-decay",
        ),
        (
            ["--velocity-schedule", "constant:peak=1,horizon=40", "--optimizer=adamw"],
            "only for --optimizer sgd",
        ),
        (["--out", "/dev/null/a"], "--out /dev/null/a: cannot write there"),
    ],
)
def test_bad_argument_gives_one_line(tmp_path, capsys, arguments, message):
    try:
        code = images.main([*command(tmp_path, "a"), *arguments])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.startswith("etastar.train.images: ")
    assert text.count("\n") == 1


def test_settings_are_checked_in_python_too():
    with pytest.raises(InputError, match="multiple of 8"):
        settings(size=12, stages=3)
