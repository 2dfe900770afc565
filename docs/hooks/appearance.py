"""What the site shows: pictures follow the theme, and short code is not broken at its hyphens.

A drawing of `docs/figures/make.py` holds its colours for both, and as an image by itself it follows
the system. For the site each becomes two files, one a theme, and so does a screenshot `NAME.png`
that has a `NAME-dark.png`. Material shows the one whose address ends in `#only-light` or
`#only-dark`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parents[1] / "figures"
QUERY = "@media (prefers-color-scheme: dark)"
CODE = re.compile(r"<code>([^<\n]{1,26})</code>")
IMAGE = re.compile(r'<img ([^>]*?)src="([^"]*figures/)([\w-]+)\.(svg|png)"([^>]*)>')


def on_files(files: Any, *, config: Any) -> Any:
    """Add the light and the dark form of each drawing."""
    from mkdocs.structure.files import File

    for path in FIGURES.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        if QUERY in text:
            for theme, query in (("light", "@media not all"), ("dark", "@media all")):
                files.append(
                    File.generated(
                        config,
                        f"figures/{path.stem}.{theme}.svg",
                        content=text.replace(QUERY, query),
                    )
                )
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Show each picture that has two forms in both, of which the theme hides one.

    Without the class a browser breaks `--horizon` after its hyphens.
    """
    return CODE.sub(r'<code class="unbroken">\1</code>', IMAGE.sub(_both, html))


def _both(image: re.Match[str]) -> str:
    before, folder, name, kind, after = image.groups()
    if kind == "svg" and QUERY in (FIGURES / f"{name}.svg").read_text(encoding="utf-8"):
        names = (f"{name}.light.svg", f"{name}.dark.svg")
    elif kind == "png" and (FIGURES / f"{name}-dark.png").exists():
        names = (f"{name}.png", f"{name}-dark.png")
    else:
        return image[0]
    return "".join(
        f'<img {before}src="{folder}{file}#only-{theme}"{after}>'
        for file, theme in zip(names, ("light", "dark"), strict=True)
    )
