// The part of the page that moves: its controls, its numbers and its charts.
//
// What a moved slider changes is computed in two turns: at once the schedule, the forecast with its
// band, the difference to the plan and the loss over the peak LR; after a short rest what averages
// over all fits: steps to match, the best peak LR, and how it moves with batch size and horizon.
"use strict";

const Explorer = (() => {
  const REST = 60; // milliseconds without a change before the second turn
  const KINDS = {
    plan: "the plan's own",
    cosine: "cosine",
    linear: "linear",
    "wsd-linear": "WSD, linear cooldown",
    "wsd-sqrt": "WSD, 1 − sqrt cooldown",
    "wsd-cosine": "WSD, cosine cooldown",
    "wsd-exponential": "WSD, exponential cooldown",
    constant: "constant",
  };

  const byId = (id) => document.getElementById(id);
  const say = (id, text) => {
    byId(id).textContent = text;
  };
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
  let widths = null; // of the band over the peak LR, until the second turn makes new ones

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
      ...wanted,
      horizon,
      peak: Math.max(wanted.peak, 1e-12),
      batch: wanted.batch === null || !(wanted.batch > 0) || !ranges.batch ? null : wanted.batch,
      cooldown: Math.min(Math.max(wanted.cooldown, 0.005), 0.98),
      warmup: Math.round(wanted.warmup),
      final: Math.min(wanted.final, 1),
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
      if (document.activeElement !== number)
        number.value = key === "horizon" ? value : three(value);
    });
    byId("x-cooldown").value = 100 * state.cooldown;
    say("x-cooldown-text", `${Words.general(100 * state.cooldown, 3)}%`);
    if (document.activeElement !== byId("x-warmup")) byId("x-warmup").value = state.warmup;
    byId("x-final").value = 100 * state.final;
    say("x-final-text", `${Words.general(100 * state.final, 3)}% of peak`);
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
      show("schedule", Drawings.schedules(plan, one));
      show("forecast", Drawings.forecasts(plan, one));
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
    if (Number.isFinite(samples))
      notes.push(`The run takes ${Words.size(Math.round(samples))} samples.`);
    if (isRamp(one.batch)) {
      const [first, last] = [0, one.batch.horizon].map(one.batch.value).map(Words.size);
      notes.push(
        `The batch size is that of the plan, from ${first} at the start to ${last} at the end.`,
      );
    }
    const longest = Math.max(...plan.pilots.map(({ steps }) => steps));
    if (one.schedule.horizon > 8 * longest) {
      notes.push(
        `${Words.times(one.schedule.horizon / longest)} times as long as the longest pilot.`,
      );
    }
    const cap = Plans.capOf(plan, one.batch);
    if (state.peak > cap * (1 + 1e-9)) {
      notes.push(`The peak LR is above ${Words.rate(cap)}, the ${Plans.capName(plan)}.`);
    }
    say("x-notes", notes.join(" "));
  }

  function show(name, spec) {
    if (charts[name]) charts[name].update(spec);
    else charts[name] = Charts.make(byId(`x-chart-${name}`), spec);
  }

  function drawPeaks(one, found, best) {
    const curve = Drawings.peakCurve(plan, state, one, ranges.peak);
    if (best || !widths) widths = Drawings.bandWidths(plan, state, one, curve.peaks);
    const point = { x: one.schedule.peak, y: found.loss.mean };
    const cap = Plans.capOf(plan, one.batch);
    show("peaks", Drawings.peaks(plan, curve, { widths, point, cap, best }));
  }

  // The second turn, in pieces, so that a slider that moves again is answered at once.
  async function settle(mine) {
    const pause = async () => {
      await new Promise((go) => {
        window.setTimeout(go, 0);
      });
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
    say("x-steps-of", `${Words.times(steps / plan.horizon)} times the plan's, with this shape`);
  }

  function showBest(best) {
    const range = `from ${Words.rate(best.low)} to ${Words.rate(best.high)}`;
    const close = `${range} the loss is at most ${Plans.WITHIN} higher.`;
    const cap = Words.rate(best.cap);
    say(
      "x-best",
      best.atCap
        ? `For this shape and horizon the loss still falls at ${cap}, the ${Plans.capName(plan)}:` +
            ` the best may lie above it. Below it, ${close}`
        : `The best peak LR for this shape and horizon is ${Words.rate(best.peak)}; ${close}`,
    );
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
      found.push({ ...Plans.answer(plan, run).loss, peak: best.peak });
      if (!(await pause())) return false;
    }
    const losses = found.map(({ mean }) => mean);
    const least = losses.indexOf(Math.min(...losses));
    const near = Plans.near(sizes, losses, least, { x: sizes[least], loss: losses[least] });
    const here = isRamp(one.batch) ? null : ownBatch();
    show("batches", Drawings.batches(sizes, found, near, here));
    const [low, high] = [near.low, near.high].map(three).map(Words.size);
    say(
      "x-batch-text",
      `For the same ${Words.size(Math.round(samples))} samples, each batch size at its own best` +
        ` peak LR: a larger batch leaves fewer updates. From ${low} to ${high} the loss is within` +
        ` ${Plans.WITHIN} of the least.`,
    );
    return true;
  }

  // The best peak LR of the shape at other horizons, with the range within 0.002.
  async function settleHorizons(pause) {
    const horizons = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
      .map((factor) => Math.round(state.horizon * factor))
      .filter((horizon) => horizon >= Plans.doneOf(plan) + 64 && horizon <= 1e13);
    const found = [];
    for (const horizon of horizons) {
      found.push(Plans.best(plan, { ...state, horizon }, 16));
      if (!(await pause())) return;
    }
    if (found.length < 2) return;
    show("horizons", Drawings.horizons(plan, horizons, found));
    say("x-horizon-text", movement(horizons, found));
  }

  function movement(horizons, found) {
    const [first, last] = [found[0], found[found.length - 1]];
    const [from, to] = [horizons[0], horizons[horizons.length - 1]].map(Words.steps);
    const subject = `From ${from} to ${to} steps the best peak LR of this shape`;
    if (found.every(({ atCap }) => atCap)) {
      return `${subject} stands at ${Words.rate(first.cap)}, the ${Plans.capName(plan)}.`;
    }
    const ratio = last.peak / first.peak;
    const how = ratio < 0.95 ? "falls" : ratio > 1.05 ? "rises" : "hardly moves:";
    return `${subject} ${how} from ${Words.rate(first.peak)} to ${Words.rate(last.peak)}.`;
  }

  function showUse(one) {
    say("x-spec", one.schedule.spec);
    say(
      "x-snippet",
      Snippets.text(plan.snippets, byId("x-target").value, state.kind, one.schedule),
    );
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
        change(changeOf(key, three(fromPosition(Number(event.target.value), ranges[key])))),
      );
      byId(`x-${key}-number`).addEventListener("change", (event) => {
        const value = Number(event.target.value);
        if (value > 0) change(changeOf(key, value));
      });
    }
    byId("x-cooldown").addEventListener("input", (event) =>
      change({ cooldown: event.target.value / 100 }),
    );
    byId("x-final").addEventListener("input", (event) =>
      change({ final: event.target.value / 100 }),
    );
    byId("x-warmup").addEventListener("change", (event) =>
      change({ warmup: Math.max(Number(event.target.value) || 0, 0) }),
    );
    byId("x-shape").addEventListener("change", (event) => change(ofShape(event.target.value)));
    byId("x-reset").addEventListener("click", () => change(Plans.stateOf(plan)));
    byId("x-target").addEventListener("change", update);
    copies("x-copy-spec", () => byId("x-spec").textContent);
    copies("x-copy-snippet", () => byId("x-snippet").textContent);
    copies("x-copy-link", () => window.location.href);
    window.addEventListener("hashchange", () => {
      state = readLink();
      update();
    });
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
      window.setTimeout(() => {
        button.textContent = label;
      }, 1500);
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
      Object.entries(KINDS).forEach(([kind, name]) =>
        byId("x-shape").append(new Option(name, kind)),
      );
      Object.keys(plan.snippets).forEach((name) => byId("x-target").append(new Option(name, name)));
      byId("x-batch-row").hidden = !ranges.batch;
      byId("x-samples-row").hidden = !ranges.batch;
      byId("x-batches").hidden = !ranges.batch;
      listen();
      update();
    } catch (error) {
      byId("explore-body").hidden = true;
      byId("explore-failed").hidden = false;
      say(
        "explore-failed",
        `This part of the page does not work: ${error.message}. The report below holds.`,
      );
      throw error;
    }
  }

  return { start, state: () => state, plan: () => plan };
})();
