// The configuration of a framework for a schedule, from texts with blanks that etastar/export made.
"use strict";

const Snippets = (() => {
  const WIDTH = 92; // characters of a spec string that stand on one line of code

  // A number as Python, YAML 1.1 and a command line read it: 1e-7 without a point would be text.
  function numeral(x) {
    const text = String(x);
    return text.includes("e") && !text.includes(".") ? text.replace("e", ".0e") : text;
  }

  // The spec as indented strings of Python, one a line.
  function literal(spec) {
    const lines = spec.match(new RegExp(`.{1,${WIDTH}}`, "g"));
    return lines.map((line) => `    "${line}"`).join("\n");
  }

  // Which of the texts of a framework fits a schedule; frameworks that run code have one for all.
  function variantOf(texts, kind, { document }) {
    if ("any" in texts) return texts.any;
    if (document.kind === "join") return undefined;
    const [final, warmup] = [
      document.final > 0 ? "final" : "zero",
      document.warmup > 0 ? "warmup" : "none",
    ];
    return texts[`${kind} ${final} ${warmup}`];
  }

  // The text for a framework; one that cannot follow the schedule is said to.
  function text(snippets, target, kind, schedule) {
    const template = variantOf(snippets[target], kind, schedule);
    if (template === undefined) {
      return `# ${target} has no schedule of this shape: choose a standard one, or torch or optax.`;
    }
    const {
      horizon,
      peak,
      warmup,
      final = 0,
      cooldown,
    } = { warmup: 0, ...schedule.document, peak: schedule.peak, horizon: schedule.horizon };
    const falling =
      cooldown === undefined ? horizon - warmup : Math.max(Math.round(horizon * cooldown), 1);
    const blanks = {
      spec: () => literal(schedule.spec),
      horizon: () => String(horizon),
      peak: () => numeral(peak),
      warmup: () => String(warmup),
      final: () => numeral(final),
      floor: () => numeral(final * peak),
      falling: () => String(falling),
      part: () => numeral(falling / horizon),
    };
    return template.replace(/\{\{(\w+)\}\}/g, (_, name) => blanks[name]());
  }

  return { text };
})();
