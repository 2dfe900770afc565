// The learning rate of every step of a training: the formulas of etastar/schedule.
//
// A document is what Schedule.to_json writes: {kind, peak, horizon, warmup, final, and the keys of
// the shape}, or {kind: "join", pieces: [{until, schedule}]}. `make` turns one into a schedule with
// value(step), intrinsicTime(steps), breakpoints and spec.
"use strict";

const Schedules = (() => {
  // Curves: value(step), total(first, count) = sum of count values from step first on, and kinks.

  const flat = (rate) => ({ value: () => rate, total: (first, count) => rate * count, kinks: [] });

  const ramp = (rate, length) => ({
    value: (step) => (rate * step) / length,
    total: (first, count) => count * ((first + (count - 1) / 2) * (rate / length)),
    kinks: [],
  });

  // A fall to a part of the rate: rate (final + (1 - final) g(x)), x = (t - start) / length.
  function decay(frame, start, length, fraction, fractionTotal) {
    const { peak, final } = frame;
    return {
      value: (step) => peak * (final + (1 - final) * fraction((step - start) / length)),
      total: (first, count) =>
        peak * (final * count + (1 - final) * fractionTotal(first - start, count)),
      kinks: [],
    };
  }

  const FALLS = {
    linear: (frame, start, length) =>
      decay(
        frame,
        start,
        length,
        (x) => 1 - x,
        (offset, count) => count * ((length - offset - (count - 1) / 2) / length),
      ),
    cosine: (frame, start, length) => {
      const half = Math.PI / length / 2;
      return decay(
        frame,
        start,
        length,
        (x) => 0.5 * (1 + Math.cos(Math.PI * x)),
        // Dirichlet kernel: a sum of equally spaced cosines.
        (offset, count) =>
          0.5 *
          (count +
            (Math.sin(count * half) / Math.sin(half)) * Math.cos((2 * offset + count - 1) * half)),
      );
    },
    sqrt: (frame, start, length) =>
      decay(
        frame,
        start,
        length,
        (x) => 1 - Math.sqrt(x),
        (offset, count) => count - Sums.risingPowerSum(offset, count, 0.5, length),
      ),
    polynomial: (frame, start, length) =>
      decay(
        frame,
        start,
        length,
        (x) => (1 - x) ** frame.power,
        (offset, count) => Sums.fallingPowerSum(length - offset, count, frame.power, length),
      ),
    exponential: ({ peak, final }, start, length) => {
      const slope = Math.log(final) / length;
      return {
        value: (step) => peak * final ** ((step - start) / length),
        total: (first, count) =>
          slope === 0
            ? peak * count
            : (peak * Math.exp(slope * (first - start)) * Math.expm1(slope * count)) /
              Math.expm1(slope),
        kinks: [],
      };
    },
  };

  // A fall without an end: max(floor, rate ((t + shift) / unit)^-chi).
  const powerLaw = (rate, chi, shift, unit, floor) => ({
    value: (step) => Math.max(rate * ((step + shift) / unit) ** -chi, floor),
    total: (first, count) => rate * Sums.risingPowerSum(first + shift, count, -chi, unit),
    kinks: [],
  });

  // Index of the last of the rising values that is at most x; -1 where there is none.
  function lastAtMost(values, x) {
    let low = 0;
    let high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] <= x) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  // Straight lines between knots, held flat before the first and after the last.
  function knotsCurve(steps, rates) {
    const last = steps.length - 1;
    const between = (step, i) => {
      const weight = (step - steps[i]) / (steps[i + 1] - steps[i]);
      return rates[i] * (1 - weight) + rates[i + 1] * weight;
    };
    const value = (step) => {
      const i = lastAtMost(steps, step);
      return i < 0 ? rates[0] : i >= last ? rates[last] : between(step, i);
    };
    // Sum of `count` values from `first` on interval 0 (before the knots) to n (after them).
    const series = (interval, first, count) => {
      if (interval === 0) return count * rates[0];
      if (interval > last) return count * rates[last];
      return count * between(first + (count - 1) / 2, interval - 1);
    };
    // Where intervals begin and what was summed before them, by the first step of the sum.
    const tables = new Map();
    const tableFrom = (first) => {
      if (!tables.has(first)) {
        const starts = [0, ...steps.map(Math.ceil)].map((step) => Math.max(step, first));
        const before = [0];
        for (let i = 0; i <= last; i++) {
          before.push(before[i] + series(i, starts[i], starts[i + 1] - starts[i]));
        }
        tables.set(first, { starts, before });
      }
      return tables.get(first);
    };
    const total = (first, count) => {
      const { starts, before } = tableFrom(first);
      const at = lastAtMost(starts, first + count);
      return before[at] + series(at, starts[at], first + count - starts[at]);
    };
    return { value, total, kinks: steps };
  }

  // Shapes: the segments {start, origin, curve} after the warmup of a frame (a document).

  function wholeFall(frame, fall) {
    const length = frame.horizon - frame.warmup;
    const curve = length === 0 ? flat(frame.peak) : fall(frame, frame.warmup, length);
    return [{ start: frame.warmup, origin: 0, curve }];
  }

  function powerSegments(frame, chi) {
    const { peak, warmup, final, horizon } = frame;
    const shift = warmup > 0 ? 0 : 1;
    const unit = Math.max(warmup, 1);
    const curve = powerLaw(peak, chi, shift, unit, final * peak);
    const segments = [{ start: warmup, origin: 0, curve }];
    const logarithm = -Math.log(final) / chi;
    if (final > 0 && chi > 0 && Math.log(unit) + logarithm <= Math.log(horizon + shift)) {
      const start = Math.max(unit * Math.exp(logarithm) - shift, warmup);
      segments.push({ start, origin: 0, curve: flat(final * peak) });
    }
    return segments;
  }

  // The step at which the cooldown of a WSD starts; a cooldown below 1 is a part of the horizon.
  function cooldownStart({ cooldown, horizon }) {
    const start = horizon - (cooldown >= 1 ? cooldown : cooldown * horizon);
    const nearest = Math.round(start);
    return Math.abs(start - nearest) <= 4 * Number.EPSILON * horizon ? nearest : start;
  }

  function stableDecay(frame) {
    const start = cooldownStart(frame);
    if (start < frame.warmup)
      throw new RangeError("the cooldown is longer than what follows the warmup");
    const length = frame.horizon - start;
    const stable = { start: frame.warmup, origin: 0, curve: flat(frame.peak) };
    if (length <= 0) return [stable];
    return [
      stable,
      { start, origin: 0, curve: FALLS[frame.decay || "linear"](frame, start, length) },
    ];
  }

  const SHAPES = {
    constant: (frame) => [{ start: frame.warmup, origin: 0, curve: flat(frame.peak) }],
    linear: (frame) => wholeFall(frame, FALLS.linear),
    cosine: (frame) => wholeFall(frame, FALLS.cosine),
    polynomial: (frame) => wholeFall(frame, FALLS.polynomial),
    exponential: (frame) => wholeFall(frame, FALLS.exponential),
    power: (frame) => powerSegments(frame, frame.chi),
    inverse_sqrt: (frame) => powerSegments(frame, 0.5),
    wsd: stableDecay,
    step: (frame) => [
      { start: frame.warmup, origin: 0, curve: flat(frame.peak) },
      { start: frame.at, origin: 0, curve: flat(frame.peak * frame.factor) },
    ],
    table: (frame) => {
      const steps = frame.knots.map(([step]) => step);
      const rates = frame.knots.map(([, rate]) => rate);
      return [{ start: frame.warmup, origin: 0, curve: knotsCurve(steps, rates) }];
    },
  };

  function segmentsOf(frame) {
    const after = SHAPES[frame.kind](frame);
    if (frame.warmup === 0) return after;
    const top = after[0].curve.value(frame.warmup - after[0].origin);
    return [{ start: 0, origin: 0, curve: ramp(top, frame.warmup) }, ...after];
  }

  // Pieces in order, each counted from its own step 0 and in force until a step of the whole.
  function joinedSegments(pieces) {
    const segments = [];
    let offset = 0;
    pieces.forEach(({ piece, until }, i) => {
      const length = until - offset;
      const own = [...piece.segments];
      if (length > piece.horizon) {
        own.push({ start: piece.horizon, origin: 0, curve: flat(piece.value(piece.horizon)) });
      }
      own.forEach(({ start, origin, curve }) => {
        if (start < length || (i === pieces.length - 1 && start === length)) {
          segments.push({ start: start + offset, origin: origin + offset, curve });
        }
      });
      offset = until;
    });
    return segments;
  }

  // The schedule of a document.
  function make(document) {
    if (document.kind === "join") return makeJoined(document);
    if (!(document.kind in SHAPES)) {
      throw new TypeError(`this page does not know the schedule "${document.kind}"`);
    }
    const frame = { warmup: 0, final: 0, ...document };
    if (frame.kind === "table") {
      frame.peak = Math.max(...frame.knots.map(([, rate]) => rate));
    }
    return schedule(document, frame, segmentsOf(frame));
  }

  function makeJoined(document) {
    const pieces = document.pieces.map(({ until, schedule: inner }) => ({
      until,
      piece: make(inner),
    }));
    const frame = {
      peak: Math.max(...pieces.map(({ piece }) => piece.peak)),
      horizon: pieces[pieces.length - 1].until,
      warmup: Math.min(pieces[0].piece.warmup, pieces[0].until),
    };
    return schedule(document, frame, joinedSegments(pieces));
  }

  function schedule(document, { peak, horizon, warmup }, segments) {
    const starts = segments.map(({ start }) => start);
    const value = (step) => {
      const at = Math.min(step, horizon);
      const { origin, curve } = segments[lastAtMost(starts, at)];
      return curve.value(at - origin);
    };
    return {
      document,
      peak,
      horizon,
      warmup,
      segments,
      value,
      intrinsicTime: timeOf(segments, starts, horizon, value),
      breakpoints: breakpointsOf(segments, starts, horizon),
      spec: specOf(document),
    };
  }

  // tau(n), the sum of the rates of the first n updates; between whole numbers a straight line.
  function timeOf(segments, starts, horizon, value) {
    const firsts = starts.map(Math.ceil);
    const before = [0];
    for (let i = 0; i + 1 < segments.length; i++) {
      const { curve, origin } = segments[i];
      before.push(before[i] + curve.total(firsts[i] - origin, firsts[i + 1] - firsts[i]));
    }
    return (steps) => {
      const whole = Math.floor(Math.min(steps, horizon));
      const i = lastAtMost(firsts, whole);
      const { curve, origin } = segments[i];
      const time = before[i] + curve.total(firsts[i] - origin, whole - firsts[i]);
      return time + (steps - whole) * value(whole);
    };
  }

  // Steps in [0, horizon], in order, between which the rate is smooth.
  function breakpointsOf(segments, starts, horizon) {
    const points = new Set([0, horizon]);
    segments.forEach(({ start, origin, curve }, i) => {
      const stop = i + 1 < segments.length ? starts[i + 1] : horizon;
      points.add(start);
      curve.kinks.forEach((kink) => {
        if (start < kink + origin && kink + origin < stop) points.add(kink + origin);
      });
    });
    return [...points].filter((point) => point <= horizon).sort((a, b) => a - b);
  }

  // The spec string, which etastar's parse_schedule reads back to an equal schedule.
  function specOf(document) {
    if (document.kind === "join") {
      const parts = document.pieces.map(
        ({ until, schedule: inner }) => `${specOf(inner)},until=${until}`,
      );
      return `join:${parts.join(" then ")}`;
    }
    const keys = Object.entries(document)
      .filter(
        ([key, value]) => key !== "kind" && !(value === 0 && (key === "warmup" || key === "final")),
      )
      .map(([key, value]) => `${key}=${valueText(value)}`);
    return `${document.kind}:${keys.join(",")}`;
  }

  function valueText(value) {
    if (!Array.isArray(value)) return String(value);
    return value.map(([step, rate]) => `${step}:${rate}`).join("/");
  }

  // The document at another peak: every rate times peak over its own.
  function scaled(document, peak) {
    if (document.kind === "join") {
      const highest = make(document).peak;
      const pieces = document.pieces.map(({ until, schedule: inner }) => ({
        until,
        schedule: scaled(inner, peak * (make(inner).peak / highest)),
      }));
      return { ...document, pieces };
    }
    if (document.kind !== "table") return { ...document, peak };
    const highest = Math.max(...document.knots.map(([, rate]) => rate));
    return {
      ...document,
      knots: document.knots.map(([step, rate]) => [step, peak * (rate / highest)]),
    };
  }

  // The document over another number of steps: knots, `at` and joints move, a warmup stays.
  function stretched(document, horizon) {
    if (document.kind === "join") return stretchedJoin(document, horizon);
    const ratio = horizon / document.horizon;
    const moved = { ...document, horizon };
    if (document.kind === "table") {
      moved.knots = document.knots.map(([step, rate]) => [Math.min(step * ratio, horizon), rate]);
    }
    if (document.kind === "step") moved.at = Math.min(document.at * ratio, horizon);
    return moved;
  }

  function stretchedJoin(document, horizon) {
    const { pieces } = document;
    const whole = pieces[pieces.length - 1].until;
    const ratio = horizon / whole;
    let [start, newStart] = [0, 0];
    const moved = pieces.map(({ until, schedule: inner }) => {
      const newUntil = until === whole ? horizon : Math.round(until * ratio);
      const own = inner.horizon === until - start;
      const length = own ? newUntil - newStart : Math.max(Math.round(inner.horizon * ratio), 1);
      [start, newStart] = [until, newUntil];
      return { until: newUntil, schedule: stretched(inner, length) };
    });
    return { ...document, pieces: moved };
  }

  // Steps and rates that draw a schedule: even ones, its kinks, and the step before each kink.
  function sampled(made, points) {
    const kinks = made.breakpoints;
    const steps = new Set(kinks);
    kinks.slice(1).forEach((kink) => steps.add(Math.max(Math.ceil(kink) - 1, 0)));
    for (let i = 0; i < points; i++) steps.add((made.horizon * i) / (points - 1));
    const sorted = [...steps].sort((a, b) => a - b);
    return [sorted, sorted.map(made.value)];
  }

  return { make, scaled, stretched, sampled, lastAtMost };
})();
