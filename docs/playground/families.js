// Standard schedules at their best, and what the theory says of them: etastar/model/_phase.py, and
// the searches of etastar/control/_model_families.py on a smaller mesh.
"use strict";

const Families = (() => {
  // Segments of the search, by the updates up to which they do: a short run is less smooth.
  const SEARCH = [
    [500, 192],
    [20000, 96],
    [Infinity, 48],
  ];
  const FINAL = [128, 256]; // Of the loss that is shown, between which it is extrapolated;
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
    for (let i = 0; i < rounds && high - low > 2e-3; i++) {
      if (high === x) {
        // At the top: nearer to it, until the minimum is between or is the top itself.
        const near = x - (x - low) / 4;
        if (at(near) < at(x)) [x, high] = [near, x];
        else low = near;
        continue;
      }
      let next = vertex([low, x, high], [at(low), at(x), at(high)]);
      // Where one side is much steeper a parabola creeps: halve the wider side now and then.
      if (i % 3 === 2) next = high - x > x - low ? (x + high) / 2 : (x + low) / 2;
      if (Math.abs(next - x) < 1e-3 || next <= low || next >= high) break;
      const change = at(next) - at(x);
      if (change < 0) {
        [low, high] = next < x ? [low, x] : [x, high];
        x = next;
      } else if (next < x) low = next;
      else high = next;
      if (Math.abs(change) < 2e-5) break;
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

  // The log of the final loss of one shape as a function of the log of its peak LR.
  function lossAtPeak({ spectrum, noise, batch, horizon }, name, peak, cooldown) {
    const [, mesh] = SEARCH.find(([most]) => horizon <= most);
    const made = Schedules.make(document(name, peak, horizon, cooldown));
    const cells = Segments.cellsOf(Segments.grading(made, spectrum.largest), mesh);
    return (log) =>
      Math.log(Segments.finalLoss(spectrum, noise, batch, cells, Math.exp(log) / peak));
  }

  // The best peak LR of one shape, from a first guess.
  function bestPeak(task, name, guess, cooldown) {
    const f = lossAtPeak(task, name, guess, cooldown);
    return Math.exp(least(f, Math.log(guess), Math.log(task.cap), 0.25, 12).x);
  }

  // The lowest point of a parabola through three points near a guess: {x, y}.
  function valley(f, guess, top) {
    const step = 0.3;
    const last = Math.min(guess + step, top);
    const x = [last - 2 * step, last - step, last];
    const y = x.map(f).map((value) => (Number.isFinite(value) ? value : 1e300));
    const lowest = y.indexOf(Math.min(...y));
    const at = vertex(x, y);
    if (lowest !== 1 && (at <= x[0] || at >= x[2] || at === x[1])) {
      return { x: x[lowest], y: y[lowest] };
    }
    const left = (y[1] - y[0]) / step;
    const bend = ((y[2] - y[1]) / step - left) / (2 * step);
    return { x: at, y: y[0] + (at - x[0]) * (left + bend * (at - x[1])) };
  }

  // A family at its best peak LR, WSD with its best cooldown, 1 - sqrt. `mean` is the mean LR of
  // the optimal schedule: at the same intrinsic time a shape is near its best.
  function best(task, name, mean) {
    const { horizon, cap } = task;
    if (name !== "wsd") {
      const guess = Math.min(mean * (name === "constant" ? 0.4 : 1.9), cap);
      return { name, document: document(name, bestPeak(task, name, guess), horizon) };
    }
    let time = mean; // the mean LR that is best, as far as is known
    const meanOf = (cooldown) => 1 - (2 / 3) * cooldown;
    const kept = (log) => Math.max(Math.min(Math.exp(log), 0.98), 1 / horizon);
    const peakAt = (cooldown) => Math.min(time / meanOf(cooldown), cap);
    const inner = (log) => {
      const cooldown = kept(log);
      const f = lossAtPeak(task, name, peakAt(cooldown), cooldown);
      const [guess, top] = [peakAt(cooldown), cap].map(Math.log);
      // Near the cap the noise's feedback is steep, and no parabola.
      const { x, y } = top - guess < 0.3 ? least(f, guess, top, 0.1, 4) : valley(f, guess, top);
      time = Math.exp(x) * meanOf(cooldown);
      return y;
    };
    const start = task.phase.name === "easy" ? 0.6 : 0.1;
    const { x } = least(inner, Math.log(start), Math.log(0.98), 0.5, 3);
    const cooldown = Number(kept(x).toPrecision(4));
    const peak = bestPeak(task, name, peakAt(cooldown), cooldown);
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
