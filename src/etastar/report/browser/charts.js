// Charts of the page, drawn by uPlot (uplot.min.js, MIT licence beside it).
//
// A chart is described by a plain object: {x, y, series, shades, marks, map, height}. An axis is
// {label, log, range, format, tip, short, zero, tight}; `format` and `tip` are names of Words, for
// the axis and beside the pointer. A series is {name, x, y, color, width, dash, points, low, high,
// notes}; a shade is a part {from, to, color} of the x axis, a mark a line {x, color, text} across
// it. Colours are CSS colours or names of the page's own: accent, soft, grey, line, mark.
"use strict";

const Charts = (() => {
  const DASHES = {
    dash: [7, 5],
    dot: [2, 4],
    dashdot: [8, 4, 2, 4],
    longdash: [12, 5],
    longdashdot: [12, 4, 2, 4],
  };
  const drawn = new Set();

  function css(color) {
    if (!/^[a-z]+$/.test(color)) return color;
    const value = getComputedStyle(document.documentElement).getPropertyValue(`--${color}`).trim();
    return value || color;
  }

  // Round positions on a logarithmic axis, as many as have room: 1, 2 and 5 of every decade, or 1
  // and 3, or some decades alone.
  function logSplits(low, high, room) {
    const decades = Math.log10(high / low);
    const steps = [
      [1, 2, 5],
      [1, 3],
    ].find((each) => each.length * decades <= room) || [1];
    const every = Math.max(1, Math.ceil(decades / room));
    const splits = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      if (power % every !== 0) continue;
      steps.forEach((step) => {
        // As text, so that 5e-4 is no 0.0005000000000000001.
        const value = Number(`${step}e${power}`);
        if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) splits.push(value);
      });
    }
    return splits;
  }

  function axis(spec, side, grid) {
    const format = Words[spec.format || "short"];
    const options = {
      label: spec.label,
      labelSize: 20,
      labelGap: 0,
      labelFont: "12px system-ui, sans-serif",
      font: "12px system-ui, sans-serif",
      stroke: () => css("soft"),
      size: side === "y" ? 60 : 26,
      grid: { show: grid, stroke: () => css("line"), width: 1 },
      ticks: { show: false },
      gap: 6,
      space: side === "y" ? 36 : 64,
      values: (u, splits) => splits.map(format),
    };
    if (spec.log) {
      options.splits = (u, i, low, high) => {
        const pixels =
          (side === "y" ? u.bbox.height : u.bbox.width) / (window.devicePixelRatio || 1);
        return logSplits(low, high, pixels / (side === "y" ? 30 : 58));
      };
      options.filter = (u, splits) => splits;
    }
    return options;
  }

  // The range of an axis: the one asked for, or that of all values with a margin.
  function rangeOf(spec, values) {
    if (spec.range) return spec.range;
    let [low, high] = [Infinity, -Infinity];
    values.forEach((list) =>
      list.forEach((x) => {
        if (Number.isFinite(x) && (!spec.log || x > 0)) {
          low = Math.min(low, x);
          high = Math.max(high, x);
        }
      }),
    );
    if (!(low <= high)) return [1, 10];
    if (spec.log) return [low / 1.02, high * 1.02];
    const margin = spec.tight ? 0 : 0.05 * (high - low || Math.abs(high) || 1);
    return [spec.zero ? 0 : low - margin, high + margin];
  }

  // A band is two more series, without lines, and what lies between them.
  function flattened(series) {
    const flat = [];
    const bands = [];
    series.forEach((one) => {
      if (one.low) {
        const first = flat.length + 1;
        flat.push({ x: one.x, y: one.high, edge: true }, { x: one.x, y: one.low, edge: true });
        bands.push({ series: [first, first + 1], fill: () => css(one.band || "band") });
      }
    });
    series.forEach((one) => flat.push(one));
    return { flat, bands };
  }

  function seriesOptions(one) {
    if (one.edge) return { stroke: null, width: 0, points: { show: false } };
    const color = () => css(one.color);
    const marks = one.points
      ? { show: true, size: one.points, fill: color, stroke: color, width: 0 }
      : { show: false };
    const line = one.width > 0;
    return {
      stroke: color,
      width: one.width || 0,
      dash: DASHES[one.dash],
      pxAlign: 0, // a slow fall is no staircase
      points: marks,
      ...(line ? {} : { paths: () => null }),
    };
  }

  // All series over one list of x; points of one series at the same x are moved apart by a hair.
  function joined(flat) {
    return uPlot.join(
      flat.map(({ x, y }) => {
        let before = -Infinity;
        const apart = x.map((value) => {
          before = value > before ? value : before + Math.abs(before) * 1e-9;
          return before;
        });
        return [apart, y];
      }),
    );
  }

  function drawShades(u, spec) {
    const { ctx, bbox } = u;
    (spec.shades || []).forEach(({ from, to, color }) => {
      const [left, right] = [from, to].map((x) =>
        Math.min(Math.max(u.valToPos(x, "x", true), bbox.left), bbox.left + bbox.width),
      );
      ctx.fillStyle = css(color);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    });
  }

  function drawMarks(u, spec) {
    const { ctx, bbox } = u;
    const scale = window.devicePixelRatio || 1;
    (spec.marks || []).forEach(({ x, color, text }, row) => {
      const at = u.valToPos(x, "x", true);
      if (!(at >= bbox.left - 1 && at <= bbox.left + bbox.width + 1)) return;
      ctx.save();
      ctx.strokeStyle = css(color);
      ctx.fillStyle = css(color);
      ctx.lineWidth = scale;
      ctx.setLineDash([4 * scale, 4 * scale]);
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
      ctx.font = `${11 * scale}px system-ui, sans-serif`;
      const leftwards = at > bbox.left + 0.6 * bbox.width;
      ctx.textAlign = leftwards ? "right" : "left";
      ctx.fillText(
        text || "",
        at + (leftwards ? -5 : 5) * scale,
        bbox.top + (12 + 15 * row) * scale,
      );
      ctx.restore();
    });
  }

  // Cells of a map, each up to the middle (of the logarithms, on such an axis) of its neighbours.
  function drawMap(u, { map, x, y }) {
    if (!map) return;
    const middle = (log, a, b) => (log ? Math.sqrt(a * b) : (a + b) / 2);
    const ends = (values, log) => [
      ...values.map((value, i) => (i ? middle(log, value, values[i - 1]) : value)),
      values[values.length - 1],
    ];
    const [xs, ys] = [ends(map.x, x.log), ends(map.y, y.log)];
    map.z.forEach((row, j) =>
      row.forEach((value, i) => {
        if (value === null) return;
        const [left, right] = [xs[i], xs[i + 1]].map((x) => u.valToPos(x, "x", true));
        const [bottom, top] = [ys[j], ys[j + 1]].map((y) => u.valToPos(y, "y", true));
        u.ctx.fillStyle = map.colors[map.levels.filter((level) => value > level).length];
        u.ctx.fillRect(left, top, Math.ceil(right - left) + 1, Math.ceil(bottom - top) + 1);
      }),
    );
  }

  // What the pointer is nearest to, in a box beside it.
  function tooltip(u, chart) {
    const { left, top, idx } = u.cursor;
    const box = chart.box;
    const near = left >= 0 && idx !== null ? nearest(u, chart, left, top) : null;
    box.hidden = !near;
    if (!near) return;
    const { one, i } = near;
    const x = Words[chart.spec.x.tip || "steps"](one.x[i]);
    const value = Words[chart.spec.y.tip || "loss"](one.y[i]);
    const band =
      one.low && !one.bandless
        ? ` (90%: ${Words.loss(one.low[i])} to ${Words.loss(one.high[i])})`
        : "";
    box.textContent =
      `${one.name} · ${chart.spec.x.short || "step"} ${x}: ${value}${band}` +
      (one.notes ? ` · ${one.notes[i]}` : "");
    const right = left > u.over.clientWidth / 2;
    box.style.left = right ? "" : `${left + u.over.offsetLeft + 12}px`;
    box.style.right = right ? `${chart.element.clientWidth - left - u.over.offsetLeft + 12}px` : "";
    box.style.top = `${Math.max(top - 34, 0)}px`;
  }

  function nearest(u, chart, left, top) {
    let best = null;
    let least = 48;
    chart.spec.series
      .filter(({ name }) => name)
      .forEach((one) => {
        one.x.forEach((x, i) => {
          const across = u.valToPos(x, "x") - left;
          if (Math.abs(across) > least) return;
          const far = Math.hypot(across, u.valToPos(one.y[i], "y") - top);
          if (far < least) {
            least = far;
            best = { one, i };
          }
        });
      });
    return best;
  }

  function options(chart, bands, flat) {
    const { spec } = chart;
    const axisOf = (name) => axis(spec[name], name, !spec.map);
    const scale = (name) => ({
      time: false,
      distr: spec[name].log ? 3 : 1,
      range: () =>
        rangeOf(
          chart.spec[name],
          chart.spec.series.map((one) => one[name]),
        ),
    });
    return {
      width: chart.element.clientWidth || 600,
      height: spec.height || 280,
      legend: { show: false },
      padding: [8, 20, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: { x: scale("x"), y: scale("y") },
      axes: [axisOf("x"), axisOf("y")],
      series: [{}, ...flat.map(seriesOptions)],
      bands,
      hooks: {
        drawClear: [
          (u) => {
            drawShades(u, chart.spec);
            drawMap(u, chart.spec);
          },
        ],
        draw: [(u) => drawMarks(u, chart.spec)],
        setCursor: [(u) => tooltip(u, chart)],
      },
    };
  }

  // Draw a chart in an element; `update` draws another description there.
  function make(element, spec) {
    const chart = { element, spec, box: document.createElement("div"), plot: null };
    chart.box.className = "tip";
    chart.box.hidden = true;
    const build = () => {
      const { flat, bands } = flattened(chart.spec.series);
      if (chart.plot) chart.plot.destroy();
      chart.plot = new uPlot(options(chart, bands, flat), joined(flat), element);
      element.append(chart.box);
    };
    build();
    new ResizeObserver(() => {
      if (element.clientWidth)
        chart.plot.setSize({ width: element.clientWidth, height: spec.height || 280 });
    }).observe(element);
    drawn.add(chart);
    const alike = (a, b) =>
      a.series.length === b.series.length &&
      a.x.log === b.x.log &&
      a.series.every((one, i) => !one.low === !b.series[i].low && one.color === b.series[i].color);
    return {
      update(next) {
        const same = alike(chart.spec, next);
        chart.spec = next;
        if (same) chart.plot.setData(joined(flattened(next.series).flat));
        else build();
      },
    };
  }

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawn.forEach((chart) => chart.plot.redraw());
  });

  // Draw the charts of the document: an element with `data-chart` holds a description of its own.
  function drawAll() {
    document.querySelectorAll("[data-chart]").forEach((element) => {
      make(element, JSON.parse(document.getElementById(element.dataset.chart).textContent));
    });
  }

  return { make, drawAll };
})();
