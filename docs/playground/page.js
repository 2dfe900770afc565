// The playground: its numbers, tables and charts.
//
// A moved slider is answered in two turns: at once the phase, the schedules and their losses; after
// a short rest what a wrong base LR and momentum do, in pieces that a new move interrupts.
"use strict";

const Playground = (() => {
  const REST = 80; // milliseconds without a change before the second turn
  const RHOS = Drawings.geometric(1 / 32, 32, 21);
  const TOLD = [1 / 10, 1 / 3, 3, 10];
  const PACES = [0.5, 0.71, 1, 1.41, 2, 2.83, 4];
  const byId = (id) => document.getElementById(id);
  const ratio = (x) => (Number.isFinite(x) ? Words.general(x, 4) : "diverges");
  const { state, element } = Controls;
  const charts = {};
  let [later, turn] = [0, 0];

  function show(id, spec) {
    if (charts[id]) charts[id].chart.update(spec);
    else charts[id] = { chart: Charts.make(byId(id), spec) };
    charts[id].spec = spec;
  }

  function showNumbers({ phase, cap, rows }) {
    const numbers = [
      ["phase", phase.name],
      ["peak LR falls as T to the", `-${Words.general(phase.xi, 3)}`],
      ["loss falls as T to the", `-${Words.general(phase.loss, 3)}`],
      ["power of the annealing, delta", Words.general(phase.delta, 3)],
      ["largest LR", Words.rate(cap)],
      ["optimal loss", Words.loss4(rows[0].loss)],
    ];
    byId("p-numbers").replaceChildren(
      ...numbers.map(([name, value]) => {
        const pair = element("div");
        pair.append(element("dt", name), element("dd", value.replace(/^-0$/, "0")));
        return pair;
      }),
    );
    const away = Words.general(Math.abs(phase.distance), 3);
    const how =
      phase.name === "easy"
        ? `${away} above the boundary: in the limit the whole run is annealed.`
        : `${away} below the boundary: the annealed part of the run shrinks as T to the ` +
          `-${Words.general(phase.annealed, 3)}.`;
    byId("p-phase-text").textContent = `Your task is in the ${phase.name} phase, ${how}`;
  }

  // Rows of text into a table below its caption; the first cell of each is its head.
  function fill(id, head, rows) {
    const line = (cells, tags) => {
      const made = element("tr");
      const scope = { scope: tags(1) === "th" ? "col" : "row" };
      cells.forEach((cell, i) => {
        made.append(element(tags(i), cell, tags(i) === "th" ? scope : {}));
      });
      return made;
    };
    const [thead, tbody] = [element("thead"), element("tbody")];
    thead.append(line(head, () => "th"));
    tbody.append(...rows.map((row) => line(row, (i) => (i ? "td" : "th"))));
    byId(id).replaceChildren(byId(id).querySelector("caption"), thead, tbody);
  }

  function showLosses({ rows, cap }) {
    const power = (x, slow) =>
      x === 0 ? "constant" : `T^-${Words.general(x, 3)}${slow ? " log" : ""}`;
    fill(
      "p-table",
      [
        "schedule",
        "final loss",
        "over the optimal",
        "best peak LR",
        "of the largest",
        "loss as",
        "peak as",
      ],
      rows.map(({ name, schedule, loss, exponent }) => [
        Drawings.NAMES[name],
        Words.loss4(loss),
        ratio(loss / rows[0].loss),
        Words.rate(schedule.peak),
        Words.general(schedule.peak / cap, 3),
        power(exponent.loss, exponent.slow),
        power(exponent.peak, false),
      ]),
    );
    const cooldown = rows.find(({ name }) => name === "wsd").document.cooldown;
    byId("p-table-text").textContent =
      `WSD cools down over the last ${Words.general(100 * cooldown, 3)}% of the run.`;
  }

  // The first turn.
  let found;
  function update() {
    turn += 1;
    const begun = performance.now();
    try {
      found = Families.solve(state);
      Controls.show();
      showNumbers(found);
      showLosses(found);
      show("p-phase", Drawings.phase(state));
      show("p-schedule", Drawings.schedules(found));
      show("p-to-go", Drawings.toGo(found));
      byId("p-error").hidden = true;
    } catch (error) {
      byId("p-error").hidden = false;
      byId("p-error").textContent = `These settings cannot be computed: ${error.message}.`;
      return;
    }
    byId("p-controls").dataset.milliseconds = (performance.now() - begun).toFixed(1);
    Controls.writeLink();
    restThen(settle);
  }

  function momentumMoved() {
    turn += 1;
    Controls.show();
    Controls.writeLink();
    restThen(showMomentum);
  }

  function restThen(work) {
    window.clearTimeout(later);
    byId("p-momentum-text").textContent = "…";
    const mine = turn;
    const pause = async () => {
      await new Promise((go) => {
        window.setTimeout(go, 0);
      });
      return mine === turn;
    };
    later = window.setTimeout(() => work(pause), REST);
  }

  // The second turn: losses at wrong base LRs, then momentum.
  async function settle(pause) {
    const { spectrum, noise, batch, rows } = found;
    const told = [...RHOS, ...TOLD];
    const [model, bound] = [{}, {}];
    for (const { name, schedule } of rows) {
      const cells = Segments.cellsOf(Segments.grading(schedule, spectrum.largest), 128);
      const at = (rho) => Segments.finalLoss(spectrum, noise, batch, cells, rho);
      const best = at(1);
      // A constant LR at which the feedback of noise is one has no loss in the limit.
      model[name] = told.map((rho) => (at(rho) < 1e3 * best ? at(rho) / best : NaN));
      if (!(await pause())) return;
      bound[name] = Bound.inflation(schedule, told);
      if (!(await pause())) return;
    }
    show("p-wrong", Drawings.wrong(rows, RHOS, model, "loss over the best, model"));
    show("p-bound", Drawings.wrong(rows, RHOS, bound, "bound over the best"));
    const heads = ["0.1", "1/3", "3", "10"];
    fill(
      "p-wrong-table",
      ["schedule", ...["model", "bound"].flatMap((of) => heads.map((x) => `${of}, ${x} ×`))],
      rows.map(({ name }) => [
        Drawings.NAMES[name],
        ...[model, bound].flatMap((values) => values[name].slice(RHOS.length).map(ratio)),
      ]),
    );
    await showMomentum(pause);
  }

  // The optimal shape with momentum: its best factor, and what it changes.
  async function showMomentum(pause) {
    const { spectrum, noise, batch, rows, cap } = found;
    const { momentum, horizon } = state;
    const { schedule, loss } = rows[0];
    const text = byId("p-momentum-text");
    const done = () => {
      byId("p-controls").dataset.settled = String(turn);
    };
    if (momentum === 0) {
      text.textContent = "At mu = 0 this is plain SGD: move the slider.";
      return done();
    }
    const fast = Spectra.powerLaw(state.capacity, state.source, horizon / (1 - momentum));
    const graded = Segments.grading(schedule, spectrum.largest, 1 / (1 - momentum));
    const [coarse, fine] = [64, 128].map((count) => Segments.cellsOf(graded, count));
    const at = (cells, pace) =>
      Momentum.finalLoss(fast, noise, batch, cells, momentum, pace * (1 - momentum));
    const losses = [];
    for (const pace of PACES) {
      const value = at(coarse, pace);
      losses.push(Number.isFinite(value) ? value : Infinity);
      if (!(await pause())) return undefined;
    }
    const pace = PACES[losses.indexOf(Math.min(...losses))];
    const [same, best] = [at(fine, 1), at(fine, pace)];
    if (!(await pause())) return undefined;
    const critical = Momentum.criticalRate(spectrum, batch, momentum);
    const share = Words.rate(1 - momentum);
    text.textContent =
      `With momentum ${momentum} a step adds up to ` +
      `${Words.rate(1 / (1 - momentum))} times itself. The optimal schedule at ` +
      `${share} times its LR moves as fast as before; its loss is ` +
      `${ratio(same / loss)} times that of plain SGD. Of seven factors of that LR, from 0.5 to ` +
      `4, the best is ${pace}: the loss is then ${ratio(best / loss)} times that of plain SGD. ` +
      `A constant LR with this momentum is stable up to ${Words.rate(critical)}; the largest ` +
      `LR of plain SGD on this page is ${Words.rate(cap)}.`;
    return done();
  }

  function start() {
    Controls.start((key) => (key === "momentum" ? momentumMoved() : update()));
    byId("p-keys").replaceChildren(
      ...Object.entries(Drawings.NAMES).map(([key, name]) => {
        const item = element("li");
        item.append(element("i", "", { class: `p-key ${key}` }), name);
        return item;
      }),
    );
    document.querySelectorAll(".p-box").forEach((box) => {
      box.tabIndex = 0; // so that the keyboard scrolls it
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", box.querySelector("caption").textContent);
    });
    byId("p-reset").addEventListener("click", () => {
      Controls.reset();
      update();
    });
    window.addEventListener("hashchange", () => {
      if (!window.location.hash.includes("=")) return; // a heading of the page
      Controls.readLink();
      update();
    });
    // The theme's switch between light and dark.
    new MutationObserver(() => {
      Object.values(charts).forEach(({ chart, spec }) => chart.update(spec));
    }).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
    update();
  }

  start();
  return { state, found: () => found };
})();
