"""Two measured spectra and sweeps, from the files that `examples/spectrum_phase.py` wrote."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
from drawing import Axes, Drawing, keys

from etastar.model import Spectrum, SpectrumFit, fit_spectrum, read_spectrum

FOLDER = Path(__file__).parents[2] / "examples" / "spectrum_phase"
COLORS = ("accent", "amber", "indigo")
LEFT, WIDTH, APART = 50, 150, 66


def power(value: float) -> str:
    """A power of ten in few characters."""
    return "1" if value == 1 else f"1e{np.log10(value):.0f}"


def spectrum() -> Drawing:
    """Above what was measured with the fitted powers, below the losses of the sweep."""
    d = Drawing("Spectra of two networks, and their sweeps of the base learning rate", 566)
    for number, (name, network) in enumerate((("contrast", "dense"), ("sides", "pooled"))):
        left = LEFT + number * (WIDTH + APART)
        found = read_spectrum(FOLDER / f"{name}.csv")
        fit = fit_spectrum(found.eigenvalue, found.target)
        d.text(left, 26, f"{network}, {name}: {fit.phase.name}", bold=True, size=14)
        measured(d, left, found, fit)
        swept(d, left, name)
    keys(d, LEFT, 282, (("eigenvalue", "accent", ""), ("target, bin means", "amber", "")),
         across=150)  # fmt: skip
    keys(d, LEFT, 302, (("fitted powers", "ink", "5 4"),), across=130)
    d.text(LEFT, 532, "Dots: training. Lines: the model of the spectrum.", size=13, color="soft")
    named = zip(("1,000", "4,000", "16,000 updates"), COLORS, strict=True)
    keys(d, LEFT, 552, tuple((words, color, "") for words, color in named), across=105)
    return d


def measured(d: Drawing, left: float, found: Spectrum, fit: SpectrumFit) -> None:
    axes = Axes(d, (1, 1024), (1e-8, 1), left=left, top=60, width=WIDTH, height=170, log_x=True,
                log_y=True)  # fmt: skip
    axes.frame((1, 10, 100, 1000), (1e-8, 1e-6, 1e-4, 1e-2, 1), x_name="mode k", y_words=power)
    k = np.arange(1, len(found.eigenvalue) + 1)
    first, last = fit.modes
    used = (k >= first) & (k <= last)
    seen = found.eigenvalue > 1e-8
    axes.line(k[seen], found.eigenvalue[seen])
    edges = np.unique(np.geomspace(1, len(k) + 1, 28).round().astype(int))
    middle, mean = [], []
    for begin, end in pairwise(edges):
        middle.append(np.sqrt(begin * (end - 1)))
        mean.append(found.target[begin - 1 : end - 1].mean())
    middle, mean = np.array(middle), np.array(mean)
    for x, y in zip(middle, mean, strict=True):
        if y > 1e-8:
            d.dot(*axes.at(x, y), color="amber", radius=3)
    inside = (middle >= first) & (middle <= last)
    ends = np.array([first, last])
    for x, y, slope in (
        (k[used], found.eigenvalue[used], fit.capacity),
        (middle[inside], mean[inside], fit.capacity * fit.source + 1.0),
    ):
        at = np.interp(np.linspace(np.log(first), np.log(last), 50), np.log(x), np.log(y))
        height = at.mean() + slope * (np.log(first) + np.log(last)) / 2
        axes.line(ends, np.exp(height) * ends**-slope, color="ink", width=1.6, dash="5 4")


def swept(d: Drawing, left: float, name: str) -> None:
    with (FOLDER / f"{name}_sweep.csv").open(encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    top = {"contrast": 0.3, "sides": 0.5}[name]
    low = {"contrast": 0.002, "sides": 0.05}[name]
    rates = sorted({row["lr"] for row in rows})
    marks = {"contrast": (0.01, 0.1), "sides": (0.1, 0.2, 0.4)}[name]
    axes = Axes(d, (0.9 * rates[0], 1.1 * rates[-1]), (low, top), left=left, top=340, width=WIDTH,
                height=138, log_x=True, log_y=True)  # fmt: skip
    axes.frame((rates[1], rates[3], rates[5]), marks, x_name="base learning rate",
               x_words="{:.2g}".format, y_name="")  # fmt: skip
    d.text(left, 328, "excess loss", size=12.5, color="soft")
    for horizon, color in zip(sorted({row["horizon"] for row in rows}), COLORS, strict=True):
        own = [row for row in rows if row["horizon"] == horizon]
        line = {row["lr"]: row["model"] for row in own if row["model"] < top}
        axes.line(line.keys(), line.values(), color=color, width=2)
        for rate in rates:
            losses = np.mean([row["loss"] for row in own if row["lr"] == rate])
            if losses < top:
                d.dot(*axes.at(rate, float(losses)), color=color, radius=3)
