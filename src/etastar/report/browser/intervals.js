// How sure a forecast is: the formulas of etastar/law/_law.py, _posterior.py and _misfit.py.
//
// `interval` holds what the runs leave open of the d constants, averaged over the sizes of misfit
// and luck, as matrices that etastar.law.law_document describes.
"use strict";

const Intervals = (() => {
  const log2Over = (x, reference) => Math.log2(Math.max(x / reference, 1));

  // The batch size over the reference at a step (updates done); 1 where either is not known.
  function batchRatio(batch, step, units) {
    if (batch === null || units.batch === null) return 1;
    const size = typeof batch === "object" ? batch.value(Math.max(step - 1, 0)) : batch;
    return size / units.batch;
  }

  // Where a point of a run lies among those whose misfits are compared: four distances, and the
  // size of the misfit over that at the end of the longest run.
  function misfitPlace(schedule, step, ratio, { scales, longest }) {
    const done = Math.max(step, 1);
    const rate = schedule.value(done - 1) / schedule.peak;
    const four = [Math.log2(done), Math.log(schedule.peak), rate, Math.log(ratio)];
    const size = Math.sqrt(Math.max(longest / (done * ratio), 1));
    return [...four.map((x, i) => x / scales[i]), size];
  }

  // Covariance of the misfits at two places: their sizes times (1 + sqrt(3) d) exp(-sqrt(3) d).
  function alike(first, second) {
    let squared = 0;
    for (let i = 0; i < 4; i++) squared += (first[i] - second[i]) ** 2;
    const far = Math.sqrt(3 * squared);
    return first[4] * second[4] * (1 + far) * Math.exp(-far);
  }

  // Points of one run: losses, slopes, places, and doublings beyond the longest run and peak LR.
  // `run` is {schedule, batch, mesh}; steps are updates done.
  function targets(law, run, steps) {
    const { units, interval } = law;
    const { schedule, batch, mesh } = run;
    const points = steps.map((step) => Meshes.locate(mesh, step));
    const { losses, slopes } = Laws.lossesAndSlopes(law, Laws.cellsOf(mesh, units), points);
    const above = log2Over(schedule.peak, interval.highestPeak);
    return steps.map((step, i) => {
      const ratio = batchRatio(batch, step, units);
      const ramped = batch !== null && typeof batch === "object" && units.batch !== null;
      const samples = ramped ? batch.intrinsicTime(step) / units.batch : step * ratio;
      const place = misfitPlace(schedule, step, ratio, interval);
      return prepared(
        {
          loss: losses[i],
          slope: slopes[i].map((x, k) => x * interval.width[k]),
          place,
          ahead: log2Over(samples, units.steps),
          above,
        },
        interval,
      );
    });
  }

  // A target with the products that every covariance with it needs.
  function prepared(target, interval) {
    const near = Float64Array.from(interval.places, (place) => alike(target.place, place));
    const shift = product(target.slope, interval.moved) + product(near, interval.movedMisfit);
    const both = Float64Array.from([...target.slope, ...near]);
    return {
      ...target,
      shift,
      known: timesRows(interval.known, both),
      misfits: timesTriangle(interval.misfits, near),
    };
  }

  function product(first, second) {
    let sum = 0;
    for (let i = 0; i < first.length; i++) sum += first[i] * second[i];
    return sum;
  }

  // A matrix, row by row, times a vector.
  function timesRows(matrix, vector) {
    const found = new Float64Array(matrix.length / vector.length);
    let k = 0;
    for (let i = 0; i < found.length; i++) {
      for (let j = 0; j < vector.length; j++) found[i] += matrix[k++] * vector[j];
    }
    return found;
  }

  // An upper triangular matrix, row by row from the diagonal on, times a vector.
  function timesTriangle(triangle, vector) {
    const found = new Float64Array(vector.length);
    let k = 0;
    for (let i = 0; i < vector.length; i++) {
      for (let j = i; j < vector.length; j++) found[i] += triangle[k++] * vector[j];
    }
    return found;
  }

  // Covariance of what is open about the log losses at two targets, that of luck aside.
  function covariance(interval, a, b) {
    const misfit = interval.misfit * alike(a.place, b.place) - product(a.misfits, b.misfits);
    const further =
      a.shift * b.shift +
      interval.ahead ** 2 * a.ahead * b.ahead +
      interval.above ** 2 * a.above * b.above;
    return product(a.known, b.known) + misfit + further;
  }

  // Loss to expect at a target, with its interval.
  function forecast(interval, target) {
    const variance = Math.max(covariance(interval, target, target), 0) + interval.luck;
    const width = interval.normal * target.loss * Math.sqrt(variance);
    return { mean: target.loss, low: Math.max(target.loss - width, 0), high: target.loss + width };
  }

  // By how much the first target's loss is above the other's, of two runs that are trained once
  // each; `same` where both have one schedule, and so share their luck.
  function difference(interval, a, b, same) {
    const own = a.loss ** 2 * covariance(interval, a, a) + b.loss ** 2 * covariance(interval, b, b);
    const luck = same ? 0 : interval.luck * (a.loss ** 2 + b.loss ** 2);
    const variance = own - 2 * a.loss * b.loss * covariance(interval, a, b) + luck;
    const width = interval.normal * Math.sqrt(Math.max(variance, 0));
    const mean = a.loss - b.loss;
    return { mean, low: mean - width, high: mean + width };
  }

  // Float64Array of base64 text, little-endian as Python wrote it.
  function decoded(text) {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return new Float64Array(bytes.buffer);
  }

  // The interval of a document with its matrices as arrays.
  function read(document) {
    return {
      ...document,
      known: decoded(document.known),
      misfits: decoded(document.misfits),
    };
  }

  return { targets, forecast, difference, read };
})();
