// Sums of powers over consecutive integers: the formulas of etastar/schedule/_sums.py, for numbers.
//
// Euler-Maclaurin (NIST DLMF 2.10.1) turns a long sum into an integral and a few derivatives at
// both ends. Near 0 the derivatives of a power blow up, so the terms there are added one by one.
"use strict";

const Sums = (() => {
  // B_{2k} / (2k)! for k = 1..8.
  const BERNOULLI = [
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
  ];
  const DIRECT = 16;

  // Sum over k of B_2k/(2k)! times the (2k-1)-th derivative of m^exponent, over m^exponent.
  function corrections(point, exponent) {
    let total = 0;
    let factor = 1;
    BERNOULLI.forEach((weight, k) => {
      const order = 2 * k + 1;
      factor *= k === 0 ? exponent : (exponent - order + 2) * (exponent - order + 1);
      total += (weight * factor) / point ** order;
    });
    return total;
  }

  // Integral of m^exponent from start to start + length, over start^(exponent + 1).
  function integral(start, length, exponent) {
    const logarithm = Math.log1p(length / start);
    if (exponent === -1) return logarithm;
    return Math.expm1((exponent + 1) * logarithm) / (exponent + 1);
  }

  // Sum of ((start + j) / scale)^exponent for j < count, where Euler-Maclaurin converges.
  function smoothSum(start, count, exponent, scale) {
    if (!(count > 0)) return 0;
    const last = start + count;
    const atFirst = (start / scale) ** exponent;
    const atLast = (last / scale) ** exponent;
    const ends = atLast * corrections(last, exponent) - atFirst * corrections(start, exponent);
    return atFirst * start * integral(start, count, exponent) + (atFirst - atLast) / 2 + ends;
  }

  // Sum of ((start + j) / scale)^exponent for j = 0..count-1, exponent <= 1, start >= 0.
  function risingPowerSum(start, count, exponent, scale) {
    let direct = 0;
    for (let j = 0; j < Math.min(count, DIRECT); j++) direct += ((start + j) / scale) ** exponent;
    return direct + smoothSum(start + DIRECT, Math.max(count - DIRECT, 0), exponent, scale);
  }

  // Sum of ((start - j) / scale)^exponent for j = 0..count-1 <= start, exponent >= 0.
  function fallingPowerSum(start, count, exponent, scale) {
    // Closer to 0 than this a power of that order is not smooth on the scale of one step.
    const smooth = Math.max(Math.floor(start) - DIRECT - Math.ceil(exponent), 0);
    let direct = 0;
    for (let j = smooth; j < count; j++) {
      direct += (Math.max(start - j, 0) / scale) ** exponent;
    }
    if (smooth === 0) return direct;
    return direct + smoothFalling(start, Math.min(count, smooth), exponent, scale);
  }

  function smoothFalling(start, count, exponent, scale) {
    const last = start - count;
    const atFirst = (start / scale) ** exponent;
    const atLast = (last / scale) ** exponent;
    const body = -atFirst * start * integral(start, -count, exponent);
    // Running downwards the odd derivatives change sign.
    const ends = atFirst * corrections(start, exponent) - atLast * corrections(last, exponent);
    return body + (atFirst - atLast) / 2 + ends;
  }

  return { BERNOULLI, risingPowerSum, fallingPowerSum };
})();
