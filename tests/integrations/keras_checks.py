"""What is measured inside Keras on one backend; printed as one JSON object.

Keras takes its backend from the environment when it is imported, so each runs in its own process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import dropwhile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from etastar.integrations.keras import MomentumCallback, RunLogCallback, ScheduledRate
from etastar.schedule import InputError, parse_schedule

# Modules stand in the order in which they were imported: what follows is not Keras's own.
NEW = set(dropwhile(lambda name: name != "etastar", list(sys.modules)))
JAX = keras.backend.backend() == "jax"
SPECS = Path(__file__).with_name("specs.txt").read_text().splitlines()
GROUPS = {"muon": "linear:peak=0.02,horizon=24", "head": 0.5}
FOLDER = Path(tempfile.mkdtemp())
STEPS = np.arange(10_001)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("float32")
Y = X @ RNG.normal(size=(8, 1)).astype("float32")


def rates(rate: Any) -> np.ndarray:
    """The rate at each of 10,001 counts, as the optimiser would get it."""
    if JAX:
        import jax

        return np.asarray(jax.vmap(rate)(STEPS.astype(np.int32)))
    return np.array([rate(keras.ops.convert_to_tensor(int(step))).item() for step in STEPS])


def number(value: Any) -> float:
    return float(np.asarray(keras.ops.convert_to_numpy(value)).item())


def every_shape() -> dict[str, bool]:
    """Whether all 10,001 values are those of the schedule, in the float of the backend."""
    kind = np.float32 if JAX else np.float64
    result = {}
    for spec in SPECS:
        got, wanted = rates(ScheduledRate(spec)), parse_schedule(spec)(STEPS).astype(kind)
        result[spec] = got.dtype == kind and bool(np.array_equal(got, wanted))
    return result


def own_schedules() -> dict[str, float]:
    """Largest difference from Keras's own schedule of the same shape, over the peak."""
    own = keras.optimizers.schedules
    pairs = {
        "cosine:peak=0.3,horizon=300,final=0.1": own.CosineDecay(0.3, 300, alpha=0.1),
        "cosine:peak=0.3,horizon=300,warmup=30,final=0.1": own.CosineDecay(
            0.0, 270, alpha=0.1, warmup_target=0.3, warmup_steps=30
        ),
        "polynomial:peak=0.3,horizon=300,power=2": own.PolynomialDecay(0.3, 300, 0.0, power=2.0),
        "exponential:peak=0.3,horizon=300,final=0.05": own.ExponentialDecay(0.3, 300, 0.05),
        # Keras's boundaries belong to the value before them: 199 here is `at` 200.
        "step:peak=0.3,horizon=300,at=200,factor=0.2": own.PiecewiseConstantDecay(
            [199], [0.3, 0.06]
        ),
    }
    result = {}
    for spec, theirs in pairs.items():
        steps = [*range(0, 300, 15), 29, 30, 31, 199, 201, 299]
        ours = parse_schedule(spec)(steps)
        got = [number(theirs(step)) for step in steps]
        result[spec] = float(np.max(np.abs(np.array(got) - ours))) / 0.3
    return result


class Recorded(ScheduledRate):
    """Remembers the rates it gave, which on an eager backend are those applied."""

    def __call__(self, step: Any) -> Any:
        rate = super().__call__(step)
        if not JAX:
            self.__dict__.setdefault("seen", []).append(float(rate))
        return rate


