"""How long does the page of a plan take to answer a moved slider, and how large is it?

    python bench/page_speed.py [--moves N]

Plans from the 10 pilots of `examples/gpt`, from 18 runs at three batch sizes made by the law itself
(with a batch size that rises), and a run that goes on from another. Opens each report in Chromium,
moves the peak LR and the horizon, and asks the page what each answer took: all numbers, the band
and three charts drawn anew. Then what follows after a rest: steps to match, best peak LR. Needs
Playwright and a Chromium. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from etastar import plan, read_runs
from etastar.planning import Plan
from etastar.report import plan_report

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the helpers of the tests
from tests.helpers.browser import opened_browser, opened_page, settle
from tests.helpers.laws import make_batch_pilots, make_pilots, make_run

ROOT = Path(__file__).parents[1]
MOVE = """async ([slider, moves]) => {
  const found = [];
  const control = document.getElementById(slider);
  for (let i = 0; i < moves; i++) {
    control.value = 400 + (200 * i) / moves;
    control.dispatchEvent(new Event("input"));
    found.push(Number(document.getElementById("explore").dataset.milliseconds));
    await new Promise((go) => requestAnimationFrame(go));
  }
  return found;
}"""
SETTLE = """() => {
  const plan = Explorer.plan();
  const state = { ...Explorer.state(), kind: "cosine" };
  const begun = performance.now();
  Plans.stepsToMatch(plan, state);
  const matched = performance.now();
  Plans.best(plan, state);
  return [matched - begun, performance.now() - matched];
}"""


def plans() -> Iterator[tuple[str, Plan]]:
    yield "gpt, 10 pilots", plan(read_runs(ROOT / "examples/gpt/pilots"), 56_000)
    sizes = plan(make_batch_pilots(), samples=1e6, batch_size=(8, 128))
    yield "three batch sizes, 18 pilots", sizes
    under_way = make_run("constant:peak=1e-3,horizon=3000,warmup=100", 99)
    yield "a run that goes on, 13 pilots", plan(make_pilots(), 9000, continued=under_way)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moves", type=int, default=60)
    moves = parser.parse_args().moves
    print(f"{'plan':32} {'kB':>5} {'peak LR':>14} {'horizon':>14} {'match':>6} {'best':>6}  [ms]")
    with opened_browser() as browser, tempfile.TemporaryDirectory() as folder:
        for name, found in plans():
            report = plan_report(found)
            page = opened_page(browser, report, Path(folder))
            settle(page)
            cells = []
            for slider in ("x-peak", "x-horizon"):
                times = page.evaluate(MOVE, [slider, moves])
                cells.append(f"{statistics.median(times):6.1f} < {max(times):5.1f}")
            match, best = page.evaluate(SETTLE)
            size = len(report.encode()) / 1000
            print(f"{name:32} {size:5.0f} {cells[0]} {cells[1]} {match:6.0f} {best:6.0f}")


if __name__ == "__main__":
    main()
