// What a plan holds, and what follows when its horizon, peak LR, batch size or shape are moved.
//
// A state is {kind, horizon, peak, batch, cooldown, warmup, final}: `kind` is "plan" (the plan's
// own shape), constant, linear, cosine, or wsd with a decay, as in "wsd-sqrt"; a `batch` of null is
// the plan's.
// A run is {schedule, batch, mesh}.
"use strict";

const Plans = (() => {
  const WITHIN = 0.002; // more loss than this is not close: LOSS of etastar/planning/_within.py
  const LONGEST = 1e13;
  const LEAST_FINAL = 1e-3; // an exponential fall never reaches 0
  // Horizons, over that of a run, at which its shape is asked for a loss; shorter ones too.
  const FACTORS = [1, 1.03, 1.07, 1.12, 1.2, 1.35, 1.5, 1.75, 2, 3, 5, 10, 30, 100];
  const RETUNED = [-2, -1.5, -1, -0.5, 0, 0.5].map((power) => 2 ** power);

  // The plan of the document in the page, its law checked against what the formulas here know.
  function read(document) {
    Laws.check(document.law);
    const law = { ...document.law, interval: Intervals.read(document.law.interval) };
    const members = document.members.map(([theta, linear]) => ({
      names: law.names,
      theta,
      linear,
    }));
    const plan = { ...document, law, members };
    plan.own = runOf(document.schedule, batchFrom(document.batch));
    plan.target = endTarget(plan, plan.own);
    plan.expected = expected(plan, plan.own);
    checkForecast(plan);
    return plan;
  }

  // The plan's forecast, made again here, is that of the plan: else a formula differs.
  function checkForecast(plan) {
    const found = Intervals.forecast(plan.law.interval, plan.target);
    ["mean", "low", "high"].forEach((key) => {
      if (Math.abs(found[key] / plan.loss[key] - 1) > 1e-6) {
        throw new Error(
          `by its formulas the plan has the loss ${found[key]} (${key}), not ${plan.loss[key]}`,
        );
      }
    });
  }

  function batchFrom(document) {
    if (document === null || typeof document === "number") return document;
    return document.kind === "constant" ? document.peak : Schedules.make(document);
  }

  function runOf(document, batch) {
    const schedule = Schedules.make(document);
    return { schedule, batch, mesh: Meshes.make(schedule, batch) };
  }

  // The state at which the page begins: the plan itself.
  function stateOf(plan) {
    const rest = lastPiece(plan.schedule);
    return {
      kind: "plan",
      horizon: plan.horizon,
      peak: plan.peak,
      batch: null,
      cooldown: 0.2,
      warmup: plan.limits.warmup,
      final: rest.final || 0,
    };
  }

  const lastPiece = (document) =>
    document.kind === "join" ? document.pieces[document.pieces.length - 1].schedule : document;

  // Updates that are done before the free part of a run begins: its past and the warmup after it.
  const doneOf = (plan) => (plan.past ? plan.past.step + plan.past.warmup : 0);

  // The warmup that fits a run: at most half of it, as for the standard schedules of a plan.
  const warmupOf = (state) => Math.min(state.warmup, Math.floor(state.horizon / 2));

  // Whether the learning rates of a state are those of the plan.
  const isPlan = (plan, { kind, horizon, peak }) =>
    kind === "plan" && horizon === plan.horizon && peak === plan.peak;

  // The schedule of a state, as a document.
  function documentOf(plan, state) {
    const length = state.horizon - doneOf(plan);
    if (isPlan(plan, state)) return plan.schedule;
    if (state.kind === "plan") {
      const rest = Schedules.scaled(lastPiece(plan.schedule), state.peak);
      return afterPast(plan, Schedules.stretched(rest, length));
    }
    const warmup = plan.past ? 0 : warmupOf(state);
    const [kind, decay] = state.kind.split("-");
    const rest = { kind, peak: state.peak, horizon: length };
    if (warmup) rest.warmup = warmup;
    if (kind === "wsd") {
      rest.cooldown = Math.min(state.cooldown, 1 - warmup / length, 1 - 1e-9);
      rest.decay = decay;
    }
    const least = decay === "exponential" ? LEAST_FINAL : 0;
    const final = Math.max(state.final, roundedUp(plan.limits.floor / state.peak), least);
    if (kind !== "constant" && final > 0) rest.final = Math.min(final, 1);
    return afterPast(plan, rest);
  }

  // A ratio with four digits, not below itself.
  function roundedUp(ratio) {
    if (ratio === 0) return 0;
    const unit = 10 ** (Math.floor(Math.log10(ratio)) - 3);
    return Number((Math.ceil((ratio / unit) * (1 - 1e-12)) * unit).toPrecision(4));
  }

  // What a run has done, a line to the first LR of the rest, and the rest.
  function afterPast(plan, rest) {
    const { past } = plan;
    if (!past) return rest;
    const pieces =
      past.schedule.kind === "join"
        ? past.schedule.pieces
            .filter((_, i, all) => i === 0 || all[i - 1].until < past.step)
            .map(({ until, schedule }) => ({ until: Math.min(until, past.step), schedule }))
        : [{ until: past.step, schedule: past.schedule }];
    const start = doneOf(plan);
    if (past.warmup > 0) {
      const knots = [
        [0, past.rate],
        [past.warmup, Schedules.make(rest).value(0)],
      ];
      pieces.push({ until: start, schedule: { kind: "table", horizon: past.warmup, knots } });
    }
    return { kind: "join", pieces: [...pieces, { until: start + rest.horizon, schedule: rest }] };
  }

  // The batch size of a state: a number, the plan's ramp over this horizon, or null if unknown.
  function batchOf(plan, state) {
    if (state.batch !== null || plan.batch === null || typeof plan.own.batch === "number") {
      return state.batch === null ? plan.own.batch : state.batch;
    }
    if (!plan.past) return Schedules.make(Schedules.stretched(plan.batch, state.horizon));
    const pieces = plan.batch.pieces.map((piece, i, all) =>
      i === all.length - 1 ? { ...piece, until: state.horizon } : piece,
    );
    return Schedules.make({ ...plan.batch, pieces });
  }

  const run = (plan, state) => runOf(documentOf(plan, state), batchOf(plan, state));

  // Samples that a run takes; NaN where its batch size is not known.
  function samplesOf({ schedule, batch }) {
    if (batch === null) return NaN;
    return typeof batch === "number"
      ? batch * schedule.horizon
      : batch.intrinsicTime(schedule.horizon);
  }

  const endTarget = (plan, one) => Intervals.targets(plan.law, one, [one.schedule.horizon])[0];

  const lossOf = (plan, one) => Laws.finalLoss(plan.law, Laws.cellsOf(one.mesh, plan.law.units));

  // Final loss on average over the fits that the pilots allow.
  function expected(plan, one) {
    const cells = Laws.cellsOf(one.mesh, plan.law.units);
    return (
      plan.members.reduce((sum, law) => sum + Laws.finalLoss(law, cells), 0) / plan.members.length
    );
  }

  // Forecast, and difference to the plan, of a run.
  function answer(plan, one) {
    const { interval } = plan.law;
    const target = endTarget(plan, one);
    const same = one.schedule.spec === plan.own.schedule.spec;
    return {
      loss: Intervals.forecast(interval, target),
      difference: Intervals.difference(interval, target, plan.target, same),
    };
  }

  // The loss to expect along a run: steps, and forecasts with bands at them.
  function curve(plan, one, count) {
    const { horizon } = one.schedule;
    const first = Math.min(Math.max(horizon / 50, riseOf(one.schedule) + 1), horizon / 2);
    const kinks = one.schedule.breakpoints.length < 8 ? one.schedule.breakpoints : [];
    // Early a loss falls on all scales of time, late it follows the learning rate.
    const early = geometric(first, horizon / 2, Math.ceil(count / 2));
    const late = early.map((_, i) => (horizon / 2) * (1 + (i + 1) / early.length));
    const steps = [...early, ...kinks, ...late].map(Math.round).filter((step) => step >= first);
    const kept = [...new Set(steps)].sort((a, b) => a - b);
    const found = Intervals.targets(plan.law, one, kept).map((target) =>
      Intervals.forecast(plan.law.interval, target),
    );
    const of = (key) => found.map((each) => each[key]);
    return { x: kept, y: of("mean"), low: of("low"), high: of("high") };
  }

  // Steps before a schedule first stops rising.
  function riseOf(schedule) {
    const { breakpoints } = schedule;
    let i = 0;
    while (
      i + 1 < breakpoints.length &&
      schedule.value(breakpoints[i + 1]) > schedule.value(breakpoints[i])
    )
      i++;
    return breakpoints[i];
  }

  // A run at another peak: the same cells but for their rates, where nothing was done before it.
  function atPeak(plan, state, one, peak) {
    if (plan.past) return run(plan, { ...state, peak });
    const ratio = peak / one.schedule.peak;
    const schedule = Schedules.make(Schedules.scaled(one.schedule.document, peak));
    return { ...one, schedule, mesh: { ...one.mesh, rate: one.mesh.rate.map((x) => x * ratio) } };
  }

  // What the cap of a plan is.
  function capName(plan) {
    const { cap, byBatch } = plan.limits;
    const own = byBatch || cap === plan.law.interval.highestPeak;
    return own ? "highest peak LR of the pilots" : "highest peak LR allowed";
  }

  // The highest peak LR of a run: what was asked for, or what the pilots show to be stable at its
  // batch size.
  function capOf(plan, batch) {
    const { limits, pilots } = plan;
    if (!limits.byBatch || batch === null) return limits.cap;
    const size = typeof batch === "number" ? batch : batch.value(0);
    const stable = pilots.map(
      ({ peak, batch: own }) => peak * Math.min(1, size / own) ** limits.transfer,
    );
    return Math.max(...stable, 1.001 * limits.floor);
  }

  const geometric = (from, to, count) =>
    Array.from({ length: count }, (_, i) => from * (to / from) ** (i / (count - 1)));

  // The best peak LR of a state's shape up to the cap, on average over the fits, and the range
  // within 0.002 of it.
  function best(plan, state, count = 24) {
    const one = run(plan, state);
    const cap = capOf(plan, one.batch);
    const peaks = geometric(Math.max(cap / 64, plan.limits.floor), cap, count);
    const losses = peaks.map((peak) => expected(plan, atPeak(plan, state, one, peak)));
    const i = losses.indexOf(Math.min(...losses));
    const top = vertex(peaks, losses, i);
    const within = near(peaks, losses, i, { x: top.peak, loss: top.loss });
    return { ...top, ...within, cap, atCap: i === count - 1 };
  }

  // The range around the lowest point of a curve, the one nearest to it being at i, up to which it
  // stays within 0.002. Near that point a curve is a parabola in the logarithm of x, so its root is
  // taken for a line between points.
  function near(xs, losses, i, lowest) {
    const edge = (step) => {
      let k = i;
      while (losses[k + step] <= lowest.loss + WITHIN) k += step;
      if (losses[k + step] === undefined) return xs[k];
      const root = (j) => {
        const above = Math.sqrt(Math.max(losses[j] - lowest.loss, 0));
        return (xs[j] - lowest.x) * step < 0 ? -above : above;
      };
      const part = (Math.sqrt(WITHIN) - root(k)) / (root(k + step) - root(k));
      return xs[k] * (xs[k + step] / xs[k]) ** Math.min(Math.max(part, 0), 1);
    };
    return { low: edge(-1), high: edge(1) };
  }

  // The lowest point of the parabola through a point of a curve and its neighbours.
  function vertex(peaks, losses, i) {
    if (i === 0 || i === peaks.length - 1) return { peak: peaks[i], loss: losses[i] };
    const [before, here, after] = [losses[i - 1], losses[i], losses[i + 1]];
    const bend = before - 2 * here + after;
    const move = bend > 0 ? (before - after) / (2 * bend) : 0;
    return {
      peak: peaks[i] * (peaks[i + 1] / peaks[i]) ** move,
      loss: here - (bend > 0 ? (before - after) ** 2 / (8 * bend) : 0),
    };
  }

  // Steps at which the shape of a state, its peak tuned anew, has the plan's loss: null beyond 100
  // times its own, or below a hundredth. As in etastar/control/_law_families.py.
  function stepsToMatch(plan, state) {
    const own = expected(plan, run(plan, state));
    const goal = plan.expected;
    if (own === goal) return state.horizon;
    const longer = own > goal;
    let [lastLoss, lastSteps] = [own, state.horizon];
    for (const [i, factor] of FACTORS.entries()) {
      const horizon = Math.round(longer ? state.horizon * factor : state.horizon / factor);
      if (horizon > LONGEST || horizon < doneOf(plan) + 8) return null;
      const tuned = retuned(plan, state, horizon);
      const loss = longer ? Math.min(tuned, lastLoss) : Math.max(tuned, lastLoss);
      if (i > 0 && (longer ? loss <= goal : loss >= goal)) {
        const part = (lastLoss - goal) / (lastLoss - loss);
        return lastSteps * (horizon / lastSteps) ** part;
      }
      [lastLoss, lastSteps] = [
        i === 0 ? Math.min(tuned, own) : loss,
        longer ? state.horizon * factor : horizon,
      ];
      if (i === 0 && longer && lastLoss <= goal) return state.horizon;
    }
    return null;
  }

  // The least expected loss of a state's shape at another horizon, over peaks around its own.
  function retuned(plan, state, horizon) {
    const there = { ...state, horizon };
    const { cap, floor } = { cap: capOf(plan, batchOf(plan, state)), floor: plan.limits.floor };
    const peaks = new Set(
      RETUNED.map((factor) => Math.min(Math.max(state.peak * factor, floor), cap)),
    );
    const one = run(plan, there);
    return Math.min(
      ...[...peaks]
        .filter((peak) => peak > 0)
        .map((peak) => expected(plan, atPeak(plan, there, one, peak))),
    );
  }

  return {
    read,
    stateOf,
    run,
    documentOf,
    answer,
    curve,
    lossOf,
    atPeak,
    best,
    capOf,
    capName,
    stepsToMatch,
    samplesOf,
    geometric,
    near,
    endTarget,
    expected,
    doneOf,
    isPlan,
    WITHIN,
  };
})();
