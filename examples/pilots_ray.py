"""Pilots of etastar.train.gpt on a Ray cluster of this machine, and what they tell.

    python examples/pilots_ray.py [FOLDER]

Needs `pip install 'etastar[ray,torch]'`. Starts a cluster of two worker processes without a
dashboard; with `ray="auto"` or an address in place of "local" the same runs on any cluster. Run it
again after a kill: what is finished is not repeated.
"""

import sys

from etastar.pilot import run_pilots

COMMAND = [sys.executable, "-m", "etastar.train.gpt"]
COMMAND += ["--schedule", "{schedule}", "--seed", "{seed}", "--out", "{out}", "--name", "{name}"]
HORIZON, BUDGET = 8000, 8000


def main(out: str) -> None:
    swept = run_pilots(
        COMMAND,
        horizon=HORIZON,
        budget=BUDGET,
        peaks=(5e-4, 8e-3),
        warmup=100,
        out=out,
        ray="local",
        cpus=1,
        jobs=2,
    )
    for ended in swept.finished:
        loss = "none" if ended.run is None else f"{ended.run.final_loss:.4f}"
        print(f"{ended.pilot.name:26} {ended.pilot.steps:6} steps  loss {loss}")
    ahead = swept.outlook
    if ahead is not None:
        print(f"{HORIZON} steps of {ahead.shape}, peak {ahead.peak:.3g}:", end=" ")
        print(f"loss {ahead.loss:.3f} ({ahead.low:.3f} to {ahead.high:.3f})")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "pilots_ray")
