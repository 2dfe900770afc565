"""The playground of the documentation: its formulas against the library's, and its page."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from etastar.control import FAMILIES, best_member, closed_form
from etastar.model import Cells, PowerLaw, loss, modes_of, phase, segment_loss, segments_of
from etastar.robust import last_iterate
from etastar.schedule import Schedule, make_schedule, table
from tests.helpers.browser import opened_browser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SCRIPTS = sorted((DOCS / "playground").glob("*.js"))
RHOS = [1 / 30, 0.1, 0.5, 1.0, 3.0, 25.0]


def make_tasks() -> list[tuple[float, float, float, int, int]]:
    """Twenty tasks over the ranges of the controls: a, s, noise, B, T."""
    random = np.random.default_rng(3)
    fixed = [(1.5, 1.0, 0.25, 8, 10**6), (1.5, 0.2, 0.25, 8, 10**6), (1.05, 0.05, 10.0, 1, 100)]
    fixed += [(4.0, 3.0, 1e-3, 4096, 10**12)]
    drawn = [
        (
            round(random.uniform(1.05, 4.0), 2),
            round(random.uniform(0.05, 3.0), 2),
            float(f"{10 ** random.uniform(-3, 1):.3g}"),
            int(2 ** random.uniform(0, 12)),
            int(float(f"{10 ** random.uniform(2, 12):.3g}")),
        )
        for _ in range(16)
    ]
    return fixed + drawn


TASKS = make_tasks()
compiled_loss = jax.jit(segment_loss)
KEYS = ("capacity", "source", "noise", "batch", "horizon")

ANSWERS = """([tasks, rhos]) => tasks.map((task) => {
  const found = Families.solve(task);
  const { spectrum, noise, batch, rows, phase, cap } = found;
  return {
    phase, cap,
    bias: [1, 100, 1e4].map((time) => Spectra.bias(spectrum, time)),
    kernel: [1, 100, 1e4].map((time) => Spectra.kernel(spectrum, time)),
    rows: rows.map(({ name, schedule, document, loss }) => {
      const cells = Segments.cellsOf(Segments.grading(schedule, 1), 128);
      return {
        name, document, loss,
        segments: Segments.finalLoss(spectrum, noise, batch, cells),
        half: Segments.finalLoss(spectrum, noise, batch, cells, 0.5),
        inflation: Bound.inflation(schedule, rhos),
        critical: Momentum.criticalRate(spectrum, batch, 0),
      };
    }),
  };
})"""

# LRs a tenth of those of the schedule, as (1 - mu) = 0.2 makes them half as fast.
WITH_MOMENTUM = """([capacity, source, noise, batch, horizon, document]) => {
  const spectrum = Spectra.powerLaw(capacity, source, horizon);
  const cells = Segments.cellsOf(Segments.grading(Schedules.make(document), 1, 5), 64);
  return Momentum.finalLoss(spectrum, noise, batch, cells, 0.8, 0.1);
}"""


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def hook() -> Any:
    path = DOCS / "hooks/playground.py"
    spec = spec_from_file_location("playground_hook", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def address(hook, tmp_path_factory) -> str:
    """The page without the theme: its Markdown is HTML where it computes."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS / "playground", folder / "playground")
    for name in hook.SHARED:
        shutil.copy(hook.BROWSER / name, folder / "playground")
    text = (DOCS / "playground.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    page = folder / "playground.html"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page.write_text(f'<!doctype html><html lang="en">{head}<body>{text}</body></html>')
    return page.as_uri()


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = browser.new_page(**options)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url))
    page.goto(address)
    return page


def settle(page: Any) -> None:
    page.wait_for_function("document.getElementById('p-controls').dataset.settled", timeout=60_000)


@pytest.fixture(scope="module")
def answers(browser, address) -> list[dict[str, Any]]:
    page = opened(browser, address)
    tasks = [dict(zip(KEYS, task, strict=True)) for task in TASKS]
    return page.evaluate(ANSWERS, [tasks, RHOS])


