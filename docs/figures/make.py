"""Draw the pictures of the documentation.

    python docs/figures/make.py [NAME ...] [--screenshots]

writes `docs/figures/use_NAME.svg` for each drawing of `diagrams.py`, `charts.py` and `spectrum.py`,
or for those that are named; about a minute for all. `--screenshots` takes those of a report, of a
notebook and of `etastar app` in their place; it needs playwright, Pillow and Chromium.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import charts
import diagrams
import spectrum

FOLDER = Path(__file__).parent
MADE = {
    function.__name__: function
    for function in (
        diagrams.flow, diagrams.install, diagrams.alternatives, diagrams.planning, diagrams.pilots,
        diagrams.logs, diagrams.trackers, diagrams.troubleshooting, diagrams.cluster,
        diagrams.pytorch, diagrams.optax, diagrams.transformers, diagrams.lightning, diagrams.keras,
        charts.index, charts.words, charts.shapes, charts.groups, charts.export, charts.plan,
        charts.bundled,
        charts.watch, charts.first_plan, charts.designed, charts.affordable, spectrum.spectrum,
    )
}  # fmt: skip


def main(names: list[str]) -> None:
    for name in names or MADE:
        begin = time.perf_counter()
        path = FOLDER / f"use_{name}.svg"
        path.write_text(MADE[name]().svg(), encoding="utf-8")
        print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB"
              f"  {time.perf_counter() - begin:.1f} s")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("names", nargs="*", choices=[*MADE, []], metavar="NAME")
    parser.add_argument("--screenshots", action="store_true")
    asked = parser.parse_args()
    if asked.screenshots:
        import app_screens
        import screens

        screens.main(FOLDER)
        app_screens.main(FOLDER)
    else:
        main(asked.names)
