"""Pieces of the texts that several frameworks share: comments and Bash arrays."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence


def comments(remarks: Sequence[str], indent: str = "") -> str:
    """Remarks as lines that begin with #, at most 98 wide.

    >>> comments(["a remark"])
    '# a remark\\n'
    """
    lines = (line for text in remarks for line in textwrap.wrap(text, 96 - len(indent)))
    return "".join(f"{indent}# {line}\n" for line in lines)


def bash_array(options: Mapping[str, object], remarks: Sequence[str]) -> str:
    """Options as a Bash array, in which comments may stand: COMMAND "${ETASTAR_ARGS[@]}".

    >>> print(bash_array({"--lr": 0.1}, ["a remark"]), end="")
    ETASTAR_ARGS=(
      # a remark
      --lr 0.1
    )
    """
    lines = "".join(f"  {name} {value}\n" for name, value in options.items())
    return f"ETASTAR_ARGS=(\n{comments(remarks, '  ')}{lines})\n"
