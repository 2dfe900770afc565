// The loss of SGD with a constant momentum: three moments of each mode, as in
// etastar/model/_three_moments.py and _segments.py.
//
// One update maps the moments (c, m, u) of a mode, its error, its error times its velocity and its
// velocity squared, to A (c, m, u) + b times the noise. m updates are powers of that map.
"use strict";

const Momentum = (() => {
  // An affine power is 15 numbers: A^n - 1 by rows, sum of A^t b, sum of t A^(n-1-t) b.
  const SIZE = 15;

  // out <- first `before` updates, those of `f`, then those of `s`.
  function then(out, f, s, before) {
    for (let i = 0; i < 3; i++) {
      const [a, b, c] = [s[3 * i], s[3 * i + 1], s[3 * i + 2]];
      const row = 3 * i;
      out[row] = f[row] + a + a * f[0] + b * f[3] + c * f[6];
      out[row + 1] = f[row + 1] + b + a * f[1] + b * f[4] + c * f[7];
      out[row + 2] = f[row + 2] + c + a * f[2] + b * f[5] + c * f[8];
      out[9 + i] = f[9 + i] + s[9 + i] + a * f[9] + b * f[10] + c * f[11];
      out[12 + i] =
        f[12 + i] + s[12 + i] + a * f[12] + b * f[13] + c * f[14] + before * s[9 + i];
    }
  }

  // One update of a mode of eigenvalue x, its moments m and u multiplied by `growth` after it.
  function once(out, x, { rate, square, momentum, batch, growth }) {
    const feedback = x * x * (1 + 1 / batch);
    const velocity = [feedback, 2 * momentum * x, momentum * momentum];
    const along = [x, momentum, 0];
    for (let j = 0; j < 3; j++) {
      out[j] = square * velocity[j] - 2 * rate * along[j];
      out[3 + j] = growth[0] * (along[j] - rate * velocity[j]);
      out[6 + j] = growth[1] * velocity[j];
    }
    out[4] -= 1;
    out[8] -= 1;
    out[9] = square;
    out[10] = -rate * growth[0];
    out[11] = growth[1];
    out.fill(0, 12);
  }

  const scratch = () => new Float64Array(SIZE);
  let [power, doubled, spare] = [scratch(), scratch(), scratch()];

  // The map of `length` updates, by doubling.
  function powered(x, cell) {
    power.fill(0);
    once(doubled, x, cell);
    let [done, size, left] = [0, 1, cell.length];
    while (left > 0) {
      const odd = left % 2;
      if (odd) {
        then(spare, power, doubled, done);
        [power, spare] = [spare, power];
        done += size;
      }
      left = (left - odd) / 2;
      if (left === 0) break;
      then(spare, doubled, doubled, size);
      [doubled, spare] = [spare, doubled];
      size *= 2;
    }
    return power;
  }

  // Noise at an end of a segment over that at its mean, so that a mode ends in its balance there.
  function balance(x, rate, mean, momentum, batch) {
    const room = (eta) =>
      (1 - momentum) * (2 * (1 + momentum) - eta * x) - (eta * x * (1 + momentum)) / batch;
    return (Segments.ratio(rate, mean) / batch) * Segments.clipped(room(mean) / room(rate));
  }

  // The final excess loss over cells, every LR times `factor`; NaN where it is unstable.
  function finalLoss(spectrum, noise, batch, cells, momentum, factor = 1) {
    const { eigenvalue, square, target } = spectrum;
    const count = eigenvalue.length;
    const moments = [Float64Array.from(target), new Float64Array(count), new Float64Array(count)];
    const free = moments.map(() => new Float64Array(count));
    const from = moments.map(() => new Float64Array(count));
    const slope = moments.map(() => new Float64Array(count));
    const [before, after] = [new Float64Array(count), new Float64Array(count)];
    let loss = target.reduce((sum, x) => sum + x, 0);
    for (let n = 0; n < cells.length.length; n++) {
      const length = cells.length[n];
      const rate = factor * cells.rate[n];
      const [first, last] = [factor * cells.start[n], factor * cells.end[n]];
      const pace = [first, last].map((eta) => Segments.clipped(Segments.ratio(eta, rate)));
      const growth = [1, (pace[1] / pace[0]) ** (1 / length)];
      const cell = { rate, square: factor ** 2 * cells.square[n], momentum, batch, growth, length };
      const acting = noise + loss;
      let late = 0;
      let known = -loss;
      for (let k = 0; k < count; k++) {
        const x = eigenvalue[k];
        const map = powered(x, cell);
        before[k] = balance(x, first, rate, momentum, batch);
        after[k] = balance(x, last, rate, momentum, batch);
        const [c, m, u] = [moments[0][k], moments[1][k], moments[2][k] * pace[0]];
        const own = [c, m, u];
        for (let i = 0; i < 3; i++) {
          free[i][k] = own[i] + map[3 * i] * c + map[3 * i + 1] * m + map[3 * i + 2] * u;
          from[i][k] = square[k] * map[9 + i];
          slope[i][k] = (square[k] * map[12 + i]) / length;
        }
        late += after[k] * slope[0][k];
        known += free[0][k] + before[k] * acting * (from[0][k] - slope[0][k]);
      }
      if (!(late < 1)) return NaN;
      const rise = (known + acting * late) / (1 - late);
      for (let k = 0; k < count; k++) {
        const base = before[k] * acting;
        const bend = after[k] * (acting + rise) - base;
        for (let i = 0; i < 3; i++) {
          moments[i][k] = free[i][k] + base * from[i][k] + bend * slope[i][k];
        }
        moments[2][k] /= pace[1];
      }
      loss += rise;
    }
    return loss;
  }

  // The LR from which on a constant one diverges: the noise's feedback
  // (1/B) sum of lambda (1 + mu) eta / ((1 - mu) (2 (1 + mu) - eta lambda) - eta lambda (1 + mu)/B)
  // is one there.
  function criticalRate(spectrum, batch, momentum) {
    const { eigenvalue, multiplicity, largest } = spectrum;
    const lost = Spectra.missing(spectrum);
    const excess = (rate) => {
      let gain = (rate * lost) / (2 * (1 - momentum));
      for (let k = 0; k < eigenvalue.length; k++) {
        const pull = rate * eigenvalue[k];
        const room =
          (1 - momentum) * (2 * (1 + momentum) - pull) - (pull * (1 + momentum)) / batch;
        gain += (multiplicity[k] * pull * (1 + momentum)) / room;
      }
      return gain / batch - 1;
    };
    let high =
      (2 * (1 - momentum ** 2)) / (largest * (1 - momentum + (1 + momentum) / batch));
    let low = 0;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (excess(middle) > 0) high = middle;
      else low = middle;
    }
    return low;
  }

  return { finalLoss, criticalRate };
})();