def scaled(cells: Cells, factor: float) -> Cells:
    assert cells.drift is not None
    drift = cells.drift._replace(
        rate_square=cells.drift.rate_square * factor**2,
        rate_start=cells.drift.rate_start * factor,
        rate_end=cells.drift.rate_end * factor,
    )
    return cells._replace(rate=cells.rate * factor, drift=drift)


def schedule_of(document: dict[str, Any]) -> Schedule:
    keys = {key: value for key, value in document.items() if key != "kind"}
    if document["kind"] == "table":
        return table(*zip(*keys["knots"], strict=True))
    return make_schedule(document["kind"], **keys)


# The formulas


def test_phase_cap_and_spectrum_are_the_library_s(answers):
    for (capacity, source, noise, batch, horizon), found in zip(TASKS, answers, strict=True):
        own, said = phase(capacity, source), found["phase"]
        assert said["name"] == own.name
        numbers = [said[key] for key in ("xi", "delta", "loss", "annealed", "distance")]
        wanted = [own.xi, own.delta, own.loss_exponent, own.annealed_exponent, own.distance]
        assert numbers == pytest.approx(wanted, rel=1e-12, abs=1e-15)
        model = PowerLaw(capacity, source, noise, batch)
        spectrum = model.spectrum_to(horizon)
        assert found["cap"] == pytest.approx(model.max_rate, rel=1e-12)
        times = [1, 100, 1e4]
        assert found["bias"] == pytest.approx(spectrum.bias(times), rel=1e-9)
        assert found["kernel"] == pytest.approx(spectrum.kernel(times), rel=1e-9)
        critical = found["rows"][0]["critical"]
        assert critical == pytest.approx(spectrum.critical_rate(batch), rel=1e-9)


def test_the_optimal_schedule_is_closed_form(answers):
    for task, found in zip(TASKS, answers, strict=True):
        own = closed_form(PowerLaw(*task[:4]), task[4])
        page = schedule_of(found["rows"][0]["document"])
        assert page.horizon == own.schedule.horizon
        steps = np.array(own.schedule.breakpoints)
        assert page(steps) == pytest.approx(own.schedule(steps), rel=1e-6)
        assert found["rows"][0]["loss"] == pytest.approx(own.loss, rel=3e-4)


def test_losses_of_all_schedules_are_those_of_the_segments(answers):
    for task, found in zip(TASKS, answers, strict=True):
        model = PowerLaw(*task[:4])
        modes = modes_of(model.spectrum_to(task[4]))
        for row in found["rows"]:
            cells = segments_of(model, schedule_of(row["document"]), 128)
            own = float(compiled_loss(modes, model.noise, cells))
            assert row["segments"] == pytest.approx(own, rel=1e-6), row["name"]
            own = float(compiled_loss(modes, model.noise, scaled(cells, 0.5)))
            assert row["half"] == pytest.approx(own, rel=1e-6), row["name"]


@pytest.mark.slow  # the powers of 3 x 3 maps take a second a task
def test_losses_with_momentum_are_those_of_the_segments(browser, address, answers):
    page = opened(browser, address)
    for task, found in zip(TASKS, answers, strict=True):
        model = PowerLaw(*task[:4])
        modes = modes_of(model.spectrum_to(task[4]))
        for row in (found["rows"][0], found["rows"][4]):
            said = page.evaluate(WITH_MOMENTUM, [*task, row["document"]])
            cells = segments_of(model, schedule_of(row["document"]), 64, momentum=0.8)
            own = float(compiled_loss(modes, model.noise, scaled(cells, 0.1)))
            assert said == pytest.approx(own, rel=1e-6), (task, row["name"])


