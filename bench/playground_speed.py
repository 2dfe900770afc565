"""How long does the playground of the documentation take to answer a moved slider?

    mkdocs build --site-dir site && python bench/playground_speed.py [--site site] [--moves N]

Opens the built page in Chromium from disk, moves each slider over the middle of its range, and asks
the page what each answer took: spectrum, optimal schedule, four standard schedules at their best,
their losses, and three charts drawn anew. Prints the milliseconds that passed (median, 90%), and
the time that Chromium's main thread worked on it, which other programs hardly change. Needs
Playwright and a Chromium. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the helpers of the tests
from tests.helpers.browser import opened_browser

SLIDERS = ("capacity", "source", "noise", "batch", "horizon")
MOVE = """async ([key, moves]) => {
  const found = [];
  const control = document.getElementById(`p-${key}`);
  const [low, high] = [Number(control.min), Number(control.max)];
  const first = control.value;
  const move = (value) => {
    control.value = value;
    control.dispatchEvent(new Event("input"));
  };
  for (let i = 0; i < moves; i++) {
    move(low + (high - low) * (0.3 + (0.4 * i) / moves));
    found.push(Number(document.getElementById("p-controls").dataset.milliseconds));
    await new Promise((go) => requestAnimationFrame(go));
  }
  move(first);
  return found;
}"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--site", type=Path, default=Path("site"))
    parser.add_argument("--moves", type=int, default=60)
    options = parser.parse_args()
    with opened_browser() as browser:
        page = browser.new_page()
        page.goto((options.site / "playground.html").resolve().as_uri())
        page.wait_for_function("document.getElementById('p-controls').dataset.settled")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def worked() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return 1000 * {one["name"]: one["value"] for one in metrics}["ScriptDuration"]

        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"{'slider':10} {'median':>7} {'90%':>7} {'worked':>7}  [ms]")
        for key in SLIDERS:
            before = worked()
            times = page.evaluate(MOVE, [key, options.moves])
            each = (worked() - before) / (options.moves + 1)
            print(f"{key:10} {np.median(times):7.1f} {np.quantile(times, 0.9):7.1f} {each:7.1f}")


if __name__ == "__main__":
    main()
