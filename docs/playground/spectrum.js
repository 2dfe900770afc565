// The spectrum of a power law, compressed: the formulas of etastar/model/_spectrum.py.
//
// lambda_k = k^-a with lambda_k (w*_k)^2 = k^-(a s + 1). The first modes stand alone; after them
// come bins of three Gauss-Legendre nodes whose weights keep the sums over a bin exact; the modes
// too slow to matter are one last node.
"use strict";

const Spectra = (() => {
  const ALONE = 32;
  const NODES = 3;
  const BIN = 0.6;
  const TOLERANCE = 1e-6;
  const GAUSS = [-Math.sqrt(0.6), 0, Math.sqrt(0.6)];
  // Hurwitz zeta, sum of (q + k)^-s over k = 0, 1, ..., for s > 1 and q >= 1: Euler-Maclaurin
  // after the first terms.
  function zeta(s, q) {
    let sum = 0;
    let x = q;
    const far = Math.max(12, s);
    for (; x < far; x++) sum += x ** -s;
    const end = x ** -s;
    let term = (s * end) / x;
    let tail = (end * x) / (s - 1) + end / 2;
    Sums.BERNOULLI.forEach((b, k) => {
      tail += b * term;
      term *= ((s + 2 * k + 1) * (s + 2 * k + 2)) / (x * x);
    });
    return sum + tail;
  }

  // Gamma by Lanczos' sum (g = 7, nine terms), for x > 0.
  function gamma(x) {
    if (x < 0.5) return Math.PI / (Math.sin(Math.PI * x) * gamma(1 - x));
    const terms = [
      676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
      12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
    ];
    const y = x - 1;
    const sum = terms.reduce((all, term, i) => all + term / (y + i + 1), 0.99999999999980993);
    const t = y + 7.5;
    return Math.sqrt(2 * Math.PI) * t ** (y + 0.5) * Math.exp(-t) * sum;
  }

  // The mode after which all modes may move with their mean eigenvalue.
  function cut(capacity, source, time) {
    const most = 2 * (source + 2) * gamma(Math.min(source, 50)) * TOLERANCE;
    const depth = Math.min(most ** (1 / (2 + source)), 0.5);
    return Math.max(Math.ceil(((2 * time) / depth) ** (1 / capacity)), ALONE);
  }

  // First modes of the bins, and one past the last bin.
  function edgesOf(capacity, last) {
    const least = 2 * NODES;
    const alone = Math.max(ALONE, Math.ceil((2 * NODES * capacity) / BIN));
    if (last < alone + least) return [last + 1];
    const edges = [alone + 1];
    while (edges[edges.length - 1] <= last) {
      const end = edges[edges.length - 1];
      edges.push(Math.max(end + least, Math.ceil(end * Math.exp(BIN / capacity))));
    }
    if (edges[edges.length - 1] > last + 1) {
      edges[edges.length - 1] = last + 1;
      const count = edges.length;
      if (count > 2 && edges[count - 1] - edges[count - 2] < least) edges.splice(count - 2, 1);
    }
    return edges;
  }

  // Weights on three nodes for which the sums of node^i * weight, i = 0..2, are those given.
  function weights(nodes, sums) {
    const unit = nodes[0];
    const x = nodes.map((node) => node / unit);
    const b = sums.map((sum, i) => sum / unit ** i);
    return x.map((own, i) => {
      const [p, q] = x.filter((_, j) => j !== i);
      return (b[2] - (p + q) * b[1] + p * q * b[0]) / ((own - p) * (own - q));
    });
  }

  // The spectrum for runs of up to `horizon` updates at any stable LR: {eigenvalue, target,
  // multiplicity, square, trace, largest}; square is multiplicity * eigenvalue^2.
  function powerLaw(capacity, source, horizon) {
    const time = 10 ** Math.ceil(Math.log10(Math.max(2 * horizon, 10)));
    const exponent = capacity * source + 1;
    const edges = edgesOf(capacity, cut(capacity, source, time));
    const [eigenvalue, target, multiplicity] = [[], [], []];
    const add = (value, power, count) => {
      eigenvalue.push(value);
      target.push(power);
      multiplicity.push(count);
    };
    for (let k = 1; k < edges[0]; k++) add(k ** -capacity, k ** -exponent, 1);
    const sums = (power, low, high) =>
      [0, 1, 2].map((i) => zeta(power + capacity * i, low) - zeta(power + capacity * i, high));
    for (let i = 0; i + 1 < edges.length; i++) {
      const [low, high] = [edges[i], edges[i + 1]];
      const [start, stop] = [Math.log(low - 0.5), Math.log(high - 0.5)];
      const nodes = GAUSS.map((x) =>
        Math.exp(-capacity * ((start + stop) / 2 + ((stop - start) / 2) * x)),
      );
      const powers = weights(nodes, sums(exponent, low, high));
      const squares = weights(nodes, sums(2 * capacity, low, high));
      nodes.forEach((node, j) => add(node, powers[j], squares[j] / node ** 2));
    }
    const end = edges[edges.length - 1];
    const power = zeta(exponent, end);
    const mean = zeta(exponent + capacity, end) / power;
    add(mean, power, zeta(2 * capacity, end) / mean ** 2);
    const square = eigenvalue.map((x, i) => multiplicity[i] * x * x);
    const typed = { eigenvalue, target, multiplicity, square };
    Object.keys(typed).forEach((key) => {
      typed[key] = Float64Array.from(typed[key]);
    });
    return { ...typed, trace: zeta(capacity, 1), largest: 1 };
  }

  const sumExp = (spectrum, weight, time) => {
    const { eigenvalue } = spectrum;
    let total = 0;
    for (let i = 0; i < eigenvalue.length; i++) {
      total += weight[i] * Math.exp(-2 * eigenvalue[i] * time);
    }
    return total;
  };

  // Loss of gradient flow after an intrinsic time, and what is left of noise of that age.
  const bias = (spectrum, time) => sumExp(spectrum, spectrum.target, time);
  const kernel = (spectrum, time) => sumExp(spectrum, spectrum.square, time);

  // The largest LR of the page, 2 / (lambda_1 (1 + 1/B) + tr / B).
  const maxRate = ({ largest, trace }, batch) => 2 / (largest * (1 + 1 / batch) + trace / batch);

  // Sum of eigenvalues that the nodes miss: small ones, which act in proportion.
  const missing = ({ eigenvalue, multiplicity, trace }) =>
    trace - eigenvalue.reduce((sum, x, i) => sum + multiplicity[i] * x, 0);

  return { powerLaw, zeta, gamma, bias, kernel, maxRate, missing };
})();
