"""The page that a report is set in: style, scripts, skeleton."""

from __future__ import annotations

import html
from functools import cache
from importlib.resources import files

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --raised: #f6f8f9; --ink: #17212b; --soft: #5b6875; --line: #e2e7eb;
  --accent: #0d9488; --accent-ink: #0b6f66; --grey: #94a3b8; --mark: #db2777;
  --band: rgba(13, 148, 136, .2); --faint: rgba(13, 148, 136, .13); }
@media (prefers-color-scheme: dark) { :root {
  --paper: #11161b; --raised: #182027; --ink: #e4eaef; --soft: #97a4b0; --line: #29333c;
  --accent: #14b8a6; --accent-ink: #4fd1c1; --grey: #7d8b9c; --mark: #f472b6;
  --band: rgba(20, 184, 166, .24); --faint: rgba(20, 184, 166, .16); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: break-word; }
main { max-width: 56rem; margin: 0 auto; padding: 2.5rem 1.1rem 4rem; }
h1 { font-size: 1.05rem; font-weight: 600; color: var(--soft); margin: 0 0 1.6rem; }
h2 { font-size: 1.15rem; font-weight: 650; margin: 3.2rem 0 .6rem; letter-spacing: -.01em; }
p { margin: .5rem 0; max-width: 42rem; }
.soft { color: var(--soft); font-size: .9rem; }
.head { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1.1rem; }
.numbers { display: flex; flex-wrap: wrap; gap: 1.1rem 2.6rem; margin: 0 0 1rem; }
.numbers div { min-width: 0; }
.numbers dt { color: var(--soft); font-size: .85rem; }
.numbers dd { margin: 0; font-size: 1.9rem; line-height: 1.2; font-weight: 650;
  letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.numbers dd small { display: block; font-size: .85rem; font-weight: 400; letter-spacing: 0;
  color: var(--soft); }
dl { margin: 0; }
.box { overflow-x: auto; margin: .8rem 0; -webkit-overflow-scrolling: touch; }
.tall { max-height: 24rem; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th { text-align: right; color: var(--soft); font-weight: 500; font-size: .82rem;
  vertical-align: bottom; }
th, td { padding: .45rem .35rem; border-bottom: 1px solid var(--line); }
td { text-align: right; vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
th:last-child, td:last-child { padding-right: 0; }
tr.ours td { font-weight: 650; color: var(--accent-ink); }
td small { display: block; color: var(--soft); font-weight: 400; font-size: .78rem; }
tr.lead td:first-child, tr.ours td:first-child { white-space: nowrap; }
tr.lead td { border-bottom: 0; padding-bottom: 0; }
tr.detail td { padding-top: .1rem; color: var(--soft); font-size: .86em; }
.name { display: flex; min-width: 8rem; } .name svg { margin-top: .55em; }
.name div { overflow-wrap: anywhere; min-width: 0; }
.tall th { position: sticky; top: 0; background: var(--paper); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono",
  monospace; }
code { font-size: .86em; overflow-wrap: anywhere; }
pre { background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.5; }
pre code { font-size: 1em; overflow-wrap: normal; }
pre.wrapped { white-space: pre-wrap; }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; padding: 0;
  margin: .6rem 0 0; font-size: .86rem; color: var(--soft); }
.keys svg, td svg { vertical-align: .12em; margin-right: .45rem; flex: none; }
h3 { font-size: .98rem; font-weight: 650; margin: 1.8rem 0 .3rem; }
.plot { position: relative; min-width: 0; margin: .4rem 0; }
.tip { position: absolute; z-index: 2; max-width: 20rem; padding: .2rem .5rem; font-size: .78rem;
  background: var(--raised); border: 1px solid var(--line); border-radius: 6px;
  pointer-events: none; font-variant-numeric: tabular-nums; }
.u-cursor-x { border-color: var(--line) !important; }
[hidden] { display: none !important; }
.controls { display: grid; gap: .55rem; margin: 1rem 0 1.4rem; padding: .9rem 1rem;
  background: var(--raised); border: 1px solid var(--line); border-radius: 8px; }
.control { display: grid; grid-template-columns: 9rem 1fr 8.5rem; gap: .8rem; align-items: center;
  font-size: .92rem; }
.check { font-size: .88rem; color: var(--soft); }
.control output { font-variant-numeric: tabular-nums; }
input, select, button { font: inherit; color: inherit; min-width: 0; }
input[type="range"] { accent-color: var(--accent); width: 100%; height: 1.6rem; }
input[type="number"], select, button { background: var(--paper); border: 1px solid var(--line);
  border-radius: 6px; padding: .3rem .5rem; }
button { cursor: pointer; } button:hover { border-color: var(--accent); }
.numbers.small { margin-bottom: .4rem; } .numbers.small dd { font-size: 1.45rem; }
.failed { border-left: 3px solid var(--mark); padding-left: .8rem; }
.buttons { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; max-width: none; }
pre.short { max-height: 15rem; overflow-y: auto; }
@media (min-width: 48rem) { .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } }
.key { display: inline-block; width: 24px; height: 3px; margin-right: .45rem;
  vertical-align: .25em; } .key.accent { background: var(--accent); }
.key.soft { background: repeating-linear-gradient(90deg, var(--soft) 0 6px, transparent 6px 10px); }
ul.caveats { padding-left: 1.15rem; max-width: 42rem; }
ul.caveats li { margin: .4rem 0; }
ul.caveats li::marker { color: var(--accent); }
.command { margin: -1rem 0 1.5rem; } .command code { font-size: .82rem; }
.inputs td { font-size: .8rem; white-space: normal; overflow-wrap: anywhere; text-align: left; }
.inputs th { text-align: left; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media (max-width: 30rem) {
  main { padding: 1.6rem 1rem 3rem; } .numbers dd { font-size: 1.6rem; }
  h2 { margin-top: 2.6rem; } table { font-size: .86rem; } pre { font-size: .76rem; }
  .control { grid-template-columns: 1fr 7rem; gap: .15rem .6rem; }
  .control span { grid-column: 1 / -1; color: var(--soft); font-size: .85rem; }
  .controls { padding: .7rem .8rem; } .numbers { gap: .7rem 1.6rem; }
  th, td { padding: .42rem .18rem; } td svg { width: 15px; margin-right: .3rem; } }
"""

SCRIPTS = (
    "uplot.min.js",
    "words.js",
    "sums.js",
    "schedules.js",
    "mesh.js",
    "law.js",
    "intervals.js",
    "plans.js",
    "snippets.js",
    "charts.js",
    "drawings.js",
    "explorer.js",
)
"""Files of the folder `browser`, in the order in which the page runs them."""

START = "Charts.drawAll(); Explorer.start();"

DRAWING = ("uplot.min.js", "words.js", "charts.js")
"""Those of `SCRIPTS` that draw the charts of a page on which nothing else moves."""


def browser_text(name: str) -> str:
    """The text of a file of the folder `browser`.

    >>> browser_text("law.js").splitlines()[0]
    '// Losses under a law in Volterra form: the formulas of etastar/law/_forms/_volterra_rows.py,'
    """
    return (files("etastar.report") / "browser" / name).read_text(encoding="utf-8")


@cache
def scripts(*, explored: bool) -> str:
    """All scripts of a page; uPlot, by Leon Sorokin, stands under its MIT licence."""
    licence = f"/*\n{browser_text('uplot.LICENSE').strip()}\n*/"
    names, start = (SCRIPTS, START) if explored else (DRAWING, "Charts.drawAll();")
    return "\n".join([licence, *(browser_text(name) for name in names), start])


def page(title: str, body: str, *, explored: bool = False) -> str:
    """A whole HTML document: nothing in it is loaded from elsewhere.

    Arguments:
        title: plain text.
        body: HTML.
        explored: whether the body has the part of a plan that moves.

    >>> page("a < b", "<p>text</p>").count("a &lt; b")
    1
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{browser_text("uplot.min.css")}{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<script>{scripts(explored=explored)}</script>
</body>
</html>
"""


def section(title: str, *parts: str) -> str:
    """A titled part of the page; the parts are HTML."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def html_table(
    head: list[str], rows: list[list[str]], *, classes: list[str] | None = None, tall: bool = False
) -> str:
    """A table in a box of its own, which scrolls where the page is too narrow.

    Cells are HTML, the caller escapes them; `classes` names the class of each row. A row of one
    cell spans the table.
    """
    classes = classes or [""] * len(rows)
    cells = "".join(f"<th>{name}</th>" for name in head)
    lines = [
        f'<tr class="{kind}">{_cells(row, len(head))}</tr>'
        for row, kind in zip(rows, classes, strict=True)
    ]
    return (
        f'<div class="box{" tall" if tall else ""}"><table><thead><tr>{cells}</tr></thead>\n<tbody>'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def _cells(row: list[str], width: int) -> str:
    if len(row) == 1 < width:
        return f'<td colspan="{width}">{row[0]}</td>'
    return "".join(f"<td>{cell}</td>" for cell in row)


def spec_code(spec: str) -> str:
    """A spec string as code that breaks after its commas only; a very long one is cut.

    >>> spec_code("linear:peak=1,horizon=9")
    '<code>linear:peak=1,<wbr>horizon=9</code>'
    """
    shown = spec if len(spec) <= 200 else spec[:197] + "..."
    return f"<code>{html.escape(shown).replace(',', ',<wbr>')}</code>"


def swatch(color: str, dash: str = "solid", width: float = 2.5) -> str:
    """A short drawn line: the key to a line of a figure."""
    pattern = {"dash": "6 3", "dot": "2 3", "dashdot": "6 2 2 2", "longdash": "9 3"}
    pattern["longdashdot"] = "9 2 2 2"
    dashes = f' stroke-dasharray="{pattern[dash]}"' if dash in pattern else ""
    return (
        f'<svg width="24" height="6" aria-hidden="true"><line x1="0" y1="3" x2="24" y2="3" '
        f'stroke="{color}" stroke-width="{width}"{dashes}/></svg>'
    )


def keys(entries: list[tuple[str, str]]) -> str:
    """The key of a figure: swatches with their (escaped) names, wrapping on narrow pages."""
    items = "".join(f"<li>{mark}{html.escape(name)}</li>" for mark, name in entries)
    return f'<ul class="keys">{items}</ul>'
