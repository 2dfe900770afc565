// What the charts of the moving part show: descriptions for charts.js, from a plan and a run.
"use strict";

const Drawings = (() => {
  const CURVE = 20; // points of a forecast along a run
  const PEAKS = 29; // points of the loss over the peak LR,
  const BANDS = 4; // one of so many with a band of its own
  const RUN = { color: "accent", width: 2.5 };
  const PLAN = { color: "soft", width: 1.5, dash: "dash" };
  const STEP = "step [updates]";
  const LOSS = { label: "final loss [nats]", format: "loss4" };
  const PEAK = { log: true, format: "rate", tip: "rate" };

  // Learning rates of a run beside those of the plan.
  function schedules(plan, one) {
    const drawn = (schedule, name, style) => {
      const [x, y] = Schedules.sampled(schedule, 200);
      return { name, x, y, ...style };
    };
    return {
      x: { label: STEP, tight: true },
      y: { label: "learning rate", zero: true, format: "rate", tip: "rate" },
      series: [drawn(plan.own.schedule, "the plan", PLAN), drawn(one.schedule, "this run", RUN)],
      height: 240,
    };
  }

  // The forecast of a run with its band beside that of the plan.
  function forecasts(plan, one) {
    plan.curve = plan.curve || Plans.curve(plan, plan.own, 2 * CURVE);
    const curve = Plans.curve(plan, one, CURVE);
    const series = [
      { name: "the plan", x: plan.curve.x, y: plan.curve.y, ...PLAN },
      { name: "this run", ...curve, ...RUN },
    ];
    const first = Math.min(curve.x[0], plan.curve.x[0]);
    const last = Math.max(one.schedule.horizon, plan.horizon);
    return {
      x: { label: STEP, log: true, range: [first, 1.03 * last] },
      y: { label: "loss [nats]", format: "loss4", range: lossRange(series) },
      series,
      height: 240,
    };
  }

  // The losses of the last nine tenths of the runs, with their bands.
  function lossRange(series) {
    const kept = [];
    series.forEach(({ x, y, low, high }) => {
      const begin = 0.1 * x[x.length - 1];
      x.forEach((step, i) => {
        if (step >= begin) kept.push(y[i], ...(low ? [low[i], high[i]] : []));
      });
    });
    const [least, most] = [Math.min(...kept), Math.max(...kept)];
    const margin = 0.06 * (most - least) || 0.01;
    return [least - margin, most + margin];
  }

  // Final losses of a run's shape over peak LRs.
  function peakCurve(plan, state, one, [low, high]) {
    const peaks = Plans.geometric(low, high, PEAKS);
    const losses = peaks.map((peak) => Plans.lossOf(plan, Plans.atPeak(plan, state, one, peak)));
    return { peaks, losses };
  }

  // Half-widths of the band over the loss at each peak: of a few, and between these by lines.
  function bandWidths(plan, state, one, peaks) {
    const at = peaks.filter((_, i) => i % BANDS === 0);
    const known = at.map((peak) => {
      const { loss } = Plans.answer(plan, Plans.atPeak(plan, state, one, peak));
      return (loss.high - loss.mean) / loss.mean;
    });
    return peaks.map((peak) => Meshes.interpolate(Math.log(peak), at.map(Math.log), known));
  }

  // Loss over the peak LR with its band, the pilots, and the run's own point; with the best peak LR
  // and the range within 0.002, where these are known.
  function peaks(plan, { peaks: xs, losses }, { widths, point, cap, best }) {
    const shades = best ? [{ from: best.low, to: best.high, color: "faint" }] : [];
    const marks = [{ x: cap, color: "soft", text: Plans.capName(plan) }];
    if (best && !best.atCap) marks.push({ x: best.peak, color: "accent", text: "best" });
    return {
      x: { ...PEAK, label: "peak LR", range: [xs[0], xs[xs.length - 1]], short: "peak LR" },
      y: { ...LOSS, range: peakRange(losses, widths) },
      series: [
        {
          name: "at this peak LR",
          x: xs,
          y: losses,
          ...RUN,
          low: losses.map((y, i) => y * (1 - widths[i])),
          high: losses.map((y, i) => y * (1 + widths[i])),
        },
        pilotPoints(plan, xs, losses),
        { name: "this run", x: [point.x], y: [point.y], color: "mark", points: 11 },
      ],
      shades,
      marks,
      height: 280,
    };
  }

  // From below the band at the lowest loss to where the choice of a peak LR no longer matters.
  function peakRange(losses, widths) {
    const least = Math.min(...losses);
    const sorted = [...losses].sort((a, b) => a - b);
    const most = Math.max(sorted[Math.floor(0.7 * sorted.length)], least + 10 * Plans.WITHIN);
    const band = 1.3 * least * Math.min(...widths);
    return [least - Math.max(band, 0.08 * (most - least)), most + 0.05 * (most - least)];
  }

  // Each pilot at its peak LR, as far from the curve as it ended from its own fit.
  function pilotPoints(plan, xs, losses) {
    const shown = plan.pilots
      .filter(({ peak }) => peak >= xs[0] && peak <= xs[xs.length - 1])
      .sort((a, b) => a.peak - b.peak);
    const curve = (peak) => Meshes.interpolate(Math.log(peak), xs.map(Math.log), losses);
    return {
      name: "pilot",
      x: shown.map(({ peak }) => peak),
      color: "grey",
      points: 7,
      y: shown.map(({ peak, loss, fitted }) => (curve(peak) * loss) / fitted),
      notes: shown.map(
        ({ name, loss, steps }) =>
          `${name} ended at ${Words.loss(loss)} after ${Words.steps(steps)} steps`,
      ),
    };
  }

  // Loss over the batch size with its band; `here` is the run's own size, or null.
  function batches(sizes, found, near, here) {
    const of = (key) => found.map((each) => each[key]);
    const range = [sizes[0], sizes[sizes.length - 1]];
    const label = "batch size [samples]";
    return {
      x: { label, log: true, range, format: "size", tip: "size", short: "batch size" },
      y: LOSS,
      series: [
        {
          name: "at its best peak LR",
          x: sizes,
          y: of("mean"),
          low: of("low"),
          high: of("high"),
          ...RUN,
          notes: found.map(({ peak }) => `peak LR ${Words.rate(peak)}`),
        },
      ],
      shades: [{ from: near.low, to: near.high, color: "faint" }],
      marks: here === null ? [] : [{ x: here, color: "mark", text: "this run" }],
      height: 260,
    };
  }

  // The best peak LR over the horizon, with the range within 0.002 of it, below the cap.
  function horizons(plan, xs, found) {
    const of = (key) => found.map((best) => best[key]);
    const { cap } = found[0];
    const range = [Math.min(...of("low")) / 1.15, cap * 1.15];
    return {
      x: { label: "horizon [updates]", log: true, range: [xs[0] / 1.1, xs[xs.length - 1] * 1.1] },
      y: { ...PEAK, label: "best peak LR", range },
      series: [
        {
          name: "best",
          x: xs,
          y: of("peak"),
          low: of("low"),
          high: of("high"),
          ...RUN,
          points: 7,
          notes: found.map(
            ({ low, high }) =>
              `within ${Plans.WITHIN} from ${Words.rate(low)} to ${Words.rate(high)}`,
          ),
          bandless: true,
        },
        { name: Plans.capName(plan), x: xs, y: xs.map(() => cap), ...PLAN, width: 1 },
      ],
      height: 240,
    };
  }

  return { schedules, forecasts, peakCurve, bandWidths, peaks, batches, horizons };
})();
