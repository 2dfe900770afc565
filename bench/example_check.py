"""Does the plan hold? Predicted and measured losses at four times the pilots' horizon.

    python bench/example_check.py [examples/gpt]

Fits the pilots, forecasts every run of `check/` and prints both, with the mean and the spread over
seeds, whether the measured loss lies in the 90% interval, and the steps that were paid for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from etastar.law import fit
from etastar.runs import read_runs


def main(folder: Path) -> None:
    """Print the table of predicted against measured final losses."""
    pilots = read_runs([folder / "pilots"])
    checks = read_runs([folder / "check"])
    law = fit(pilots)
    table = Table(title="final validation loss at 56,000 updates, nats per byte")
    for column in ("schedule", "seeds", "measured", "sd", "predicted", "90% interval", "inside"):
        table.add_column(column)
    groups: dict[str, list] = {}
    for run in checks:
        groups.setdefault(run.name.rsplit("_seed", 1)[0], []).append(run)
    order = sorted(groups, key=lambda name: np.mean([run.final_loss for run in groups[name]]))
    for name in order:
        loss = np.array([run.final_loss for run in groups[name]])
        mean, low, high = law.predict(groups[name][0].schedule).final
        inside = f"{np.sum((low <= loss) & (loss <= high))}/{len(loss)}"
        sd = f"{loss.std(ddof=1):.4f}" if len(loss) > 1 else ""
        table.add_row(
            name, str(len(loss)), f"{loss.mean():.4f}", sd, f"{mean:.4f}",
            f"{low:.3f} to {high:.3f}", inside,
        )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    grid = [run for run in checks if run.name.endswith("seed0") and "_" in run.name[:-6]]
    console.print(
        f"pilots: {sum(run.schedule.horizon for run in pilots):,} updates in {len(pilots)}"
    )
    console.print(f"grid:   {sum(run.schedule.horizon for run in grid):,} updates in {len(grid)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "examples/gpt")
