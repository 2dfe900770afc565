"""The boundaries of the library: who imports whom, how long things are, what names mean."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import etastar
from tests.helpers.imports import (
    FILES,
    SOURCE,
    Import,
    all_imports,
    circles,
    module_of,
    room_of,
    short,
    tree_of,
)

# In the order of the data, the last first: a room may import those after it.
ROOMS = (
    "cli",
    "app",
    "report",
    "planning",
    "watch",
    "export",
    "pilot",
    "control",
    "law",
    "train",
    "integrations",
    "robust",
    "model",
    "runs",
    "schedule",
)
GROUND = {
    "_errors",
    "_files",
    "_json",
    "_checks",
    "_cache",
    "_compiling",
    "_display",
    "_locks",
    "_precision",
    "_provenance",
    "_threads",
}
LONGEST_FILE, LONGEST_FUNCTION = 500, 60
# Words that name nothing in the field.
UNCLEAR = re.compile("crowd|Wishes|Swept|Glance|slowness")


def none_of(problems: Iterator[str], rule: str) -> None:
    """Fail with one line a problem under the rule that they break."""
    found = list(problems)
    assert not found, "\n  ".join([rule + ":", *found])


def test_every_room_has_its_place_in_the_order():
    folders = {room_of(path) for path in FILES} - {""}
    assert folders == set(ROOMS)
    beside = {path.stem for path in FILES if not room_of(path)} - {"__init__"}
    assert beside == GROUND


def test_no_room_imports_one_above_it():
    none_of(
        (str(each) for each in all_imports() if is_upward(each)),
        f"a room imports only those after it in {' > '.join(ROOMS)} and the ground floor",
    )


def is_upward(each: Import) -> bool:
    by, taken = room_of(each.by), room_of(each.file)
    if each.by == SOURCE / "__init__.py" or by == taken != "":
        return False
    if not taken:
        # The package itself is above all rooms.
        return each.file == SOURCE / "__init__.py"
    return not by or ROOMS.index(by) > ROOMS.index(taken)


def test_no_file_imports_itself_by_way_of_others():
    edges = defaultdict(set)
    for each in all_imports():
        # An `__init__.py` with names for type checkers imports them when they are first used.
        lazy = each.by.name == "__init__.py"
        if each.by != SOURCE / "__init__.py" and (lazy or not is_for_types_alone(each)):
            edges[each.by].add(each.file)
    none_of(
        (" <-> ".join(map(short, circle)) for circle in circles(edges)),
        "files import each other in a circle",
    )


def is_for_types_alone(each: Import) -> bool:
    return each.for_types and room_of(each.by) == room_of(each.file)


def test_rooms_share_only_public_names():
    none_of(
        (str(each) for each in all_imports() if is_private(each)),
        "a room takes from another only what is in its __all__, or one of its public files",
    )


def is_private(each: Import) -> bool:
    if room_of(each.file) in ("", room_of(each.by)):
        return False
    inside = each.file.relative_to(SOURCE).with_suffix("").parts
    if any(part.startswith("_") and part != "__init__" for part in inside):
        return True
    if each.name is None:
        return False
    listed = names_in_all(each.file)
    return each.name.startswith("_") or (listed is not None and each.name not in listed)


def names_in_all(path: Path) -> list[str] | None:
    """The names in the `__all__` of a file; None where it has none."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return [] if path.name == "__init__.py" else None


def test_rooms_use_no_private_attribute_of_another():
    none_of(private_attributes(), "a room uses a private name of another room")


def private_attributes() -> Iterator[str]:
    """Uses such as `law._fit`, where `law` is a room."""
    for path in FILES:
        rooms = set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "etastar":
                rooms |= {alias.asname or alias.name for alias in node.names} & set(ROOMS)
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                if node.attr.endswith("__"):
                    continue
                owner = ast.unparse(node.value).removeprefix("etastar.")
                if owner in rooms:
                    yield f"{short(path)}:{node.lineno} uses {ast.unparse(node)}"


def test_no_file_is_too_long():
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    none_of(
        (f"{file} has {length} lines" for file, length in lengths.items() if length > LONGEST_FILE),
        f"a file has up to {LONGEST_FILE} lines",
    )


