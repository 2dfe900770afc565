// The part of the page that moves: its controls, its numbers and its charts.
//
// What a moved slider changes is computed in two turns: at once the schedule, the forecast with its
// band, the difference to the plan and the loss over the peak LR; after a short rest what averages
// over all fits: steps to match, the best peak LR, and how it moves with batch size and horizon.
"use strict";

const Explorer = (() => {
  const REST = 60; // milliseconds without a change before the second turn
  const CURVE = 20; // points of a forecast along a run
  const PEAKS = 29; // points of the loss over the peak LR, and those of them with a band of their own
  const BANDS = 4;
  const KINDS = {
    plan: "the plan's own", cosine: "cosine", linear: "linear", "wsd-linear": "WSD, linear cooldown",
    "wsd-sqrt": "WSD, 1 − sqrt cooldown", "wsd-cosine": "WSD, cosine cooldown",
    "wsd-exponential": "WSD, exponential cooldown", constant: "constant",
  };

  const byId = (id) => document.getElementById(id);
  const say = (id, text) => { byId(id).textContent = text; };
  const three = (x) => Number(x.toPrecision(3));

  // Sliders stand at a position from 0 to 1000 on a logarithmic scale.
  const position = (value, [low, high]) => (1000 * Math.log(value / low)) / Math.log(high / low);
  const fromPosition = (at, [low, high]) => low * (high / low) ** (at / 1000);

  let plan;
  let state;
  let ranges;
  let charts = {};
  let later = 0;
  let turn = 0;
  let widths = null; // relative half-widths of the band over the peak LR, by position

  // The state in the link: only what differs from the plan.
  function readLink() {
    const given = new URLSearchParams(window.location.hash.slice(1));
    const found = { ...Plans.stateOf(plan) };
    for (const key of ["horizon", "peak", "batch", "cooldown", "warmup", "final"]) {
      const value = Number(given.get(key));
      if (given.has(key) && Number.isFinite(value) && value >= 0) found[key] = value;
    }
    if (given.get("shape") in KINDS) found.kind = given.get("shape");
    return limited(found);
  }

  function writeLink() {
    const own = Plans.stateOf(plan);
    const given = new URLSearchParams();
    if (state.kind !== own.kind) given.set("shape", state.kind);
    for (const key of ["horizon", "peak", "batch", "cooldown", "warmup", "final"]) {
      if (state[key] !== own[key]) given.set(key, String(state[key]));
    }
    window.history.replaceState(null, "", `#${given}`);
  }

  // A state within what the formulas take.
  function limited(wanted) {
    const least = Plans.doneOf(plan) + 16;
    const horizon = Math.min(Math.max(Math.round(wanted.horizon), least), 1e13);
    return {
      ...wanted, horizon, peak: Math.max(wanted.peak, 1e-12),
      batch: wanted.batch === null || !(wanted.batch > 0) || !ranges.batch ? null : wanted.batch,
      cooldown: Math.min(Math.max(wanted.cooldown, 0.005), 0.98),
      warmup: Math.round(wanted.warmup), final: Math.min(wanted.final, 1),
    };
  }

  function rangesOf() {
    const { horizon, peak, limits, pilots } = plan;
    const least = Plans.doneOf(plan) + 16;
    const sizes = pilots.map(({ batch }) => batch);
    return {
      horizon: [Math.max(horizon / 32, least), horizon * 32],
      peak: [Math.min(peak, limits.cap) / 32, 2 * Math.max(limits.cap, peak)],
      batch: plan.variesBatch ? [Math.min(...sizes) / 2, Math.max(...sizes) * 2] : null,
    };
  }

  // Put the state into the controls.
  function showControls() {
    const size = ownBatch();
    byId("x-shape").value = state.kind;
    const values = { horizon: state.horizon, peak: state.peak, batch: size };
    Object.entries(values).forEach(([key, value]) => {
      if (!ranges[key]) return;
      const [slider, number] = [byId(`x-${key}`), byId(`x-${key}-number`)];
      if (document.activeElement !== slider) slider.value = position(value, ranges[key]);
      if (document.activeElement !== number) number.value = key === "horizon" ? value : three(value);
    });
    byId("x-cooldown").value = 100 * state.cooldown;
    say("x-cooldown-text", `${Words.general(100 * state.cooldown, 3)}%`);
    if (document.activeElement !== byId("x-warmup")) byId("x-warmup").value = state.warmup;
    byId("x-final").value = 100 * state.final;
    say("x-final-text", `${Words.general(100 * state.final, 3)}% of the peak`);
    byId("x-cooldown-row").hidden = !state.kind.startsWith("wsd");
    byId("x-final-row").hidden = state.kind === "plan" || state.kind === "constant";
    byId("x-warmup-row").hidden = state.kind === "plan" || plan.past !== null;
  }

  const isRamp = (batch) => batch !== null && typeof batch === "object";

  // The batch size that stands in the control: of a ramp the last.
  function ownBatch() {
    if (state.batch !== null) return state.batch;
    const own = plan.own.batch;
    return own === null || typeof own === "number" ? own : own.value(own.horizon);
  }

  // The first turn: all that one run says, and the loss over the peak LR.
  function update() {
    turn += 1;
    const begun = performance.now();
    try {
      const one = Plans.run(plan, state);
      const found = Plans.answer(plan, one);
      showControls();
      showNumbers(one, found);
      drawSchedule(one);
      drawForecast(one);
      drawPeaks(one, found, null);
      showUse(one);
      byId("explore").dataset.milliseconds = (performance.now() - begun).toFixed(1);
      byId("x-error").hidden = true;
    } catch (error) {
      byId("x-error").hidden = false;
      say("x-error", `These settings make no run: ${error.message}.`);
    }
    writeLink();
    window.clearTimeout(later);
    const mine = turn;
    later = window.setTimeout(() => settle(mine), REST);
  }

  function showNumbers(one, { loss, difference }) {
    say("x-loss", Words.loss(loss.mean));
    say("x-band", `90% interval ${Words.loss(loss.low)} to ${Words.loss(loss.high)}`);
    const own = Plans.isPlan(plan, state) && state.batch === null;
    say("x-difference", own ? "0" : Words.regret(difference.mean));
    const tie = difference.low <= 0 && difference.high >= 0;
    const interval = `90%: ${Words.regret(difference.low)} to ${Words.regret(difference.high)}`;
    say("x-tie", own ? "this is the plan" : `${interval}${tie ? ": a tie" : ""}`);
    say("x-steps", "…");
    say("x-steps-of", "");
    const notes = [];
    const samples = Plans.samplesOf(one);
    if (Number.isFinite(samples)) notes.push(`The run takes ${Words.size(Math.round(samples))} samples.`);
    if (isRamp(one.batch)) {
      const [first, last] = [0, one.batch.horizon].map(one.batch.value).map(Words.size);
      notes.push(`The batch size is that of the plan, from ${first} at the start to ${last} at the end.`);
    }
    const longest = Math.max(...plan.pilots.map(({ steps }) => steps));
    if (one.schedule.horizon > 8 * longest) {
      notes.push(`${Words.times(one.schedule.horizon / longest)} times as long as the longest pilot.`);
    }
    const cap = Plans.capOf(plan, one.batch);
    if (state.peak > cap * (1 + 1e-9)) {
      notes.push(`The peak LR is above ${Words.rate(cap)}, the highest that the pilots show to be stable.`);
    }
    say("x-notes", notes.join(" "));
  }

  const LINE = { accent: { color: "accent", width: 2.5 }, plan: { color: "soft", width: 1.5, dash: "dash" } };

  function drawSchedule(one) {
    const draw = (schedule, name, style) => {
      const [x, y] = Schedules.sampled(schedule, 200);
      return { name, x, y, ...style };
    };
    show("schedule", {
      x: { label: "step [updates]", tight: true }, height: 240,
      y: { label: "learning rate", zero: true, format: "rate", tip: "rate" },
      series: [draw(plan.own.schedule, "the plan", LINE.plan), draw(one.schedule, "this run", LINE.accent)],
    });
  }

  let planCurve = null;

  function drawForecast(one) {
    planCurve = planCurve || Plans.curve(plan, plan.own, 40);
    const curve = Plans.curve(plan, one, CURVE);
    const series = [
      { name: "the plan", ...planCurve, low: undefined, high: undefined, ...LINE.plan },
      { name: "this run", ...curve, ...LINE.accent },
    ];
    show("forecast", {
      x: { label: "step [updates]", log: true, range: [Math.min(curve.x[0], planCurve.x[0]),
        1.03 * Math.max(state.horizon, plan.horizon)] },
      y: { label: "loss [nats]", format: "loss4", range: lossRange(series) }, series, height: 240,
    });
  }

  // The losses of the last nine tenths of the runs, with their bands.
  function lossRange(series) {
    const kept = series.flatMap(({ x, y, low, high }) => {
      const end = x[x.length - 1];
      return x.flatMap((step, i) => (step < 0.1 * end ? [] : [y[i], ...(low ? [low[i], high[i]] : [])]));
    });
    const [least, most] = [Math.min(...kept), Math.max(...kept)];
    const margin = 0.06 * (most - least) || 0.01;
    return [least - margin, most + margin];
  }

  // Loss over the peak LR. The band of most points follows those of a few, by straight lines, and the
  // best peak is known in the second turn.
  function drawPeaks(one, found, best) {
    const [low, high] = ranges.peak;
    const peaks = Plans.geometric(low, high, PEAKS);
    const losses = peaks.map((peak) => Plans.lossOf(plan, Plans.atPeak(plan, state, one, peak)));
    if (best || !widths) widths = bandWidths(one, peaks);
    const top = Math.min(...losses);
    const series = [
      { name: "at this peak LR", x: peaks, y: losses, low: losses.map((y, i) => y * (1 - widths[i])),
        high: losses.map((y, i) => y * (1 + widths[i])), color: "accent", width: 2.5 },
      pilotPoints(one, peaks, losses),
      { name: "this run", x: [one.schedule.peak], y: [found.loss.mean], color: "mark", points: 11 },
    ];
    const cap = Plans.capOf(plan, one.batch);
    const marks = [{ x: cap, color: "soft", text: "highest of the pilots" }];
    const shades = [];
    if (best) {
      shades.push({ from: best.low, to: best.high, color: "faint" });
      marks.push({ x: best.peak, color: "accent", text: best.atCap ? "" : "best" });
    }
    show("peaks", {
      x: { label: "peak LR", log: true, range: [low, high], format: "rate", tip: "rate", short: "peak LR" },
      y: { label: "final loss [nats]", format: "loss4", range: peakRange(losses, top) },
      series, marks, shades, height: 280,
    });
  }

  // From below the band at the lowest loss to where the choice of a peak LR no longer matters.
  function peakRange(losses, top) {
    const sorted = [...losses].sort((a, b) => a - b);
    const most = Math.max(sorted[Math.floor(0.7 * sorted.length)], top + 10 * Plans.WITHIN);
    const band = 1.3 * top * Math.min(...widths);
    return [top - Math.max(band, 0.08 * (most - top)), most + 0.05 * (most - top)];
  }

  // Half-widths of the band over the loss at each peak.
  function bandWidths(one, peaks) {
    const at = peaks.filter((_, i) => i % BANDS === 0);
    const known = at.map((peak) => {
      const { interval } = plan.law;
      const target = Plans.endTarget(plan, Plans.atPeak(plan, state, one, peak));
      const { mean, high } = Intervals.forecast(interval, target);
      return (high - mean) / mean;
    });
    return peaks.map((peak) => Meshes.interpolate(Math.log(peak), at.map(Math.log), known));
  }

  // Each pilot at its peak LR, as far from the curve as it ended from its own fit.
  function pilotPoints(one, peaks, losses) {
    const [low, high] = ranges.peak;
    const shown = plan.pilots.filter(({ peak }) => peak >= low && peak <= high)
      .sort((a, b) => a.peak - b.peak);
    const curve = (peak) => Meshes.interpolate(Math.log(peak), peaks.map(Math.log), losses);
    return {
      name: "pilot", x: shown.map(({ peak }) => peak), color: "grey", points: 7,
      y: shown.map(({ peak, loss, fitted }) => (curve(peak) * loss) / fitted),
      notes: shown.map(({ name, loss, steps }) => `${name} ended at ${Words.loss(loss)} after ${Words.steps(steps)} steps`),
    };
  }

  function show(name, spec) {
    if (charts[name]) charts[name].update(spec);
    else charts[name] = Charts.make(byId(`x-chart-${name}`), spec);
  }

  // The second turn, in pieces, so that a slider that moves again is answered at once.
  async function settle(mine) {
    const pause = async () => {
      await new Promise((go) => { window.setTimeout(go, 0); });
      return mine === turn;
    };
    const one = Plans.run(plan, state);
    showSteps(Plans.stepsToMatch(plan, state));
    if (!(await pause())) return;
    const best = Plans.best(plan, state);
    drawPeaks(one, Plans.answer(plan, one), best);
    showBest(best);
    if (!(await pause())) return;
    if (ranges.batch && !(await settleBatches(one, pause))) return;
    await settleHorizons(pause);
    if (mine === turn) byId("explore").dataset.settled = String(mine);
  }

  function showSteps(steps) {
    if (steps === null) {
      say("x-steps", "none");
      say("x-steps-of", "within 100 times this run");
      return;
    }
    say("x-steps", Words.steps(steps));
    say("x-steps-of", `of this shape have the plan's loss: ${Words.times(steps / plan.horizon)}× the plan's`);
  }

  function showBest(best) {
    const range = `${Words.rate(best.low)} to ${Words.rate(best.high)}`;
    say("x-best", best.atCap
      ? `For this shape and horizon the loss still falls at ${Words.rate(best.cap)}, the highest peak LR of the`
        + ` pilots: the best may lie above it. From ${range} the loss is within ${Plans.WITHIN} of that at ${Words.rate(best.cap)}.`
      : `The best peak LR for this shape and horizon is ${Words.rate(best.peak)}; from ${range} the loss is within`
        + ` ${Plans.WITHIN} of its own.`);
  }

  // Loss over the batch size for the same samples, each at its own best peak LR.
  async function settleBatches(one, pause) {
    const samples = Plans.samplesOf(one);
    const sizes = Plans.geometric(...ranges.batch, 13);
    const found = [];
    for (const size of sizes) {
      const there = limited({ ...state, batch: size, horizon: samples / size });
      const best = Plans.best(plan, there, 12);
      const run = Plans.run(plan, { ...there, peak: best.peak });
      found.push({ ...Intervals.forecast(plan.law.interval, Plans.endTarget(plan, run)), best });
      if (!(await pause())) return false;
    }
    const y = found.map(({ mean }) => mean);
    const least = y.indexOf(Math.min(...y));
    const near = Plans.near(sizes, y, least, y[least]);
    show("batches", {
      x: { label: "batch size [samples]", log: true, range: [sizes[0], sizes[sizes.length - 1]], format: "size",
        tip: "size", short: "batch size" },
      y: { label: "final loss [nats]", format: "loss4" }, height: 260,
      series: [{ name: "its best peak LR", x: sizes, y, low: found.map(({ low }) => low),
        high: found.map(({ high }) => high), color: "accent", width: 2.5,
        notes: found.map(({ best }) => `peak LR ${Words.rate(best.peak)}`) }],
      shades: [{ from: near.low, to: near.high, color: "faint" }],
      marks: isRamp(one.batch) ? [] : [{ x: ownBatch(), color: "mark", text: "this run" }],
    });
    say("x-batch-text", `For the same ${Words.size(Math.round(samples))} samples, each batch size at its own best peak`
      + ` LR: a larger batch leaves fewer updates. From ${Words.size(three(near.low))} to`
      + ` ${Words.size(three(near.high))} the loss is within ${Plans.WITHIN} of the least.`);
    return true;
  }

  // The best peak LR of the shape at other horizons, with the range within 0.002.
  async function settleHorizons(pause) {
    const factors = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8];
    const horizons = factors.map((factor) => Math.round(state.horizon * factor))
      .filter((horizon) => horizon >= Plans.doneOf(plan) + 64 && horizon <= 1e13);
    const found = [];
    for (const horizon of horizons) {
      found.push(Plans.best(plan, { ...state, horizon }, 16));
      if (!(await pause())) return;
    }
    const { cap } = found[0];
    const of = (key) => found.map((best) => best[key]);
    const lowest = Math.min(...of("low"));
    show("horizons", {
      x: { label: "horizon [updates]", log: true, range: [horizons[0] / 1.1, horizons[horizons.length - 1] * 1.1], tip: "steps" },
      y: { label: "best peak LR", log: true, range: [lowest / 1.15, cap * 1.15], format: "rate", tip: "rate" },
      series: [
        { name: "best, and within 0.002", x: horizons, y: of("peak"), low: of("low"), high: of("high"),
          color: "accent", width: 2.5, points: 7, notes: found.map(({ low, high }) => `${Words.rate(low)} to ${Words.rate(high)}`) },
        { name: "highest of the pilots", x: horizons, y: horizons.map(() => cap), color: "soft", width: 1, dash: "dash" },
      ],
      height: 240,
    });
    say("x-horizon-text", movement(horizons, found, cap));
  }

  function movement(horizons, found, cap) {
    const [first, last] = [found[0], found[found.length - 1]];
    const span = `From ${Words.steps(horizons[0])} to ${Words.steps(horizons[horizons.length - 1])} steps`;
    if (found.every(({ atCap }) => atCap)) {
      return `${span} the best peak LR of this shape stands at ${Words.rate(cap)}, the highest of the pilots.`;
    }
    const ratio = last.peak / first.peak;
    const how = ratio < 0.95 ? "falls" : ratio > 1.05 ? "rises" : "hardly moves:";
    return `${span} the best peak LR of this shape ${how} from ${Words.rate(first.peak)} to ${Words.rate(last.peak)}.`;
  }

  function showUse(one) {
    say("x-spec", one.schedule.spec);
    say("x-snippet", Snippets.text(plan.snippets, byId("x-target").value, state.kind, one.schedule));
  }

  // Controls

  // A standard shape has a peak that one would write down; the plan's shape may have its own.
  function ofShape(kind) {
    const own = three(plan.peak) === three(state.peak);
    return { kind, peak: own && kind === "plan" ? plan.peak : own ? three(plan.peak) : state.peak };
  }

  // Another batch size, and where the samples are kept the horizon that goes with it.
  function ofBatch(batch) {
    if (!byId("x-samples").checked) return { batch };
    return { batch, horizon: Plans.samplesOf(Plans.run(plan, state)) / batch };
  }

  function listen() {
    const change = (changes) => {
      state = limited({ ...state, ...changes });
      update();
    };
    const changeOf = (key, value) => (key === "batch" ? ofBatch(value) : { [key]: value });
    for (const key of ["horizon", "peak", "batch"]) {
      if (!ranges[key]) continue;
      byId(`x-${key}`).addEventListener("input", (event) =>
        change(changeOf(key, three(fromPosition(Number(event.target.value), ranges[key])))));
      byId(`x-${key}-number`).addEventListener("change", (event) => {
        const value = Number(event.target.value);
        if (value > 0) change(changeOf(key, value));
      });
    }
    byId("x-cooldown").addEventListener("input", (event) => change({ cooldown: event.target.value / 100 }));
    byId("x-final").addEventListener("input", (event) => change({ final: event.target.value / 100 }));
    byId("x-warmup").addEventListener("change", (event) => change({ warmup: Math.max(Number(event.target.value) || 0, 0) }));
    byId("x-shape").addEventListener("change", (event) => change(ofShape(event.target.value)));
    byId("x-reset").addEventListener("click", () => change(Plans.stateOf(plan)));
    byId("x-target").addEventListener("change", update);
    copies("x-copy-spec", () => byId("x-spec").textContent);
    copies("x-copy-snippet", () => byId("x-snippet").textContent);
    copies("x-copy-link", () => window.location.href);
    window.addEventListener("hashchange", () => { state = readLink(); update(); });
  }

  function copies(id, text) {
    const button = byId(id);
    const label = button.textContent;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text());
        button.textContent = "copied";
      } catch {
        button.textContent = "select it and press Ctrl+C"; // a page from disk may not be allowed to
      }
      window.setTimeout(() => { button.textContent = label; }, 1500);
    });
  }

  // Begin with the document in the page; a law that is not known here leaves the rest as it is.
  function start() {
    const source = byId("plan-data");
    if (!source) return;
    try {
      plan = Plans.read(JSON.parse(source.textContent));
      ranges = rangesOf();
      state = readLink();
      byId("explore-body").hidden = false;
      Object.entries(KINDS).forEach(([kind, name]) => byId("x-shape").append(new Option(name, kind)));
      Object.keys(plan.snippets).forEach((name) => byId("x-target").append(new Option(name, name)));
      byId("x-batch-row").hidden = !ranges.batch;
      byId("x-samples-row").hidden = !ranges.batch;
      byId("x-batches").hidden = !ranges.batch;
      listen();
      update();
    } catch (error) {
      byId("explore-body").hidden = true;
      byId("explore-failed").hidden = false;
      say("explore-failed", `This part of the page does not work: ${error.message}. The report below holds.`);
      throw error;
    }
  }

  return { start, state: () => state, plan: () => plan };
})();
