// The optimal LR in closed form, noise's own feedback included: the formulas of
// etastar/control/_model_closed_form.py, on the same tables and by the same search.
"use strict";

const Optimum = (() => {
  const KNOTS = 49;
  const TABLE = 512;
  const SLOWEST = 1e-4;
  const MOST = 1 - 1e-9;
  const HALF = 96;
  const GRID = 17;
  const TIME = 1e-3;

  const { interpolated, evenly, rising, round } = Segments;

  // A function by its logarithm at even places, straight in between: the logarithm at a place.
  function tabulated(low, step, log) {
    const last = log.length - 1;
    return (place) => {
      const at = Math.min(Math.max((place - low) / step, 0), last);
      const i = Math.min(Math.floor(at), last - 1);
      return log[i] + (at - i) * (log[i + 1] - log[i]);
    };
  }

  // The log rate over log pressure, eta^2 d/d eta [eta / (1 - g)], and -log(1 - g) over log rate.
  function responses(spectrum, batch, cap) {
    const { eigenvalue, multiplicity } = spectrum;
    const lost = Spectra.missing(spectrum);
    const logRate = evenly(Math.log(SLOWEST), 0, TABLE).map((x) => x + Math.log(cap));
    const [pressure, cost] = [[], []];
    logRate.forEach((log) => {
      const rate = Math.exp(log);
      let [gain, slope] = [(rate * lost) / 2, lost / 2];
      for (let k = 0; k < eigenvalue.length; k++) {
        const x = eigenvalue[k];
        const room = 2 - rate * x * (1 + 1 / batch);
        gain += (multiplicity[k] * rate * x) / room;
        slope += (multiplicity[k] * 2 * x) / (room * room);
      }
      gain = Math.min(gain / batch, MOST);
      pressure.push(2 * log + Math.log((1 - gain + (rate * slope) / batch) / (1 - gain) ** 2));
      cost.push(-Math.log1p(-gain));
    });
    const even = evenly(pressure[0], pressure[TABLE - 1], TABLE);
    const found = interpolated(even, pressure, logRate);
    return {
      bottom: even[0],
      top: even[TABLE - 1],
      rate: tabulated(even[0], even[1] - even[0], found),
      cost: tabulated(logRate[0], logRate[1] - logRate[0], cost),
    };
  }

  // What a task and a horizon need: tables of bias and kernel over log(1 + u / unit).
  function problemOf(spectrum, noise, batch, horizon) {
    const cap = Spectra.maxRate(spectrum, batch);
    const unit = 0.1 / spectrum.largest;
    const place = evenly(0, Math.log1p((cap * horizon) / unit), TABLE);
    const table = (f) =>
      tabulated(
        0,
        place[1],
        place.map((x) => Math.log(Math.max(f(spectrum, unit * Math.expm1(x)), 1e-300))),
      );
    const [bias, kernel] = [table(Spectra.bias), table(Spectra.kernel)];
    const at = (u) => Math.log1p(Math.max(u, 0) / unit);
    return {
      horizon,
      cap,
      noise,
      batch,
      unit,
      bias: (u) => Math.exp(bias(at(u))),
      kernel: (u) => Math.exp(kernel(at(u))),
      responses: responses(spectrum, batch, cap),
    };
  }

  // Points from 0 to `length`, geometric from both ends.
  function bothEnds(length, shortest) {
    const growth = Math.log1p((0.5 * length) / shortest);
    const near = evenly(0, 1, HALF + 1).map((x) => shortest * Math.expm1(growth * x));
    return [...near, ...near.slice(0, -1).reverse().map((x) => length - x)];
  }

  // Integral over points by the trapezoid rule.
  function integral(points, values) {
    let sum = 0;
    for (let i = 1; i < points.length; i++) {
      sum += ((points[i] - points[i - 1]) * (values[i] + values[i - 1])) / 2;
    }
    return sum;
  }

  // Where a falling function that is at most 0 at `high` is 0.
  function fallingRoot(f, start) {
    let [high, width] = [start, 8];
    let [atHigh, atLow] = [f(high), f(high - width)];
    while (atLow < 0) {
      width *= 2;
      atLow = f(high - width);
    }
    let low = high - width;
    let side = 0;
    for (let i = 0; i < 100 && high - low > 1e-10; i++) {
      // Secants; an end that stays twice counts half (Illinois).
      const middle = (low * atHigh - high * atLow) / (atHigh - atLow);
      const value = f(middle);
      if (Math.abs(value) < 1e-12) return middle;
      if (value > 0) {
        [low, atLow] = [middle, value];
        if (side > 0) atHigh /= 2;
        side = 1;
      } else {
        [high, atHigh] = [middle, value];
        if (side < 0) atLow /= 2;
        side = -1;
      }
    }
    return high;
  }

  // The best rates at the intrinsic time cap T / (1 + exp(-logit)), and the loss they leave.
  function profile(problem, logit) {
    const { horizon, cap, noise, batch, unit, bias, kernel } = problem;
    const { bottom, top, rate: rateAt, cost: costAt } = problem.responses;
    const time = (cap * horizon) / (1 + Math.exp(-logit));
    const toGo = bothEnds(time, Math.min(0.1 * unit, 1e-3 * time));
    const count = toGo.length;
    const [left, logLeft] = [new Float64Array(count), new Float64Array(count)];
    let most = -Infinity;
    for (let i = 0; i < count; i++) {
      left[i] = (kernel(toGo[i]) * (noise + bias(time - toGo[i]))) / batch;
      logLeft[i] = Math.log(left[i]);
      most = Math.max(most, logLeft[i]);
    }
    // Below the table noise does not feed itself: the pressure is eta^2.
    const logRate = (i, logNu) => {
      const place = logNu - logLeft[i];
      return rateAt(place) + Math.min(place - bottom, 0) / 2;
    };
    const each = new Float64Array(count);
    const excess = (logNu) => {
      for (let i = 0; i < count; i++) each[i] = Math.exp(-logRate(i, logNu));
      return Math.log(integral(toGo, each) / horizon);
    };
    const logNu = fallingRoot(excess, top + most);
    const rate = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const log = logRate(i, logNu);
      rate[i] = Math.exp(log);
      each[i] = left[i] * Math.exp(log + costAt(log));
    }
    return { loss: bias(time) + integral(toGo, each), toGo, rate };
  }

  // The least of a function with one minimum, by golden sections.
  function golden(f, from, to, width) {
    const part = (Math.sqrt(5) - 1) / 2;
    let [low, high] = [from, to];
    let [left, right] = [high - part * (high - low), low + part * (high - low)];
    let [atLeft, atRight] = [f(left), f(right)];
    while (high - low > width) {
      if (atLeft < atRight) {
        [high, right, atRight] = [right, left, atLeft];
        left = high - part * (high - low);
        atLeft = f(left);
      } else {
        [low, left, atLeft] = [left, right, atRight];
        right = low + part * (high - low);
        atRight = f(right);
      }
    }
    return (low + high) / 2;
  }

  // The rates as a table of whole steps: knots graded in intrinsic time, steps and the rate itself.
  function knotsOf({ horizon, unit }, { toGo, rate }) {
    const left = [0];
    const turns = [0];
    for (let i = 1; i < toGo.length; i++) {
      left.push(left[i - 1] + ((toGo[i] - toGo[i - 1]) * (1 / rate[i] + 1 / rate[i - 1])) / 2);
      turns.push(turns[i - 1] + Math.abs(Math.log(rate[i]) - Math.log(rate[i - 1])));
    }
    const stretch = horizon / left[left.length - 1];
    const steps = left.map((x) => x * stretch);
    const shortest = 3 * unit;
    const time = toGo[toGo.length - 1];
    const whole = Math.log1p(time / shortest);
    const grade = toGo.map(
      (u, i) =>
        Math.log1p(u / shortest) +
        0.4 * (whole - Math.log1p((time - u) / shortest)) +
        turns[i] +
        (0.2 * whole * steps[i]) / horizon,
    );
    const even = evenly(0, grade[grade.length - 1], KNOTS);
    const at = rising(interpolated(even, grade, steps).map((x) => round(horizon - x)));
    const back = at.map((step) => horizon - step).reverse();
    const rates = interpolated(back, steps, rate).reverse();
    return at.map((step, i) => [step, rates[i]]);
  }

  // The optimal schedule of a task: a document as Schedules.make takes.
  function schedule(spectrum, noise, batch, horizon) {
    const problem = problemOf(spectrum, noise, batch, horizon);
    const span = Math.log(horizon);
    const grid = evenly(-span, span, GRID);
    const values = grid.map((x) => profile(problem, x).loss);
    const least = values.indexOf(Math.min(...values));
    const i = Math.min(Math.max(least, 1), GRID - 2);
    const best = golden((x) => profile(problem, x).loss, grid[i - 1], grid[i + 1], TIME);
    return { kind: "table", horizon, knots: knotsOf(problem, profile(problem, best)) };
  }

  return { schedule, golden };
})();