def test_inflations_are_those_of_robust(answers):
    for task, found in zip(TASKS, answers, strict=True):
        for row in found["rows"]:
            schedule = schedule_of(row["document"]).stretched(horizon=min(task[4], 20_000))
            own = last_iterate(schedule).inflation(RHOS)
            assert row["inflation"] == pytest.approx(own, rel=1e-6), row["name"]


def test_shown_losses_are_those_of_loss(answers):
    for task, found in list(zip(TASKS, answers, strict=True))[:8]:
        for row in found["rows"]:
            own = loss(PowerLaw(*task[:4]), schedule_of(row["document"]))
            assert row["loss"] == pytest.approx(own, rel=3e-4), (task, row["name"])


@pytest.mark.slow  # searches every family of the library
def test_standard_schedules_are_near_their_best(answers):
    for task, found in list(zip(TASKS, answers, strict=True))[:6]:
        for row in found["rows"][1:]:
            assert row["name"] in FAMILIES
            keys = {"decay": "sqrt"} if row["name"] == "wsd" else {}
            own = best_member(PowerLaw(*task[:4]), row["name"], task[4], None, **keys)
            assert -2e-3 < row["loss"] / own.loss - 1.0 < 1e-2, (task, row["name"])


@pytest.mark.parametrize(
    ("name", "capacity", "source", "wanted", "slow"),
    [
        ("constant", 1.5, 1.0, (0.5, 0.5), False),
        ("linear", 1.5, 1.0, (0.6, 0.4), False),
        ("linear", 2.0, 1.0, (2 / 3, 1 / 3), True),
        ("linear", 3.0, 1.0, (2 / 3, 1 / 3), False),
        ("cosine", 3.0, 1.0, (0.75, 0.25), True),
        ("wsd", 1.3, 1.5, (0.6610169, 0.5593220), False),
        ("cosine", 1.5, 0.2, (0.2, 0.0), False),
    ],
)
def test_exponents_of_the_families_are_those_of_the_theory(
    browser, address, name, capacity, source, wanted, slow
):
    """The theory in docs/solvable_details.md, which bench/loss_exponents.py measures."""
    page = opened(browser, address)
    found = page.evaluate(f"Families.exponents({name!r}, {capacity}, {source})")
    assert (found["loss"], found["peak"]) == pytest.approx(wanted, rel=1e-6)
    assert found["slow"] == slow


# The page


def test_the_page_is_silent_asks_for_nothing_and_settles(browser, address):
    page = opened(browser, address)
    settle(page)
    folder = address.rsplit("/", 1)[0]
    assert all(said.startswith(folder) for said in page.said), page.said
    assert page.locator(".p-plot canvas").count() == 5
    assert page.locator("#p-table tbody tr").count() == 5
    assert page.is_hidden("#p-error")
    assert "With momentum 0.9" in page.text_content("#p-momentum-text")


def test_the_keyboard_moves_a_slider_and_the_numbers_follow(browser, address):
    page = opened(browser, address)
    page.keyboard.press("Tab")  # the link above the controls
    while page.evaluate("document.activeElement.id") != "p-source":
        page.keyboard.press("Tab")
    before = page.text_content("#p-table tbody")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#p-source-number") == "1.01"
    assert page.text_content("#p-table tbody") != before
    assert page.url.endswith("#source=1.01")
    page.fill("#p-source-number", "0.2")
    page.press("#p-source-number", "Enter")
    assert "hard phase, 0.133 below" in page.text_content("#p-phase-text")
    again = opened(browser, page.url)
    assert again.text_content("#p-table tbody") == page.text_content("#p-table tbody")
    page.focus("#p-reset")
    page.keyboard.press("Enter")
    assert page.text_content("#p-table tbody") == before
    assert "#" not in page.url


