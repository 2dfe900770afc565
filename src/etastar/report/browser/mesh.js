// A schedule on a mesh of 192 cells: the formulas of etastar/law/_mesh.py.
"use strict";

const Meshes = (() => {
  const CELLS = 192;
  const MOST_PIECES = 80;
  const MOST_ANCHORS = 12;

  const rising = (values) => [...new Set(values)].sort((a, b) => a - b);

  // The mesh {node, rate, length, batch}; `batch` is a number, a schedule of it, or null.
  function make(schedule, batch) {
    const end = schedule.horizon;
    let { edge, sharp } = edges(schedule, end);
    const ramped = batch !== null && typeof batch === "object";
    if (ramped) {
      const more = edges(batch, end);
      edge = rising([...edge, ...more.edge]);
      sharp = rising([...sharp, ...more.sharp]);
    }
    const node = fill(edge, density(sharp, end));
    const length = Float64Array.from({ length: CELLS }, (_, i) => node[i + 1] - node[i]);
    const rate = means(schedule, node, length);
    if (!ramped)
      return {
        node,
        rate,
        length,
        batch: batch === null ? null : new Float64Array(CELLS).fill(batch),
      };
    const sizes = means(batch, node, length);
    // Padding has the batch size of the cell before: one of no samples makes no sense.
    for (let i = 1; i < CELLS; i++) if (!(length[i] > 0)) sizes[i] = sizes[i - 1];
    return { node, rate, length, batch: sizes };
  }

  // Mean of a schedule over every cell, a difference of intrinsic times; 0 in padding.
  function means(schedule, node, length) {
    const mean = new Float64Array(CELLS);
    let before = schedule.intrinsicTime(node[0]);
    for (let i = 0; i < CELLS; i++) {
      const after = schedule.intrinsicTime(node[i + 1]);
      mean[i] = length[i] > 0 ? Math.max((after - before) / length[i], 0) : 0;
      before = after;
    }
    return mean;
  }

  // Steps that must be nodes, and those of them near which cells are small.
  function edges(schedule, end) {
    let inside = schedule.breakpoints.filter((step) => 0 < step && step < end);
    let sharp = inside;
    if (inside.length >= MOST_ANCHORS) {
      // A table has a kink at every knot: the warmup's end and the sharpest kinks are the breaks.
      const width = end / (4 * inside.length);
      const at = (step) => schedule.value(Math.min(Math.max(step, 0), end));
      const bend = inside.map((b) => Math.abs(at(b + width) - 2 * at(b) + at(b - width)));
      const order = inside.map((_, i) => i).sort((a, b) => bend[a] - bend[b]);
      inside = rising(order.slice(-(MOST_PIECES - 1)).map((i) => inside[i]));
      const jump = (b) =>
        Math.abs(schedule.value(b + 1e-3 * end) - schedule.value(Math.max(b - 1e-3 * end, 0)));
      sharp = inside.filter((b) => jump(b) > 0.2 * schedule.peak).slice(0, MOST_ANCHORS);
    }
    return { edge: [0, ...inside, end], sharp: [0, ...sharp, end] };
  }

  // Cells per step, sum over the anchors of 1 / (distance + offset): its integral and the inverse.
  function density(anchor, end) {
    const offset = anchor.map(() => Math.max(1, end / 2000));
    offset[0] = Math.max(1, Math.min(end / 2000, end ** (1 / 3)));
    const integral = (step) => {
      let sum = 0;
      for (let i = 0; i < anchor.length; i++) {
        const away = step - anchor[i];
        sum += Math.sign(away) * Math.log1p(Math.abs(away) / offset[i]);
      }
      return sum;
    };
    const near = [];
    anchor.forEach((step, i) => {
      const whole = Math.log1p(end / offset[i]);
      for (let k = 0; k < 48; k++) {
        const away = offset[i] * Math.expm1(whole * (k / 47));
        near.push(Math.min(Math.max(step - away, 0), end), Math.min(Math.max(step + away, 0), end));
      }
    });
    const grid = rising(near);
    return { integral, grid, onGrid: grid.map(integral) };
  }

  // y at x by straight lines through points (xs rising, ys), held at the ends.
  function interpolate(x, xs, ys) {
    const i = Schedules.lastAtMost(xs, x);
    if (i < 0) return ys[0];
    if (i >= xs.length - 1) return ys[xs.length - 1];
    return ys[i] + ((ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i])) * (x - xs[i]);
  }

  // CELLS + 1 nodes: the edges, and between them nodes at equal parts of the density's integral.
  function fill(edge, { integral, grid, onGrid }) {
    const atEdge = edge.map(integral);
    const want = atEdge.slice(1).map((value, i) => value - atEdge[i]);
    const count = counts(want);
    const node = new Float64Array(CELLS + 1);
    let place = 0;
    count.forEach((cells, i) => {
      node[place] = edge[i];
      for (let k = 1; k < cells; k++) {
        node[place + k] = interpolate(atEdge[i] + (k / cells) * want[i], onGrid, grid);
      }
      place += cells;
    });
    node[CELLS] = edge[edge.length - 1];
    for (let i = 1; i <= CELLS; i++) node[i] = Math.max(node[i], node[i - 1]);
    return node;
  }

  // How many of the cells each piece has, at least 1.
  function counts(want) {
    const whole = want.reduce((sum, x) => sum + x, 0);
    const count = want.map((x) => Math.max(1, Math.floor((CELLS * x) / whole)));
    let total = count.reduce((sum, x) => sum + x, 0);
    while (total !== CELLS) {
      const more = total < CELLS;
      const room = want.map((x, i) =>
        more ? x / count[i] : count[i] > 1 ? -x / count[i] : -Infinity,
      );
      const at = room.indexOf(Math.max(...room));
      count[at] += more ? 1 : -1;
      total += more ? 1 : -1;
    }
    return count;
  }

  // The cell of a step, and the fraction of that cell that is done.
  function locate(mesh, step) {
    const cell = Math.min(Math.max(Schedules.lastAtMost(mesh.node, step), 0), CELLS - 1);
    const length = Math.max(mesh.length[cell], 1e-300);
    return { cell, fraction: Math.min(Math.max((step - mesh.node[cell]) / length, 0), 1) };
  }

  return { make, locate, interpolate, CELLS };
})();
