"""Weights & Biases: runs of its server, and the `.wandb` files that its client writes."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from etastar._errors import InputError
from etastar._files import place_of

from ._file_text import read_bytes
from ._joined_tables import joined
from ._log_table import LogTable, Reader
from ._tracker import Tracker, distinct, missing_library, table_of_run

SUFFIX = ".wandb"
MAGIC = b":W&B\xe1\xbe\x00"
"""The head of a file: its name, a number, and the version of the format."""
BLOCK = 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""The kinds of piece that a record is written in."""


class WandbFile(Reader):
    """`wandb/offline-run-*/run-*.wandb`: what a client wrote, with or without a server.

    The history of the run becomes rows; nested keys are joined with a point. Its display name is
    the name, its configuration the metadata.
    """

    def accepts(self, path: Path) -> bool:
        return path.suffix.lower() == SUFFIX

    def read(self, path: Path) -> LogTable:
        try:
            from google.protobuf.message import DecodeError
            from wandb.proto import wandb_internal_pb2
        except ImportError:
            raise missing_library(path, "wandb") from None
        records, config, name, cut = [], {}, "", False
        for data in _records(path):
            if data is None:
                cut = True
                break
            try:
                record = wandb_internal_pb2.Record.FromString(data)  # type: ignore[attr-defined]
            except DecodeError:
                raise InputError(f"{path}: a record is not W&B's; copy the file again") from None
            if record.HasField("history"):
                row = {_key(item): _value(item) for item in record.history.item}
                records.append({"_step": record.history.step.num, **row})
            elif record.HasField("run"):
                name = record.run.display_name or name
                config |= {_key(item): _value(item) for item in record.run.config.update}
            elif record.HasField("config"):
                config |= {_key(item): _value(item) for item in record.config.update}
        table = table_of_run(path, name or path.stem.removeprefix("run-"), records, config)
        note = f"{path}: its last record is not whole, as of a run that was killed or goes on"
        return replace(table, caveats=(note,)) if cut else table


def starts_of_one_run(paths: Sequence[Path]) -> list[list[Path]]:
    """The files that a resumed run wrote, one a start, in order; none of runs with one file.

    They are named after the run, each in the folder of its start: `offline-run-TIME-ID`.
    """
    runs: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        if path.suffix.lower() == SUFFIX:
            runs.setdefault((place_of(path).parent.parent, path.stem), []).append(path)
    return [
        sorted(files, key=lambda path: place_of(path).parent.name.removeprefix("offline-"))
        for files in runs.values()
        if len(files) > 1
    ]


def read_starts(starts: Sequence[Path]) -> LogTable:
    """A resumed run from its files in order."""
    whole = joined([WandbFile().read(path) for path in starts])
    note = f"{starts[-1]}: the run was started {len(starts)} times; its files are read as one run"
    return replace(whole, caveats=(*whole.caveats, note))


def _records(path: Path) -> Iterator[bytes | None]:
    """The records of a file; None, and then no more, where it ends within one.

    The framing is that of LevelDB's log: blocks of 32 KiB; in them pieces, each after a checksum
    (CRC-32 of kind and data), its length and its kind; a piece never crosses a block.
    """
    raw = read_bytes(path)
    if not raw.startswith(MAGIC):
        raise InputError(f"{path}: not a W&B file of a version that is known; copy it again")
    at, pieces, kind = len(MAGIC), b"", FULL
    while at < len(raw):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        head = raw[at : at + 7]
        if len(head) < 7:
            yield None
            return
        checksum, length, kind = struct.unpack("<IHB", head)
        data = raw[at + 7 : at + 7 + length]
        if kind == 0 and length == 0 and not any(raw[at:]):  # space kept for what is to come
            return
        if len(data) < length:
            yield None
            return
        if checksum != zlib.crc32(data, zlib.crc32(bytes([kind]))):
            raise InputError(f"{path}: damaged at byte {at}; copy the file again")
        at += 7 + length
        pieces = data if kind in (FULL, FIRST) else pieces + data
        if kind in (FULL, LAST):
            yield pieces
    if kind in (FIRST, MIDDLE):
        yield None


def _key(item: object) -> str:
    return ".".join(item.nested_key) or item.key  # type: ignore[attr-defined]


def _value(item: object) -> object:
    try:
        return json.loads(item.value_json)  # type: ignore[attr-defined]
    except (ValueError, RecursionError):
        return None


class WandbServer(Tracker):
    """`wandb:ENTITY/PROJECT` or `wandb:ENTITY/PROJECT/RUN`, through W&B's public API.

    Who asks is who `wandb login` says; `WANDB_BASE_URL` names another server than W&B's own.
    """

    prefix = "wandb"

    def tables(self, address: str) -> list[LogTable]:
        parts = address.strip("/").split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InputError(
                f"wandb:{address}: name wandb:ENTITY/PROJECT or wandb:ENTITY/PROJECT/RUN, where RUN"
                " is the identifier in the address of the run's page"
            )
        try:
            import wandb
        except ImportError:
            raise missing_library(f"wandb:{address}", "wandb") from None
        try:
            api = wandb.Api()
            path = "/".join(parts)
            # Those of a list lack their configuration.
            paths = [path] if len(parts) == 3 else [f"{path}/{run.id}" for run in api.runs(path)]
            runs = [api.run(path) for path in paths]
            found = [(run.name, run.id, dict(run.config), list(run.scan_history())) for run in runs]
        except Exception as error:  # the client raises errors of its own and of what it is made of
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"wandb:{address}: W&B does not give it ({reason}); check the name, the network,"
                " and `wandb login`"
            ) from None
        logged = [entry for entry in found if entry[3]]
        if not logged:
            raise InputError(f"wandb:{address}: no run with a history; check the name")
        names = distinct([(name or "", identifier) for name, identifier, _, _ in logged])
        return [
            table_of_run(Path(f"wandb:{parts[0]}/{parts[1]}/{identifier}"), name, history, config)
            for name, (_, identifier, config, history) in zip(names, logged, strict=True)
        ]
