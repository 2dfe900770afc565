// What the charts of the playground show, as charts.js takes it.
"use strict";

const Drawings = (() => {
  const STYLES = {
    optimal: { color: "accent", width: 2.5 },
    constant: { color: "constant", width: 1.5, dash: "dash" },
    linear: { color: "linear", width: 1.5, dash: "dot" },
    cosine: { color: "cosine", width: 1.5, dash: "longdash" },
    wsd: { color: "wsd", width: 1.5 },
  };
  const NAMES = {
    optimal: "optimal",
    constant: "constant",
    linear: "linear",
    cosine: "cosine",
    wsd: "WSD",
  };
  const LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
  const geometric = (low, high, count) =>
    Segments.evenly(Math.log(low), Math.log(high), count).map(Math.exp);

  // The plane of tasks: the boundary, lines of the same xi, and the task.
  function phase({ capacity, source }) {
    const across = Segments.evenly(1.001, 4, 61);
    // xi = (s - 1 + 1/a) / (s + 1/a), solved for s.
    const line = (xi) => across.map((a) => 1 / (1 - xi) - 1 / a);
    const contours = LEVELS.map((xi) => ({
      name: `xi = ${xi}`,
      x: across,
      y: line(xi),
      color: "soft",
      width: 1,
      dash: "dot",
    }));
    return {
      x: { label: "capacity exponent", range: [1, 4], tip: "rate", short: "capacity" },
      y: { label: "source exponent", range: [0, 3], tip: "rate" },
      series: [
        ...contours,
        { name: "boundary: source", x: across, y: line(0), color: "ink", width: 2.5 },
        { name: "your task: source", x: [capacity], y: [source], color: "mark", points: 13 },
      ],
      height: 320,
    };
  }

  const lines = (rows, x, y) =>
    rows.map((row) => ({ name: NAMES[row.name], x, y: y(row), ...STYLES[row.name] }));

  // Learning rates over the run.
  function schedules({ rows, horizon }) {
    const kinks = rows.find(({ name }) => name === "wsd").schedule.breakpoints;
    const steps = Segments.rising([...Segments.evenly(0, horizon, 161), ...kinks]);
    return {
      x: { label: "step [updates]", tight: true },
      y: { label: "learning rate", zero: true, format: "rate", tip: "rate" },
      series: lines(rows, steps, ({ schedule }) => steps.map(schedule.value)),
      height: 260,
    };
  }

  // The same over the updates still to go, both logarithmic: a power of them is a straight line.
  function toGo({ rows, horizon, cap }) {
    const left = geometric(1, horizon, 121);
    const value = ({ schedule }) => left.map((x) => schedule.value(Math.max(horizon - x, 0)));
    const least = Math.min(...rows[0].schedule.document.knots.map(([, rate]) => rate));
    return {
      x: { label: "updates to go", log: true, range: [1, horizon], short: "to go" },
      y: {
        label: "learning rate",
        log: true,
        range: [least / 3, 1.5 * cap],
        format: "rate",
        tip: "rate",
      },
      series: lines(rows, left, value),
      height: 260,
    };
  }

  // Loss over the best against the factor of the base LR; `values` by name, not finite where SGD
  // diverges.
  function wrong(rows, rhos, values, label) {
    const shown = rows.map(({ name }) => {
      const kept = rhos.filter((_, i) => Number.isFinite(values[name][i]));
      const y = values[name].filter(Number.isFinite);
      return { name: NAMES[name], x: kept, y, ...STYLES[name] };
    });
    return {
      x: {
        label: "base LR over its best",
        log: true,
        range: [rhos[0], rhos[rhos.length - 1]],
        format: "general3",
        tip: "general3",
        short: "factor",
      },
      y: { label, log: true, range: [0.9, 30], tip: "general3", format: "general3" },
      series: shown,
      height: 260,
    };
  }

  return { NAMES, phase, schedules, toGo, wrong, geometric };
})();

// A ratio on an axis and beside the pointer.
Words.general3 = (x) => Words.general(x, 3);
