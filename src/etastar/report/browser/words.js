// Numbers in words: as in etastar/report/_numbers.py.
"use strict";

const Words = (() => {
  // A number with so many significant digits, without trailing zeros; as Python's "g" writes it.
  function general(x, digits) {
    if (x === 0) return "0";
    const exponent = Number(x.toExponential(digits - 1).split("e")[1]);
    if (exponent >= -4 && exponent < digits) return String(Number(x.toPrecision(digits)));
    const [mantissa, power] = x.toExponential(digits - 1).split("e");
    const sign = power[0] === "-" ? "-" : "+";
    return `${Number(mantissa)}e${sign}${power.slice(1).padStart(2, "0")}`;
  }

  const rate = (x) => general(x, 3);

  // A loss with five digits, trailing zeros kept so that columns compare.
  const loss = (x) => x.toPrecision(5);

  // A loss on an axis.
  const loss4 = (x) => general(x, 5);

  // A difference of losses, signed, in ten-thousandths or two digits where it is smaller.
  function regret(x) {
    if (x === 0) return "0";
    const sign = x > 0 ? "+" : "−";
    const size = Math.abs(x);
    return sign + (size >= 1e-3 ? size.toFixed(4) : general(size, 2));
  }

  const LETTERS = [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ];

  const grouped = (x) => Math.round(x).toLocaleString("en-US");

  // A count of steps, exact up to ten digits: 40k, 1.5M and 20B where it is round, else in groups
  // of three digits, beyond ten digits in powers of ten.
  function steps(x) {
    const [unit, letter] = LETTERS.find(([least]) => x >= least) || [1, ""];
    if (letter) {
      const part = general(x / unit, 3);
      const whole = !part.includes("e") && Math.round(Number(part) * unit) === x;
      if (whole && (unit > 1e3 || !part.includes("."))) return part + letter;
    }
    return x < 1e10 ? grouped(x) : general(x, 4);
  }

  // A ratio with three digits, in groups where it is large.
  const times = (x) => (x < 1000 ? general(x, 3) : grouped(x));

  // A batch size: whole ones in groups, others with three digits.
  const size = (x) => (Number.isInteger(x) || x >= 1000 ? steps(x) : general(x, 3));

  // A label on an axis, short: 20k, 1.5M.
  function short(x) {
    for (const [unit, letter] of LETTERS) {
      if (Math.abs(x) >= unit) return general(x / unit, 4) + letter;
    }
    return general(x, 4);
  }

  return { general, rate, loss, loss4, regret, steps, times, size, short };
})();
