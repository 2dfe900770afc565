// The loss of a run of any length: the formulas of etastar/model/_mesh.py and _segments.py.
//
// A run is cut into segments, graded in intrinsic time towards its end; in one of m updates each
// mode sums in closed form, with r = 1 - 2 eta lambda + eta^2 lambda^2 (1 + 1/B):
//     C <- r^m C + eta^2 n lambda^2 [g_0 S_0 + (g_1 - g_0) S_1 / m]
// and the loss at the segment's end, which feeds its noise, solves one linear equation.
"use strict";

const Segments = (() => {
  const FORGET = 0.3;
  const AFTER_JUMP = 0.5;
  const IN_STEPS = 0.5;
  const PER_PIECE = 400;
  const SHORT = 12;
  const SHARP = 0.05;
  const ALL_GRADED = 16;
  const MOST_GRADED = 64;
  const [G1, G2] = [1, -1].map((sign) => Math.sqrt(5 - sign * 2 * Math.sqrt(10 / 7)) / 3);
  const GAUSS = [-G2, -G1, 0, G1, G2];
  const [W1, W2] = [1, -1].map((sign) => (322 + sign * 13 * Math.sqrt(70)) / 900);
  const WEIGHT = [W2, W1, 128 / 225, W1, W2];

  const rising = (values) =>
    Array.from(Float64Array.from(values).sort()).filter((x, i, all) => !i || x > all[i - 1]);
  const evenly = (low, high, count) =>
    Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
  // Halves to the even number, as NumPy rounds.
  const round = (x) => {
    const down = Math.floor(x);
    const part = x - down;
    return part < 0.5 || (part === 0.5 && down % 2 === 0) ? down : down + 1;
  };

  // Straight lines through points that rise in x, at places that rise too.
  function interpolated(places, x, y) {
    let i = 0;
    return places.map((place) => {
      while (i < x.length - 2 && x[i + 1] < place) i += 1;
      if (place <= x[0]) return y[0];
      if (place >= x[x.length - 1]) return y[y.length - 1];
      return y[i] + ((y[i + 1] - y[i]) * (place - x[i])) / (x[i + 1] - x[i]);
    });
  }

  // Steps where the LR or its slope jumps, and the sharp ones among them.
  function edges(schedule) {
    const end = schedule.horizon;
    const points = rising(schedule.breakpoints.filter((x) => x < end).map(Math.ceil)).filter(
      (x) => x < end,
    );
    if (points.length <= ALL_GRADED) return { points, sharp: points };
    const width = end / (4 * points.length);
    const at = (x) => schedule.value(Math.min(Math.max(Math.floor(x), 0), end));
    const sides = points.map((x) => [at(x - width), at(x), at(x + width)]);
    const scale = Math.max(...sides.flat()) + 1e-300;
    const size = points.map((x, i) => {
      const [before, here, after] = sides[i];
      const jump = Math.abs(here - schedule.value(Math.max(x - 1, 0))) / scale;
      return i ? Math.max(Math.abs(after - 2 * here + before) / scale, jump) : Infinity;
    });
    const sharp = points
      .map((_, i) => i)
      .sort((i, j) => size[i] - size[j])
      .slice(-MOST_GRADED)
      .filter((i) => size[i] > SHARP)
      .map((i) => points[i]);
    return { points, sharp: rising(sharp) };
  }

  // Functions of time, equal parts of which grade it toward its end and after each start.
  function ages(time, starts, shortest) {
    const last = time[time.length - 1];
    const whole = Math.log1p(last / shortest);
    let [piece, before] = [0, 0];
    const grown = (t, first) => Math.log1p(Math.max(t - first, 0) / shortest);
    return time.map((t) => {
      while (piece + 1 < starts.length && t >= starts[piece + 1]) {
        before += grown(starts[piece + 1], starts[piece]);
        piece += 1;
      }
      return [whole - Math.log1p((last - t) / shortest), before + grown(t, starts[piece])];
    });
  }

  // Steps close enough to integrate over, geometric from both ends of every piece.
  function fineSteps(ends) {
    const steps = [];
    for (let i = 0; i + 1 < ends.length; i++) {
      const [first, last] = [ends[i], ends[i + 1]];
      const most = Math.max((last - first) / 2, 0.25);
      steps.push(first, last);
      for (let j = 0; j < PER_PIECE; j++) {
        const half = 0.25 * (most / 0.25) ** (j / (PER_PIECE - 1));
        steps.push(first + half, last - half);
      }
    }
    const [low, high] = [ends[0], ends[ends.length - 1]];
    return rising(steps.map((x) => Math.min(Math.max(x, low), high)));
  }

  // Where a run needs short segments: `step` with the rising `grade`, equal parts of which are
  // segments; `hasten` is 1 / (1 - mu).
  function grading(schedule, largest, hasten = 1) {
    const end = schedule.horizon;
    const { points, sharp } = edges(schedule);
    const step = fineSteps([...sharp, end]);
    const time = [0];
    for (let i = 1; i < step.length; i++) {
      const inside = Math.min((step[i] + step[i - 1]) / 2, Math.max(end - 1, 0));
      time.push(time[i - 1] + (step[i] - step[i - 1]) * schedule.value(inside) * hasten);
    }
    const starts = sharp.map((x) => time[Schedules.lastAtMost(step, x)]);
    const inTime = ages(time, starts, FORGET / largest);
    const inSteps = ages(step, sharp, 1);
    const graded = inTime.map(([toGo, since]) => toGo + AFTER_JUMP * since);
    const [last, lastSteps] = [graded, inSteps.map(([a, b]) => a + b)].map(
      (list) => list[list.length - 1],
    );
    const grade = graded.map(
      (g, i) => g / last + (IN_STEPS * (inSteps[i][0] + inSteps[i][1])) / lastSteps,
    );
    return { schedule, step, grade, points, sharp, end };
  }

  // Whole steps that cut the run into about `cells` segments.
  function nodesOf({ step, grade, points, sharp, end }, cells) {
    let weak = points.filter((x) => !sharp.includes(x));
    if (2 * weak.length > cells) weak = [];
    const count = Math.max(cells - weak.length - sharp.length, 1);
    const even = evenly(0, grade[grade.length - 1], count + 1);
    return rising([...interpolated(even, grade, step).map(round), ...sharp, ...weak, 0, end]);
  }

  // Means of eta and eta^2 over the updates of a segment: a sum, or Euler-Maclaurin.
  function means(value, start, length) {
    let [one, two] = [0, 0];
    const add = (step, weight) => {
      const eta = value(step);
      one += weight * eta;
      two += weight * eta * eta;
    };
    if (length <= SHORT) {
      for (let i = 0; i < length; i++) add(start + i, 1);
    } else {
      const span = length - 1;
      GAUSS.forEach((x, i) => add(start + span / 2 + (span / 2) * x, (WEIGHT[i] * span) / 2));
      [1 / 2 + 1 / 12, -1 / 12, -1 / 12, 1 / 2 + 1 / 12].forEach((weight, i) =>
        add([start, start + 1, start + span - 1, start + span][i], weight),
      );
    }
    return [one / length, two / length];
  }

  // A run in about `count` segments: arrays of length, mean LR, mean squared LR, LR at the start
  // and one past the end.
  function cellsOf(graded, count) {
    const { schedule, points, end } = graded;
    const { value } = schedule;
    const nodes = end <= count ? evenly(0, end, end + 1) : nodesOf(graded, count - 16);
    const known = new Set(nodes);
    const kinked = points.some((x) => !known.has(x));
    const cells = { length: [], rate: [], square: [], start: [], end: [] };
    for (let i = 0; i + 1 < nodes.length; i++) {
      const [from, length] = [nodes[i], nodes[i + 1] - nodes[i]];
      let [rate, square] = means(value, from, length);
      if (kinked) {
        const sum = schedule.intrinsicTime(nodes[i + 1]) - schedule.intrinsicTime(from);
        const exact = Math.max(sum, 0) / length;
        square *= rate > 0 ? (exact / rate) ** 2 : 1;
        rate = exact;
      }
      const ending = 2 * value(from + length - 1) - value(from + Math.max(length - 2, 0));
      cells.length.push(length);
      cells.rate.push(rate);
      cells.square.push(Math.max(square, rate * rate));
      cells.start.push(value(from));
      cells.end.push(Math.max(ending, 0));
    }
    return cells;
  }

  const clipped = (x) => Math.min(Math.max(x, 0.1), 10);
  const ratio = (x, y) => (y > 0 ? x / y : 1);

  // S_0 = sum r^t and S_1 = sum t r^(m-1-t) of r = 1 - shrink near 1, by their series.
  function series(shrink, length, order) {
    let term = order === 1 ? length : (length * (length - 1)) / 2;
    let total = term;
    for (let i = 1; i < 9 && Math.abs(term) > 1e-17 * total; i++) {
      term *= (-shrink * (length - order - i + 1)) / (order + i);
      total += term;
    }
    return total;
  }

  // The final excess loss of SGD over cells, every LR times `factor`; NaN where it is unstable.
  function finalLoss(spectrum, noise, batch, cells, factor = 1) {
    const { eigenvalue, square, target } = spectrum;
    const count = eigenvalue.length;
    const share = Float64Array.from(target);
    const [free, from, slope, before, after] = Array.from(
      { length: 5 },
      () => new Float64Array(count),
    );
    const feedback = 1 + 1 / batch;
    let loss = share.reduce((sum, x) => sum + x, 0);
    for (let n = 0; n < cells.length.length; n++) {
      const length = cells.length[n];
      const rate = factor * cells.rate[n];
      const rateSquare = factor * factor * cells.square[n];
      const [first, last] = [factor * cells.start[n], factor * cells.end[n]];
      const strengths = [ratio(first, rate) / batch, ratio(last, rate) / batch];
      const acting = noise + loss;
      let late = 0;
      let known = -loss;
      for (let k = 0; k < count; k++) {
        const x = eigenvalue[k];
        const shrink = Math.min(2 * rate * x - rateSquare * x * x * feedback, 1 - 1e-15);
        const force = rate * rate * square[k];
        let [s0, s1, decay] = [0, 0, 0];
        if (Math.abs(length * shrink) < 0.05) {
          s0 = series(shrink, length, 1);
          s1 = series(shrink, length, 2);
          decay = -shrink * s0;
        } else {
          decay = length * shrink > 45 ? -1 : Math.expm1(length * Math.log1p(-shrink));
          s0 = -decay / shrink;
          s1 = (length - s0) / shrink;
        }
        const middle = 2 - rate * x * feedback;
        before[k] = strengths[0] * clipped(middle / (2 - first * x * feedback));
        after[k] = strengths[1] * clipped(middle / (2 - last * x * feedback));
        free[k] = share[k] + decay * share[k];
        from[k] = force * s0;
        slope[k] = (force * Math.max(s1, 0)) / Math.max(length, 1);
        late += after[k] * slope[k];
        known += free[k] + before[k] * acting * (from[k] - slope[k]);
      }
      if (!(late < 1)) return NaN;
      const rise = (known + acting * late) / (1 - late);
      for (let k = 0; k < count; k++) {
        const base = before[k] * acting;
        const bend = after[k] * (acting + rise) - base;
        share[k] = free[k] + base * from[k] + bend * slope[k];
      }
      loss += rise;
    }
    return loss;
  }

  return { grading, cellsOf, finalLoss, interpolated, evenly, rising, round, clipped, ratio };
})();
