"""The playground's page uses scripts of the reports: they are copied into the site at build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BROWSER = Path(__file__).parents[2] / "src" / "etastar" / "report" / "browser"
SHARED = (
    "uplot.min.css",
    "uplot.min.js",
    "uplot.LICENSE",
    "words.js",
    "sums.js",
    "schedules.js",
    "charts.js",
)


def on_files(files: Any, *, config: Any) -> Any:
    """Add the shared scripts beside the playground's own."""
    from mkdocs.structure.files import File

    for name in SHARED:
        source = str(BROWSER / name)
        files.append(File.generated(config, f"playground/{name}", abs_src_path=source))
    return files
