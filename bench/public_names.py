"""Is every public name in the reference, and does its docstring say what a reader needs?

    python bench/public_names.py

Prints by room what is missing: a line in docs/reference.md; a docstring; a parameter or a field in
it; "Returns"; `InputError` where it can be raised ("Raises: nothing" where every value is checked
already); an example. Then the exit code is 1.
"""

import dataclasses
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

REFERENCE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text(encoding="utf-8")
ROOMS = """schedule runs model robust law control pilot export planning report cli
integrations.torch integrations.optax integrations.transformers integrations.lightning
integrations.keras"""


def raises(function: Any, seen: set[int]) -> bool:
    """Whether functions of ours that it calls by name, or it itself, raise InputError.

    Its docstring is left out: what an example calls, the function need not call.
    """
    function = inspect.unwrap(function)
    ours = isinstance(function, FunctionType) and "etastar" in function.__code__.co_filename
    if not ours or id(function) in seen:
        return False
    seen.add(id(function))
    source = re.sub(r'""".*?"""', "", inspect.getsource(function), flags=re.DOTALL)
    called = [function.__globals__.get(name) for name in re.findall(r"\b(\w+)\(", source)]
    made = [getattr(c, m, None) for c in called for m in ("__init__", "__post_init__")]
    return "raise InputError" in source or any(raises(each, seen) for each in (*called, *made))


def unnamed(kind: str, names: Iterable[str], text: str) -> list[str]:
    """The names that stand nowhere in a docstring, as one line."""
    left = [name for name in names if not re.search(rf"(?<!\w){name}(?!\w)", text)]
    return [f"{kind} not in the docstring: {', '.join(left)}"] if left else []


def of_function(function: FunctionType, around: str = "") -> Iterator[str]:
    """What a docstring lacks; `around` is that of the class, which may say it for a method."""
    document, signature = function.__doc__ or "", inspect.signature(function)
    if not document:
        yield "no docstring"
        return
    taken = [name for name in signature.parameters if name not in ("self", "cls")]
    yield from unnamed("parameters", taken, around + document)
    # "Raises: nothing" is for calls whose arguments were checked when they were made.
    said = re.search("InputError|Raises: nothing", around + document)
    if raises(function, set()) and not said:
        yield "InputError not in the docstring"
    # A docstring that begins with the noun of what is returned says so too.
    said = re.search(r"^(An?|The|What|Whether|Which|How|All) |\b[Rr]eturns?\b|yields", document)
    if not (around or said or signature.return_annotation in (None, "None")):
        yield "no Returns"
    if not around and ">>>" not in document:
        yield "no example"


def of_class(kind: type) -> Iterator[str]:
    """What the docstrings of a class and of its public methods lack."""
    text, data = vars(kind).get("__doc__") or "", dataclasses.is_dataclass(kind)
    document = "" if text.startswith(f"{kind.__name__}(") else text  # one made by @dataclass
    if not document:
        yield "no docstring"
        return
    interface = inspect.isabstract(kind) or getattr(kind, "_is_protocol", False)
    names = [field.name for field in dataclasses.fields(kind)] if data else []
    if not (data or interface) and "__init__" in vars(kind):
        names = [*inspect.signature(vars(kind)["__init__"]).parameters][1:]
    yield from unnamed("fields", (name for name in names if name[0] != "_"), document)
    for name, member in vars(kind).items():
        part = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        # The method of a base says what it is for and what it takes.
        above = any(getattr(getattr(base, name, None), "__doc__", "") for base in kind.__mro__[1:])
        if name[0] != "_" and isinstance(part, FunctionType) and not above:
            text += part.__doc__ or ""
            yield from (f".{name}: {line}" for line in of_function(part, document))
    # Results are shown by the function that returns them, interfaces by what implements them.
    if not (data or interface or ">>>" in text):
        yield "no example"


def of_constant(room: ModuleType, name: str) -> Iterator[str]:
    """A constant's docstring is the string below it in its file."""
    text = "\n\n".join(map(Path.read_text, Path(str(room.__file__)).parent.rglob("*.py")))
    if not re.search(rf'\n{name}\b.* = .*\n(.+\n)*?"""', text):
        yield "no docstring below the constant"


os.environ.setdefault("KERAS_BACKEND", "torch")
rooms: dict[str, ModuleType] = {}
for place in [*ROOMS.split(), ""]:
    try:
        rooms[place] = import_module(f"etastar.{place}".rstrip("."))
    except ImportError as error:
        print(f"skipped: {error}")
listed = re.findall(r"\n::: etastar\.(?:(\S+)\.)?(\w+)", REFERENCE)
shown = {id(getattr(rooms[place], name, rooms)) for place, name in listed if place in rooms}
seen, count = set(), 0
for place, room in rooms.items():
    gone = {name for where, name in listed if where == place} - {*room.__all__}
    lines = [f"{name}: in docs/reference.md, but not public" for name in sorted(gone)]
    for name in room.__all__:
        value = getattr(room, name)
        if id(value) in seen or isinstance(value, ModuleType):
            continue
        seen.add(id(value))
        lines += [] if id(value) in shown else [f"{name}: not in docs/reference.md"]
        lacks = of_class(value) if isinstance(value, type) else of_constant(room, name)
        lacks = of_function(value) if isinstance(value, FunctionType) else lacks
        lines += [f"{name}: {line}".replace(": .", ".") for line in lacks]
    print(f"\n{room.__name__}: {len(lines)} findings", *lines, sep="\n  ")
    count += len(lines)
print(f"\n{len(seen)} public names, {count} findings")
sys.exit(count > 0)