def test_no_function_is_too_long():
    none_of(long_functions(), f"a function has up to {LONGEST_FUNCTION} lines from its def on")


def long_functions() -> Iterator[str]:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    yield f"{short(path)}:{node.lineno} {node.name} has {length} lines"


def public_modules() -> Iterator[ModuleType]:
    """The package and its rooms."""
    yield etastar
    for room in ROOMS:
        yield importlib.import_module(f"etastar.{room}")


def public_things() -> Iterator[tuple[str, str, Any]]:
    """The module, the name and the value of every public name."""
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            yield module.__name__, name, getattr(module, name)


def test_public_names_are_there_and_in_order():
    for module in public_modules():
        listed = list(getattr(module, "__all__", ()))
        assert len(listed) == len(set(listed)), f"{module.__name__}.__all__ repeats a name"
        missing = [name for name in listed if not hasattr(module, name)]
        assert not missing, f"{module.__name__}.__all__ lists what is not there: {missing}"
        assert (module.__doc__ or "").strip(), f"{module.__name__} has no docstring"


def test_public_names_are_documented():
    none_of(
        (
            f"{module}.{name}"
            for module, name, value in public_things()
            if (inspect.isclass(value) or inspect.isroutine(value)) and not is_documented(value)
        ),
        "a public class or function has a docstring of its own",
    )


def is_documented(value: Any) -> bool:
    own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    # A dataclass without a docstring is given its signature.
    return bool(own) and not own.startswith(f"{value.__name__}(")


def test_no_two_rooms_give_one_name_to_different_things():
    meanings: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for module, name, value in public_things():
        if all(value is not other for _, other in meanings[name]):
            meanings[name].append((module, value))
    none_of(
        (
            f"{name}: {', '.join(module for module, _ in given)}"
            for name, given in meanings.items()
            if len(given) > 1
        ),
        "a public name means one thing",
    )


def test_no_class_name_is_defined_twice():
    places: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                # Each framework has its `RunLogCallback`: one idea, in a file a framework.
                is_framework = room_of(path) == "integrations" and not path.stem.startswith("_")
                places[node.name].add("integrations" if is_framework else short(path))
    none_of(
        (f"{name}: {', '.join(sorted(files))}" for name, files in places.items() if len(files) > 1),
        "a class name is defined once",
    )


@pytest.mark.parametrize(
    "module", ["etastar", "etastar.schedule", "etastar.runs", "etastar.integrations.torch"]
)
def test_what_a_training_job_imports_brings_in_no_jax(module):
    if module.endswith("torch") and not importlib.util.find_spec("torch"):
        pytest.skip("PyTorch is not installed")
    script = f"import sys, {module}; sys.exit('jax was imported' if 'jax' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_are_words_of_the_field():
    none_of(
        (
            f"{short(path)}:{number} says {found.group()}"
            for path in FILES
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if (found := UNCLEAR.search(line))
        ),
        "a word that names nothing in the field",
    )


def test_each_import_that_breaks_a_rule_is_seen():
    """The rules themselves, on imports that nobody makes."""
    law, fit, init = SOURCE / "law/_form.py", SOURCE / "law/_fit.py", SOURCE / "law/__init__.py"
    shape = SOURCE / "schedule/_shapes.py"
    assert is_upward(Import(shape, 1, init, "fit", False))
    assert is_upward(Import(SOURCE / "_files.py", 1, init, "fit", False))
    assert is_upward(Import(law, 1, SOURCE / "__init__.py", None, False))
    assert not is_upward(Import(law, 1, SOURCE / "_json.py", "x", False))
    assert not is_upward(Import(law, 1, shape, "x", False))
    assert is_private(Import(SOURCE / "cli/_plan.py", 1, fit, "fit", False))
    assert is_private(Import(SOURCE / "cli/_plan.py", 1, init, "_fit", False))
    assert is_private(Import(SOURCE / "cli/_plan.py", 1, init, "not_in_all", False))
    assert not is_private(Import(SOURCE / "cli/_plan.py", 1, init, "fit", False))
    assert circles({law: {fit}, fit: {init}, init: {law}, shape: {fit}}) == [
        sorted([law, fit, init])
    ]
    assert module_of(init) == "etastar.law"