def model(rate: Any, accumulation: int | None = None, **compiled: Any) -> Any:
    keras.utils.set_random_seed(1)
    layers = [keras.Input((8,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    made = keras.Sequential(layers)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, gradient_accumulation_steps=accumulation)
    made.compile(optimizer, "mse", **compiled)
    return made


def fit(made: Any, callbacks: Any = (), epochs: int = 3, **more: Any) -> Any:
    return made.fit(
        X, Y, epochs=epochs, batch_size=32, shuffle=False, verbose=0, callbacks=list(callbacks),
        **more,
    )  # fmt: skip


def weights(made: Any) -> list:
    return [np.asarray(weight).tolist() for weight in made.get_weights()]


def resumed() -> dict[str, Any]:
    """A training saved after one epoch and loaded from the file, against one that went through."""
    spec = "wsd:peak=0.05,horizon=24,warmup=3,cooldown=12"
    whole = model(Recorded(spec))
    fit(whole, [RunLogCallback(FOLDER / "whole.jsonl", batch_size=32, every=4)])
    first = model(Recorded(spec))
    log = RunLogCallback(
        FOLDER / "resumed.jsonl", batch_size=32, every=4, on_mismatch="ignore", seed=1
    )
    fit(first, [log], epochs=1)
    first.save(FOLDER / "model.keras")
    second: Any = keras.models.load_model(
        FOLDER / "model.keras", custom_objects={"Recorded": Recorded}
    )
    log = RunLogCallback(FOLDER / "resumed.jsonl", batch_size=32, every=4, seed=1)
    fit(second, [log], initial_epoch=1)
    seen = [*getattr(rate_of(first), "seen", []), *getattr(rate_of(second), "seen", [])]
    return {
        "same_weights": weights(whole) == weights(second),
        "spec": rate_of(second).schedule.spec,
        "whole_seen": getattr(rate_of(whole), "seen", []),
        "seen": seen,
        "next": number(first.optimizer.learning_rate),
        "iterations": int(number(second.optimizer.iterations)),
        "whole_log": (FOLDER / "whole.jsonl").read_text().splitlines(),
        "log": (FOLDER / "resumed.jsonl").read_text().splitlines(),
    }


def rate_of(made: Any) -> Any:
    return made.optimizer._learning_rate


def accumulated() -> dict[str, Any]:
    """With 4 batches an update: 6 updates in 24 batches, and the weights of 6 big batches."""
    rate = Recorded("linear:peak=0.05,horizon=6", accumulation=4)
    small = model(rate, accumulation=4)
    fit(small, [RunLogCallback(FOLDER / "accumulated.jsonl", every=2)])
    big = model(ScheduledRate("linear:peak=0.05,horizon=6"))
    for _ in range(3):
        for half in (slice(0, 128), slice(128, 256)):
            big.train_on_batch(X[half], Y[half])
    log = [json.loads(line) for line in (FOLDER / "accumulated.jsonl").read_text().splitlines()]
    return {
        "difference": max(
            float(np.max(np.abs(a - b)))
            for a, b in zip(small.get_weights(), big.get_weights(), strict=True)
        ),
        "log_steps": [row["step"] for row in log[1:]],
        "seen": getattr(rate, "seen", []),
    }


def momenta() -> dict[str, Any]:
    """The momentum of each update, and what is said where it cannot be driven."""
    seen: list[float] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(float(made.optimizer.momentum))

    driven = MomentumCallback("linear:peak=0.9,horizon=24,final=0.5")
    made = model(ScheduledRate("constant:peak=0.01,horizon=24"))
    refused = error(lambda: fit(made, [driven, Watch()]))
    made.optimizer.momentum = 0.0
    return {"seen": seen, "refused": refused, "without": error(lambda: fit(made, [driven]))}


def error(call: Any) -> str | None:
    """The message of an InputError, None where there is none."""
    try:
        call()
    except InputError as refused:
        return str(refused)
    return None


def refusals() -> dict[str, str | None]:
    plain = model(0.1)
    long = model(ScheduledRate("linear:peak=0.01,horizon=25"))
    uncounted = model(ScheduledRate("linear:peak=0.01,horizon=6"), accumulation=4)
    log = FOLDER / "refused.jsonl"
    return {
        "horizon": error(lambda: fit(long, [RunLogCallback(log)])),
        "plain": error(lambda: fit(plain, [RunLogCallback(log)])),
        "accumulation": error(lambda: fit(uncounted, [RunLogCallback(log)])),
        "metric": error(
            lambda: fit(
                model(ScheduledRate("linear:peak=0.01,horizon=24")),
                [RunLogCallback(log, loss="val_loss")],
            )
        ),
        "number": error(lambda: MomentumCallback(0.9)),
        "zero": error(lambda: ScheduledRate("linear:peak=0.01,horizon=6", accumulation=0)),
        "groups": error(lambda: ScheduledRate(GROUPS)),
    }


def validated() -> list[dict[str, float]]:
    """The log of a training whose loss is the validation's."""
    made = model(ScheduledRate("linear:peak=0.01,horizon=24"))
    log = RunLogCallback(FOLDER / "validated.jsonl", loss="val_loss", batch_size=32)
    history = fit(made, [log], validation_data=(X[:64], Y[:64])).history
    rows = [json.loads(line) for line in (FOLDER / "validated.jsonl").read_text().splitlines()]
    return [{"history": value} for value in history["val_loss"]] + rows[1:]


def serialised() -> str:
    rate = ScheduledRate(SPECS[-1], accumulation=3)
    own = keras.optimizers.schedules
    back = own.deserialize(json.loads(json.dumps(own.serialize(rate))))
    assert isinstance(back, ScheduledRate)
    return f"{back.accumulation} {back.schedule == rate.schedule}"


def groups() -> dict[str, float]:
    """The LRs that Keras's Muon uses in the first update, for the matrices and the rest."""
    rate = ScheduledRate(GROUPS, group="muon")
    muon: Any = keras.optimizers.Muon  # its annotations say less than it takes
    optimizer = muon(rate, adam_lr_ratio=0.15, weight_decay=None)
    head = ScheduledRate(GROUPS, group="head")
    step = keras.ops.convert_to_tensor(10)
    return {
        "muon": number(rate(step)),
        "adamw": number(rate(step)) * optimizer.adam_lr_ratio,
        "head": number(head(step)),
        "used": number(optimizer.learning_rate),
    }


def long_horizon() -> list[float]:
    """Rates of 1e9 updates, for which no table is made, close to the end."""
    rate = ScheduledRate("linear:peak=0.1,horizon=1000000000")
    return [float(rate(keras.ops.convert_to_tensor(10**9 - k))) for k in (1, 2, 3)]


if __name__ == "__main__":
    own = {name for name in NEW if name.startswith("etastar.")}
    heavy = {"torch", "jax", "optax", "polars", "scipy", "plotly", "typer", "transformers"}
    report = {
        "imports": sorted({name.split(".")[1] for name in own}),
        "heavy": sorted({name.split(".")[0] for name in NEW} & heavy),
        "shapes": every_shape(),
        "own": own_schedules(),
        "resumed": resumed(),
        "accumulated": accumulated(),
        "momenta": momenta(),
        "refusals": {} if JAX else refusals(),
        "validated": [] if JAX else validated(),
        "serialised": serialised(),
        "long": long_horizon(),
        "groups": groups(),
    }
    print("REPORT " + json.dumps(report))
