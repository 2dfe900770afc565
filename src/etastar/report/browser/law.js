// Losses under a law in Volterra form: the formulas of etastar/law/_forms/_volterra_rows.py,
// function by function, for one row of cells and one set of constants.
//
// A law is {names, theta, linear}: the constants by name as there, and the factors of its columns.
"use strict";

const Laws = (() => {
  const LEAST_MEMORY = 1e-6; // below it the kernel's limit of no memory is reached to rounding
  const LEAST_RATE = 1e-140; // in place of a rate of 0, which has no logarithm

  // The constants that the formulas below use; a law with another one is not known here.
  const KNOWN = [
    "source",
    "memory",
    "log_lag",
    "noise_power",
    "log_origin",
    "log_balance",
    "log_decay",
    "time_power",
    "log_instability",
    "log_critical",
    "batch_power",
    "log_kept",
  ];
  const COLUMNS = ["floor", "bias", "noise"];

  // Refuse a law that the formulas below do not describe.
  function check({ form, names, columns }) {
    const strange = names.filter((name) => !KNOWN.includes(name));
    const missing = KNOWN.slice(0, 9).filter((name) => !names.includes(name));
    if (
      form !== "etastar" ||
      strange.length ||
      missing.length ||
      String(columns) !== String(COLUMNS)
    ) {
      const why = strange.length ? `the constant ${strange[0]}` : `the form ${form} (${columns})`;
      throw new TypeError(`this page does not know ${why} of the fitted law`);
    }
  }

  // The constants by name; what a law does not have is undefined.
  function constantsOf(names, theta) {
    const constants = {};
    names.forEach((name, i) => {
      constants[name] = theta[i];
    });
    constants.memory = Math.max(constants.memory, LEAST_MEMORY);
    return constants;
  }

  // What was computed and does not depend on a constant, for rows that differ in it alone.
  const OF_NORM = ["squaredNorm"];
  const OF_RATE = [...OF_NORM, "squaredEffective", "logEffective"];
  const OF_TIME = [...OF_RATE, "step", "time"];
  const ALL = [...OF_TIME, "unstable", "drive"];
  const KEPT = {
    source: ALL,
    log_origin: ALL,
    memory: ALL,
    log_lag: ALL,
    noise_power: [...OF_TIME, "unstable"],
    batch_power: [...OF_TIME, "unstable"],
    log_kept: [...OF_TIME, "unstable"],
    log_instability: OF_TIME,
    time_power: [...OF_RATE, "unstable"],
    log_critical: OF_NORM,
  };

  // A value that is computed once, when it is first asked for.
  function once(rows, name, compute) {
    if (!rows.found[name]) rows.found[name] = compute();
    return rows.found[name];
  }

  // One row of cells with its constants: rate, length and batch in reference units.
  class Rows {
    constructor(constants, cells, found = {}) {
      this.constants = constants;
      this.cells = cells;
      this.found = found;
    }

    // The same cells with one constant changed.
    changed(name, value) {
      const kept = {};
      (KEPT[name] || []).forEach((each) => {
        if (this.found[each]) kept[each] = this.found[each];
      });
      return new Rows({ ...this.constants, [name]: value }, this.cells, kept);
    }

    // The weights' squared norm n at all nodes, 1 at the start: every cell keeps a part of it, and
    // adds what growth and decay balance at.
    get squaredNorm() {
      return once(this, "squaredNorm", () => {
        const { log_balance, log_decay } = this.constants;
        const { rate, length } = this.cells;
        const omega = Math.exp(log_decay);
        const balance = Math.exp(log_balance);
        const norm = new Float64Array(rate.length + 1);
        norm[0] = 1;
        for (let i = 0; i < rate.length; i++) {
          const kept = Math.exp(-omega * rate[i] * length[i]);
          norm[i + 1] = kept * norm[i] + balance * rate[i] * (1 - kept);
        }
        return norm;
      });
    }

    // The square of the effective rate of every cell.
    get squaredEffective() {
      return once(this, "squaredEffective", () => {
        const { rate, batch } = this.cells;
        const { log_critical } = this.constants;
        const norm = this.squaredNorm;
        const critical = Math.exp(log_critical);
        const squared = new Float64Array(rate.length);
        for (let i = 0; i < rate.length; i++) {
          const least = Math.max(rate[i], LEAST_RATE);
          squared[i] = (2 * least * least) / (norm[i] + norm[i + 1]);
          if (log_critical !== undefined)
            squared[i] *= ((1 + critical) * batch[i]) / (batch[i] + critical);
        }
        return squared;
      });
    }

    // Log of the effective rate of every cell.
    get logEffective() {
      return once(this, "logEffective", () => {
        const squared = this.squaredEffective;
        const logs = new Float64Array(squared.length);
        for (let i = 0; i < logs.length; i++) logs[i] = 0.5 * Math.log(squared[i]);
        return logs;
      });
    }

    // c e^4, the part by which cells are noisier near the largest stable LR.
    get unstable() {
      return once(this, "unstable", () => {
        const c = Math.exp(this.constants.log_instability);
        const squared = this.squaredEffective;
        const parts = new Float64Array(squared.length);
        for (let i = 0; i < parts.length; i++) parts[i] = c * squared[i] * squared[i];
        return parts;
      });
    }

    // b^-k, what a batch size leaves of the noise that it averages out, in every cell.
    averaged(i) {
      const { batch_power } = this.constants;
      const b = this.cells.batch[i];
      return batch_power === undefined ? 1 / b : b ** -batch_power;
    }

    // d, the noise that no batch size averages out.
    get lasting() {
      const { log_kept } = this.constants;
      return log_kept === undefined ? 0 : Math.exp(log_kept);
    }

    // The intrinsic time that every cell takes.
    get step() {
      return once(this, "step", () => {
        const q = this.constants.time_power;
        const { length } = this.cells;
        const logs = this.logEffective;
        const steps = new Float64Array(logs.length);
        for (let i = 0; i < logs.length; i++) steps[i] = Math.exp(q * logs[i]) * length[i];
        return steps;
      });
    }

    // Intrinsic time at the nodes.
    get time() {
      return once(this, "time", () => {
        const { step } = this;
        const time = new Float64Array(step.length + 1);
        for (let i = 0; i < step.length; i++) time[i + 1] = time[i] + step[i];
        return time;
      });
    }

    // Noise of every cell per unit of intrinsic time.
    get drive() {
      return once(this, "drive", () => {
        const power = this.constants.noise_power - this.constants.time_power;
        const {
          lasting,
          unstable,
          cells: { batch },
        } = this;
        const logs = this.logEffective;
        const drive = new Float64Array(logs.length);
        let ofBatch = 0;
        for (let i = 0; i < logs.length; i++) {
          // A power takes as long as all the rest of a cell: once for cells of one batch size.
          if (i === 0 || batch[i] !== batch[i - 1]) {
            ofBatch = (this.averaged(i) + lasting) / (1 + lasting);
          }
          drive[i] = Math.exp(power * logs[i]) * ofBatch * (1 + unstable[i]);
        }
        return drive;
      });
    }

    // ((S + S_0) / (1 + S_0))^-s at an intrinsic time S.
    bias(time) {
      const origin = Math.exp(this.constants.log_origin);
      return ((time + origin) / (1 + origin)) ** -this.constants.source;
    }

    // The intrinsic time at a point {cell, fraction}.
    at({ cell, fraction }) {
      const { time } = this;
      return time[cell] + fraction * (time[cell + 1] - time[cell]);
    }

    // int_0^S drive(S') K(S - S') dS', with the kernel's integral
    // G(u) = (1 - (1 + u/b)^-g) / (1 - (1 + 1/b)^-g): a cell from S_i on changes the drive by
    // drive_i - drive_(i-1), which has come to G(S - S_i) of it.
    noise(here) {
      const { memory, log_lag } = this.constants;
      const { time, drive } = this;
      const lag = Math.exp(log_lag);
      let sum = 0;
      let before = 0;
      for (let i = 0; i < drive.length && time[i] < here; i++) {
        const lost = Math.expm1(-memory * (Math.log(here - time[i] + lag) - log_lag));
        sum += lost * (drive[i] - before);
        before = drive[i];
      }
      return sum / Math.expm1(-memory * Math.log1p(1 / lag));
    }

    // The columns of the law at a point: 1, bias and noise.
    columns(point) {
      const here = this.at(point);
      return [1, this.bias(here), this.noise(here)];
    }
  }

  // The cells of a mesh in reference units: a batch size that is not known is the reference's.
  function cellsOf(mesh, units) {
    const known = mesh.batch !== null && units.batch !== null;
    return {
      rate: mesh.rate.map((x) => x / units.rate),
      length: mesh.length.map((x) => x / units.steps),
      batch: known
        ? mesh.batch.map((x) => x / units.batch)
        : new Float64Array(mesh.rate.length).fill(1),
    };
  }

  const END = { cell: Meshes.CELLS - 1, fraction: 1 };

  const dot = (columns, linear) => columns.reduce((sum, x, i) => sum + x * linear[i], 0);

  // Final loss of cells under a law.
  function finalLoss({ names, theta, linear }, cells) {
    return dot(new Rows(constantsOf(names, theta), cells).columns(END), linear);
  }

  // By how much constants are moved to either side for a slope: errors are of its square.
  const MOVED = 3e-5;

  // Losses at points of a run, and the slopes of their logarithms by all constants: one array for
  // each point, by theta first, then by the factors of the columns.
  function lossesAndSlopes({ names, theta, linear }, cells, points) {
    const rows = new Rows(constantsOf(names, theta), cells);
    const columns = points.map((point) => rows.columns(point));
    const losses = columns.map((each) => dot(each, linear));
    const slopes = columns.map(() => []);
    names.forEach((name) => {
      const value = rows.constants[name];
      const [below, above] = [value - MOVED, value + MOVED].map((x) => rows.changed(name, x));
      points.forEach((point, i) => {
        const change = dot(above.columns(point), linear) - dot(below.columns(point), linear);
        slopes[i].push(change / (2 * MOVED) / losses[i]);
      });
    });
    columns.forEach((each, i) => slopes[i].push(...each.map((x) => x / losses[i])));
    return { losses, slopes };
  }

  return { check, cellsOf, finalLoss, lossesAndSlopes, END };
})();
