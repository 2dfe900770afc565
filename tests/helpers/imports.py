"""Which file of the library imports which, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "etastar"
FILES = sorted(SOURCE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import of a file of ours: `name` is what is taken from `file`, or None for all of it."""

    by: Path
    line: int
    file: Path
    name: str | None
    for_types: bool

    def __str__(self) -> str:
        taken = f"{self.name} of " if self.name else ""
        return f"{short(self.by)}:{self.line} imports {taken}{short(self.file)}"


def short(path: Path) -> str:
    """The path within src/etastar."""
    return str(path.relative_to(SOURCE))


def room_of(path: Path) -> str:
    """The folder of a file, or "" for those beside `etastar/__init__.py`."""
    inside = path.relative_to(SOURCE).parts
    return inside[0] if len(inside) > 1 else ""


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def file_of(module: str) -> Path | None:
    """The file of a module of ours, None for other modules and for what is no module."""
    first, *inside = module.split(".")
    if first != "etastar":
        return None
    folder = SOURCE.joinpath(*inside)
    for path in (folder / "__init__.py", folder.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def module_of(path: Path) -> str:
    """The full name of the module in a file."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file of ours in this file, those inside functions too."""
    guarded = set(_guarded_lines(tree_of(path)))
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for file, name in _targets(path, node):
            yield Import(path, node.lineno, file, name, node.lineno in guarded)


def _targets(path: Path, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[Path, str | None]]:
    if isinstance(node, ast.Import):
        found = [(file_of(alias.name), None) for alias in node.names]
    else:
        base = _base(path, node)
        found = [
            (file_of(f"{base}.{alias.name}"), None)
            if file_of(f"{base}.{alias.name}")
            else (file_of(base), alias.name)
            for alias in node.names
        ]
    yield from ((file, name) for file, name in found if file)


def _base(path: Path, node: ast.ImportFrom) -> str:
    """The full name of the module that `from ... import` names."""
    if not node.level:
        return node.module or ""
    package = module_of(path.parent / "__init__.py").split(".")
    above = package[: len(package) - (node.level - 1)]
    return ".".join([*above, node.module] if node.module else above)


def _guarded_lines(tree: ast.Module) -> Iterator[int]:
    """The lines under `if TYPE_CHECKING:`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for inner in node.body:
                yield from range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)


@cache
def all_imports() -> tuple[Import, ...]:
    """Every import of a file of ours in a file of ours."""
    return tuple(each for path in FILES for each in imports_of(path))


def circles(edges: dict[Path, set[Path]]) -> list[list[Path]]:
    """Every group of files that reach each other, the smallest first."""
    reached = {file: _reachable(file, edges) for file in edges}
    groups = {
        frozenset(other for other in reach if file in reached.get(other, ()))
        for file, reach in reached.items()
        if file in reach
    }
    return sorted((sorted(group) for group in groups), key=len)


def _reachable(start: Path, edges: dict[Path, set[Path]]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(edges.get(file, ()))
    return found
