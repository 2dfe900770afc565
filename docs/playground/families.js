// Standard schedules at their best, and what the theory says of them: etastar/model/_phase.py, and
// the searches of etastar/control/_model_families.py on a smaller mesh.
"use strict";

const Families = (() => {
  const SEARCH = 48; // segments of the search,
  const SEARCH_SHORT = 96; // in runs of up to SHORT updates,
  const SHORT = 20000;
  const FINAL = [128, 256]; // and of the loss that is shown, between which it is extrapolated;
  const FINAL_TABLE = [256, 512]; // a table has many kinks
  const NAMES = ["constant", "linear", "cosine", "wsd"];
  const POWER = { constant: 0, linear: 1, cosine: 2, wsd: 1 }; // of the fall at the end

  // The phase of a task with label noise.
  function phase(capacity, source) {
    const inverse = 1 / capacity;
    const distance = source - (1 - inverse);
    const delta = 2 * capacity - 1;
    if (distance >= 0) {
      const total = source + inverse;
      const [xi, loss] = [distance / total, source / total];
      return { name: "easy", xi, delta, loss, annealed: 0, distance };
    }
    const annealed = -distance / (2 - inverse);
    return { name: "hard", xi: 0, delta, loss: source, annealed, distance };
  }

  // Exponents of loss and best peak LR of a family, and whether a logarithm slows the loss.
  function exponents(name, capacity, source) {
    const power = POWER[name];
    const q = Math.min(power / (power + 1), 1 - 1 / capacity);
    if (source <= q) return { loss: source, peak: 0, slow: false };
    const slow = power > 0 && Math.abs(power - (capacity - 1)) < 1e-9;
    return { loss: source / (source + 1 - q), peak: (source - q) / (source + 1 - q), slow };
  }

  const document = (name, peak, horizon, cooldown) =>
    name === "wsd"
      ? { kind: "wsd", peak, horizon, cooldown, decay: "sqrt" }
      : { kind: name, peak, horizon };

  // Where a parabola through three points, the middle one lowest, has its minimum.
  function vertex([x0, x1, x2], [y0, y1, y2]) {
    const left = (y1 - y0) / (x1 - x0);
    const right = (y2 - y1) / (x2 - x1);
    const bend = (right - left) / (x2 - x0);
    const at = (x0 + x1) / 2 - left / (2 * bend);
    return bend > 0 && Number.isFinite(at) ? Math.min(Math.max(at, x0), x2) : x1;
  }

  // The least of f up to `top`: steps that widen downhill, then parabolas. Infinite values, of
  // unstable LRs, are uphill.
  function least(f, start, top, first, rounds) {
    const known = new Map();
    const at = (x) => {
      if (!known.has(x)) {
        const y = f(x);
        known.set(x, Number.isFinite(y) ? y : 1e300);
      }
      return known.get(x);
    };
    let x = Math.min(start, top);
    let step = first;
    let [low, high] = [x - step, Math.min(x + step, top)];
    for (let i = 0; i < 60; i++) {
      if (at(low) < at(x)) {
        [high, x] = [x, low];
        step *= 1.6;
        low = x - step;
      } else if (high > x && at(high) < at(x)) {
        [low, x] = [x, high];
        step *= 1.6;
        high = Math.min(x + step, top);
      } else break;
    }
    for (let i = 0; i < rounds; i++) {
      if (high === x) {
        // At the top: nearer to it, until the minimum is between or is the top itself.
        const near = x - (x - low) / 4;
        if (at(near) < at(x)) [x, high] = [near, x];
        else {
          low = near;
          continue;
        }
      }
      const next = vertex([low, x, high], [at(low), at(x), at(high)]);
      if (Math.abs(next - x) < 1e-3 * first || next <= low || next >= high) break;
      if (at(next) < at(x)) {
        [low, high] = next < x ? [low, x] : [x, high];
        x = next;
      } else if (next < x) low = next;
      else high = next;
    }
    return { x, y: at(x) };
  }

  // The loss of a schedule, LRs times `factor`: two meshes, and the limit that they point to.
  function loss(task, schedule, factor = 1) {
    const { spectrum, noise, batch } = task;
    const graded = Segments.grading(schedule, spectrum.largest);
    const counts = schedule.document.kind === "table" ? FINAL_TABLE : FINAL;
    const at = (count) =>
      Segments.finalLoss(spectrum, noise, batch, Segments.cellsOf(graded, count), factor);
    const fine = at(counts[1]);
    // Where each update is on its own there is nothing to extrapolate.
    return schedule.horizon <= counts[1] ? fine : fine + (fine - at(counts[0])) / 3;
  }

  // The best peak LR of one shape, from a first guess: {peak, value}.
  function bestPeak(task, name, guess, rounds, cooldown) {
    const { spectrum, noise, batch, horizon, cap } = task;
    const mesh = horizon <= SHORT ? SEARCH_SHORT : SEARCH;
    const made = Schedules.make(document(name, guess, horizon, cooldown));
    const cells = Segments.cellsOf(Segments.grading(made, spectrum.largest), mesh);
    const at = (log) =>
      Math.log(Segments.finalLoss(spectrum, noise, batch, cells, Math.exp(log) / guess));
    const { x, y } = least(at, Math.log(guess), Math.log(cap), 0.25, rounds);
    return { peak: Math.exp(x), value: y };
  }

  // A family at its best peak LR, WSD with its best cooldown, 1 - sqrt. `mean` is the mean LR of the
  // optimal schedule: at the same intrinsic time a shape is near its best.
  function best(task, name, mean) {
    const { horizon, cap } = task;
    const guess = Math.min(mean * { constant: 0.5, linear: 2, cosine: 2, wsd: 1.5 }[name], cap);
    if (name !== "wsd") {
      const { peak } = bestPeak(task, name, guess, 3);
      return { name, document: document(name, peak, horizon) };
    }
    let near = guess;
    const fewest = Math.log(Math.min(1 / horizon, 0.5));
    const inner = (log) => {
      const cooldown = Math.max(Math.min(Math.exp(log), 0.98), 1 / horizon);
      const found = bestPeak(task, name, near, 2, cooldown);
      near = found.peak;
      return found.value;
    };
    const start = task.phase.name === "easy" ? Math.log(0.5) : Math.log(0.1);
    const { x } = least(inner, start, Math.log(0.98), 0.7, 3);
    const cooldown = Number(Math.exp(Math.max(x, fewest)).toPrecision(4));
    const { peak } = bestPeak(task, name, near, 2, cooldown);
    return { name, document: document(name, peak, horizon, cooldown) };
  }

  // All that the page says at once of a task {capacity, source, noise, batch, horizon}.
  function solve({ capacity, source, noise, batch, horizon }) {
    const spectrum = Spectra.powerLaw(capacity, source, horizon);
    const cap = Spectra.maxRate(spectrum, batch);
    const task = { spectrum, noise, batch, horizon, cap, phase: phase(capacity, source) };
    const own = Schedules.make(Optimum.schedule(spectrum, noise, batch, horizon));
    const mean = own.intrinsicTime(horizon) / horizon;
    const found = NAMES.map((name) => best(task, name, mean));
    const rows = [{ name: "optimal", document: own.document }, ...found].map((row) => {
      const schedule = Schedules.make(row.document);
      const exponent =
        row.name === "optimal"
          ? { loss: task.phase.loss, peak: task.phase.xi, slow: false }
          : exponents(row.name, capacity, source);
      return { ...row, schedule, loss: loss(task, schedule), exponent };
    });
    return { ...task, rows };
  }

  return { phase, exponents, least, loss, solve };
})();