def test_a_link_or_a_number_out_of_range_is_brought_into_it(browser, address):
    page = opened(browser, address + "#capacity=0&source=abc&batch=1e9&horizon=-5&noise=NaN")
    shown = [page.input_value(f"#p-{key}-number") for key in KEYS]
    assert shown == ["1.05", "1", "0.25", "4096", "100"]
    assert page.is_hidden("#p-error")
    page.fill("#p-horizon-number", "1e15")
    page.press("#p-horizon-number", "Enter")
    assert page.input_value("#p-horizon-number") == "1000000000000"


def test_every_control_has_a_name_and_a_sentence(browser, address):
    page = opened(browser, address)
    settle(page)
    unnamed = """[...document.querySelectorAll("input, button")].filter((one) =>
      !(one.labels && one.labels.length) && !one.getAttribute("aria-label") && !one.textContent)"""
    assert page.evaluate(f"{unnamed}.length") == 0
    says = page.evaluate(
        """[...document.querySelectorAll("input[type=range]")].map((one) =>
        document.getElementById(one.getAttribute("aria-describedby")).textContent)"""
    )
    assert len(says) == 6
    assert all(text.endswith(".") and text.count(".") == 1 for text in says)
    charts = page.evaluate(
        """[...document.querySelectorAll(".p-plot")].map((one) => one.getAttribute("aria-label") ||
        document.getElementById(one.getAttribute("aria-labelledby")).textContent)"""
    )
    assert all(len(text) > 20 for text in charts)
    heads = page.evaluate("[...document.querySelectorAll('.p-box th')].every((th) => th.scope)")
    assert heads


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser, address, width):
    page = opened(browser, address, viewport={"width": width, "height": 800})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_texts_and_lines_stand_out(browser, address, scheme):
    page = opened(browser, address)
    page.evaluate(f"document.body.dataset.mdColorScheme = '{scheme}'")
    names = ["ink", "soft", "paper", "raised", "field", "accent", "mark", "constant", "linear"]
    names += ["cosine", "wsd"]
    colours = page.evaluate(
        """(names) => names.map((name) =>
        getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim())""",
        names,
    )
    light = dict(zip(names, map(luminance, colours), strict=True))
    for text in ("ink", "soft"):
        assert min(contrast(light[text], light[on]) for on in ("paper", "raised")) >= 4.5, text
    for line in names[4:]:
        assert contrast(light[line], light["paper"]) >= 3.0, line


def luminance(colour: str) -> float:
    """Relative luminance of a colour, WCAG 2.2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


def test_scripts_are_short_strict_and_all_loaded(hook):
    text = (DOCS / "playground.md").read_text(encoding="utf-8")
    loaded = re.findall(r'<script src="playground/([\w.]+)">', text)
    shared = [name for name in hook.SHARED if name.endswith(".js")]
    assert sorted(loaded) == sorted([path.name for path in SCRIPTS] + shared)
    for path in SCRIPTS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 300, path.name
        assert max(map(len, lines)) <= 100, path.name
        assert '"use strict";' in lines, path.name


def test_the_site_has_the_page_with_its_scripts(browser, tmp_path):
    """The page in the theme, built alone: the whole site is built by `make docs`."""
    pytest.importorskip("mkdocs", reason="MkDocs is not installed")
    pytest.importorskip("material", reason="the theme Material is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    docs = tmp_path / "docs"
    shutil.copytree(DOCS / "playground", docs / "playground")
    shutil.copy(DOCS / "playground.md", docs)
    (docs / "index.md").write_text("# Start\n")
    config = {
        "site_name": "etastar",
        "use_directory_urls": False,
        "hooks": [str(DOCS / "hooks/playground.py")],
        "theme": {"name": "material", "font": False, "palette": {"scheme": "slate"}},
        "plugins": [],
    }
    path = tmp_path / "mkdocs.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    build(load_config(str(path), site_dir=str(tmp_path / "site")))
    page = opened(browser, (tmp_path / "site/playground.html").as_uri())
    settle(page)
    outside = [said for said in page.said if not said.startswith(("file:", "data:"))]
    assert outside == []
    assert page.locator(".p-plot canvas").count() == 5
