"""What does the last-iterate bound cost, and how does that grow with the horizon?

    python bench/robust_speed.py

CPU seconds of one call, schedule included, the best of several; `ratio` is to ten times fewer
updates (10 is linear). Beside it in the same run the theorem as it is written, with both suffix
sums and the sum over j as whole arrays, and, for few updates, with its sums taken start by start.
The last rows are the mesh, whose size does not follow the horizon.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from etastar.robust import last_iterate
from etastar.schedule import Schedule, parse_schedule


def ours(schedule: Schedule) -> float:
    return last_iterate(schedule, mesh=False).best_bound()


def mesh(schedule: Schedule) -> float:
    return last_iterate(schedule, mesh=True).best_bound()


def whole_arrays(schedule: Schedule) -> float:
    """Suffix sums of the rates and their squares, and of the sum over j; O(T)."""
    eta = schedule(np.arange(schedule.horizon + 1))
    eta[-1] = eta[-2]
    first = np.cumsum(eta[::-1])[::-1]
    second = np.cumsum(eta[::-1] ** 2)[::-1]
    late = eta[:-1] / first[1:] * second[:-1] / first[:-1]
    spread = second[:-1] / first[:-1] + np.cumsum(late[::-1])[::-1]
    return float(np.sqrt(np.min(spread / first[:-1])))


def start_by_start(schedule: Schedule) -> float:
    """The sums of the theorem anew for every start; O(T^2)."""
    eta = schedule(np.arange(schedule.horizon + 1))
    eta[-1] = eta[-2]
    best = np.inf
    for k in range(schedule.horizon):
        first = np.cumsum(eta[k:][::-1])[::-1]
        second = np.cumsum(eta[k:][::-1] ** 2)[::-1]
        late = np.sum(eta[k:-1] / first[1:] * second[:-1] / first[:-1])
        best = min(best, (second[0] / first[0] + late) / first[0])
    return float(np.sqrt(best))


def cpu_seconds(work: Callable[[Schedule], float], schedule: Schedule) -> tuple[float, float]:
    """CPU seconds, the best of several calls, and the value."""
    best, value = np.inf, work(schedule)
    for _ in range(5):
        begun = time.process_time()
        value = work(schedule)
        best = min(best, time.process_time() - begun)
    return best, value


def main() -> None:
    print(
        f"{'updates':>8} {'schedule':<12} {'CPU s':>8} {'ratio':>6} {'ns/update':>10} "
        f"{'arrays/ours':>12} {'starts/ours':>12}"
    )
    for name in ("constant", "linear", "cosine"):
        before = None
        for horizon in (10**3, 10**4, 10**5, 10**6, 10**7):
            schedule = parse_schedule(name, horizon=horizon, peak=1.0)
            seconds, value = cpu_seconds(ours, schedule)
            arrays, other = cpu_seconds(whole_arrays, schedule)
            assert abs(other / value - 1) < 1e-9
            starts = ""
            if horizon == 10**3:
                slow, same = cpu_seconds(start_by_start, schedule)
                assert abs(same / value - 1) < 1e-9
                starts = f"{slow / seconds:.0f}"
            ratio = "" if before is None else f"{seconds / before:.1f}"
            print(
                f"{horizon:>8.0e} {name:<12} {seconds:>8.4f} {ratio:>6} "
                f"{1e9 * seconds / horizon:>10.1f} {arrays / seconds:>12.1f} {starts:>12}"
            )
            before = seconds
    for horizon in (10**7, 10**9, 10**12, 9 * 10**14):
        seconds, _ = cpu_seconds(mesh, parse_schedule("cosine", horizon=horizon, peak=1.0))
        print(f"{horizon:>8.0e} {'cosine, mesh':<12} {seconds:>8.4f}")


if __name__ == "__main__":
    main()
