// The controls of the playground: what they are, the state that they stand for, and its link.
"use strict";

const Controls = (() => {
  const CONTROLS = [
    {
      key: "capacity",
      name: "Capacity a",
      low: 1.05,
      high: 4,
      step: 0.01,
      first: 1.5,
      says: "How fast the eigenvalues of the features fall: the k-th is k^-a.",
    },
    {
      key: "source",
      name: "Source s",
      low: 0.05,
      high: 3,
      step: 0.01,
      first: 1,
      says: "How easy the target is: without noise the loss falls as the sum of LRs to the -s.",
    },
    {
      key: "noise",
      name: "Label noise",
      low: 1e-3,
      high: 10,
      log: true,
      first: 0.25,
      says: "The variance of the noise in the labels, in the unit of the loss.",
    },
    {
      key: "batch",
      name: "Batch size",
      low: 1,
      high: 4096,
      log: true,
      whole: true,
      first: 8,
      says: "Samples averaged in one update.",
    },
    {
      key: "horizon",
      name: "Horizon T",
      low: 100,
      high: 1e12,
      log: true,
      whole: true,
      first: 1e6,
      says: "Updates of the whole run.",
    },
    {
      key: "momentum",
      name: "Momentum mu",
      low: 0,
      high: 0.98,
      step: 0.01,
      first: 0.9,
      says: "The part of the last step that is added to each step of the optimal schedule.",
    },
  ];
  const POSITIONS = 1000; // of a logarithmic slider

  const byId = (id) => document.getElementById(id);
  const three = (x) => Number(x.toPrecision(3));
  const state = {};

  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    return made;
  };

  const position = ({ low, high, log }, value) =>
    log ? (POSITIONS * Math.log(value / low)) / Math.log(high / low) : value;

  function valueAt(control, at) {
    const { low, high, log } = control;
    return limited(control, log ? three(low * (high / low) ** (at / POSITIONS)) : at);
  }

  function limited({ low, high, whole }, value) {
    const kept = Math.min(Math.max(value, low), high);
    return whole ? Math.round(kept) : kept;
  }

  // A slider with a number beside it and a sentence below.
  function build(control, changed) {
    const { key, name, low, high, log, step, says } = control;
    const row = element("div", "", { class: "p-control" });
    const span = log ? { min: 0, max: POSITIONS, step: 1 } : { min: low, max: high, step };
    const about = { "aria-describedby": `p-${key}-says` };
    const slider = element("input", "", { type: "range", id: `p-${key}`, ...span, ...about });
    const label = `${name}, exact value`;
    const number = element("input", "", {
      type: "number",
      id: `p-${key}-number`,
      step: "any",
      min: low,
      max: high,
      "aria-label": label,
    });
    row.append(
      element("label", name, { for: `p-${key}` }),
      slider,
      number,
      element("small", says, { id: `p-${key}-says` }),
    );
    const change = (value) => {
      state[key] = value;
      changed(key);
    };
    slider.addEventListener("input", () => change(valueAt(control, Number(slider.value))));
    number.addEventListener("change", () => {
      const value = Number(number.value);
      change(Number.isFinite(value) && number.value ? limited(control, value) : state[key]);
    });
    byId(key === "momentum" ? "p-momentum-control" : "p-controls").append(row);
  }

  function show() {
    CONTROLS.forEach((control) => {
      const [slider, number] = [byId(`p-${control.key}`), byId(`p-${control.key}-number`)];
      const value = state[control.key];
      if (document.activeElement !== slider) slider.value = position(control, value);
      number.value = value;
      slider.setAttribute("aria-valuetext", Words.general(value, 4));
    });
  }

  // The state in the link: only what differs from the first.
  function writeLink() {
    const given = new URLSearchParams();
    CONTROLS.forEach(({ key, first }) => {
      if (state[key] !== first) given.set(key, String(state[key]));
    });
    const hash = given.toString();
    const { pathname, search } = window.location;
    window.history.replaceState(null, "", hash ? `#${hash}` : pathname + search);
  }

  function readLink() {
    const given = new URLSearchParams(window.location.hash.slice(1));
    CONTROLS.forEach((control) => {
      const value = Number(given.get(control.key));
      const known = given.has(control.key) && Number.isFinite(value);
      state[control.key] = known ? limited(control, value) : control.first;
    });
  }

  function reset() {
    CONTROLS.forEach(({ key, first }) => {
      state[key] = first;
    });
  }

  // Make the controls and read the link; `changed` is called with the key of what was moved.
  function start(changed) {
    CONTROLS.forEach((control) => build(control, changed));
    readLink();
  }

  return { state, start, show, reset, readLink, writeLink, element };
})();
