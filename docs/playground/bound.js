// The last-iterate bound for convex losses: the sums of etastar/robust/_terms.py and _bound.py.
//
// With w the last rate above 0, and for every start k
//     time_k = sum of r_t from k on + w,   spread_k = w + sum of r_j^2 / time_{j+1} from k on,
// the bound at s times the rates is min over k of (1 / (s time_k) + s spread_k) / 2.
"use strict";

const Bound = (() => {
  const LONGEST = 20000; // updates: the inflation hardly depends on the horizon

  // time and spread of all starts, the last update first.
  function terms(schedule) {
    let last = schedule.horizon - 1;
    while (last > 0 && !(schedule.value(last) > 0)) last -= 1;
    const [time, spread] = [new Float64Array(last + 1), new Float64Array(last + 1)];
    let after = schedule.value(last) / schedule.peak;
    let left = after;
    for (let i = 0; i <= last; i++) {
      const rate = schedule.value(last - i) / schedule.peak;
      left += rate * (rate / after);
      after += rate;
      time[i] = after;
      spread[i] = left;
    }
    return { time, spread };
  }

  // The bound at rho times the best base LR over that at the best, for each rho.
  function inflation(schedule, rhos) {
    const short = Math.min(schedule.horizon, LONGEST);
    const { time, spread } = terms(
      Schedules.make(Schedules.stretched(schedule.document, short)),
    );
    let best = 0;
    time.forEach((x, i) => {
      if (spread[i] / x < spread[best] / time[best]) best = i;
    });
    const scale = 1 / Math.sqrt(time[best] * spread[best]);
    const least = Math.sqrt(spread[best] / time[best]);
    return rhos.map((rho) => {
      const s = rho * scale;
      let lowest = Infinity;
      for (let i = 0; i < time.length; i++) {
        lowest = Math.min(lowest, 1 / (s * time[i]) + s * spread[i]);
      }
      return lowest / 2 / least;
    });
  }

  return { inflation, LONGEST };
})();
