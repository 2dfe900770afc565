"""The page of commands: every command with its arguments and options, from the program itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MARK = "<!-- the commands stand here -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the commands where a page has the mark."""
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, "\n".join(commands()))


def commands() -> Iterator[str]:
    """The lines of all commands, in the order of `etastar --help`."""
    import typer

    from etastar.cli._app import app

    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        own = [each for each in command.params if each.name != "help" and not hidden(each)]
        arguments = [each for each in own if each.param_type_name == "argument"]
        options = [each for each in own if each.param_type_name == "option"]
        words = " ".join(each.metavar or each.name.upper() for each in arguments)
        yield from (f"## etastar {name}", "", as_text(command.help), "")
        words = words.replace("COMMAND", "-- COMMAND")
        yield from ("```text", f"etastar {name} [OPTIONS] {words}", "```", "")
        if arguments:
            yield from ("| argument | meaning |", "| --- | --- |")
            for each in arguments:
                yield f"| `{each.metavar or each.name.upper()}` | {as_text(each.help)} |"
            yield ""
        if options:
            yield from ("| option | meaning |", "| --- | --- |")
        for each in options:
            yield f"| `{shown(each)}` | {meaning(each)} |"
        yield ""


def hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))


def shown(option: Any) -> str:
    """An option with the word for its value."""
    name = max(option.opts, key=len)
    return name if option.is_flag else f"{name} {option.metavar or 'N'}"


def meaning(option: Any) -> str:
    default = option.default
    usual = default is not None and not option.is_flag and not callable(default)
    parts = [as_text(option.help)]
    parts += ["Must be given."] if option.required else []
    parts += [f"Default: `{default}`."] if usual and default not in ((), "") else []
    return " ".join(parts)


def as_text(text: str | None) -> str:
    """One line of Markdown; a table takes no upright bar, and Markdown no stray sign."""
    line = re.sub(r"\s+", " ", text or "").strip()
    line = re.sub(r"(?<!`)\b(\w+=[\w,.:-]+)", r"`\1`", line)
    return line.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
