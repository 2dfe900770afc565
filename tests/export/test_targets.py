"""The frameworks are listed once, and every one answers as the others do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from etastar.cli import main
from etastar.export import TARGETS, Target, export_schedule, known_target
from etastar.export._named import NamedShapes
from etastar.schedule import InputError, Schedule

from .frameworks import READ

PLANNED = "examples/gpt/planned.json"


def below(kind: type) -> list[type]:
    """The classes that derive from a class."""
    return [each for child in kind.__subclasses__() for each in (child, *below(child))]


def test_a_class_is_either_abstract_or_final() -> None:
    final = {type(target) for target in TARGETS.values()}
    for kind in (Target, *below(Target)):
        assert inspect.isabstract(kind) != (kind in final)
        assert getattr(kind, "__final__", False) == (kind in final)
    assert all(not kind.__subclasses__() for kind in final)


def test_the_command_and_its_guide_list_every_framework(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    said = " ".join(re.sub(r"[^\w\s,.]", " ", capsys.readouterr().out).split())
    *others, last = TARGETS
    assert f"{', '.join(others)} or {last}." in said
    guide = Path("docs/guides/export.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", guide, flags=re.M)) == set(TARGETS)


def test_each_framework_of_named_schedules_has_a_reader_in_the_tests() -> None:
    """`frameworks.py` computes the rates from the text by the framework's own formula."""
    by_name = {name for name, target in TARGETS.items() if isinstance(target, NamedShapes)}
    assert set(READ) == by_name


def test_a_framework_is_known_by_its_name() -> None:
    for name, target in TARGETS.items():
        assert known_target(name) is target
        assert target.name == name
    with pytest.raises(InputError, match="did you mean 'torchtitan'"):
        known_target("torchtitna")


@pytest.mark.parametrize(
    ("name", "call"), [("keras", "ScheduledRate"), ("lightning", "optimizer_config")]
)
def test_a_framework_that_needs_no_file_has_the_line_to_write(capsys, name, call) -> None:
    with pytest.raises(SystemExit) as end:
        main(["export", PLANNED, "--to", name])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"it takes the schedule from etastar.integrations.{name}; write " in line
    assert call in line
    assert ", ".join(TARGETS) in line
    source = Path(f"src/etastar/integrations/{name}.py").read_text(encoding="utf-8")
    assert re.search(rf"^(class|def) {call}\b", source, flags=re.M)


@pytest.mark.parametrize("to", TARGETS)
def test_every_text_is_at_most_100_wide_but_for_data(to: str) -> None:
    lines = export_schedule(Schedule.load(PLANNED), to).text.splitlines()
    assert max(map(len, lines)) <= 100
