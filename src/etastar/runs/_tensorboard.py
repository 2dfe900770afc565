"""TensorBoard event files, through TensorBoard's own loader (extra `tensorboard`)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from etastar._errors import InputError
from etastar._files import is_folder, place_of, read_file

from ._joined_tables import frame_of_series
from ._log_table import LogTable, Reader

_Series = dict[str, tuple[np.ndarray, np.ndarray]]

PREFIX = "events.out.tfevents"


def has_events(folder: Path) -> bool:
    """Whether event files lie directly in a folder: together they are one run."""
    return any(folder.glob(f"{PREFIX}*"))


class TensorBoard(Reader):
    """One event file, or a folder of those that one run wrote (a resumed run writes several).

    Each scalar tag is a column; its steps are its own.
    """

    def accepts(self, path: Path) -> bool:
        return path.name.startswith(PREFIX) or (is_folder(path) and has_events(path))

    def read(self, path: Path) -> LogTable:
        files = sorted(path.glob(f"{PREFIX}*")) if is_folder(path) else [path]
        contents = [read_file(file) for file in files]  # the loader would wait at a pipe for ever
        scalars = _scalars(path)
        if not scalars:
            raise InputError(f"{path}: no scalars in the event file; log the loss as a scalar")
        frame, line = frame_of_series(scalars)
        folder = path if is_folder(path) else place_of(path).parent
        name = place_of(folder).name if is_folder(path) else path.name
        pairs = zip(files, contents, strict=True)
        caveats = tuple(line for each in pairs for line in _left_out(*each, scalars))
        caveats += tuple(_begun_again(files))
        place = "{path} event {line} of the tag"
        return LogTable(path, name, frame, line, place=place, caveats=caveats)


def _begun_again(files: list[Path]) -> list[str]:
    """A caveat where a file begins no later than one before it: they are several runs.

    That of a resumed run begins further on, where the run was left. Of the earlier runs all rows
    are left out in the end, because later rows write their steps again.
    """
    first: dict[str, float] = {}
    group: list[str] = []
    gone: list[str] = []
    for file in files if len(files) > 1 else []:
        begun = {tag: float(step[0]) for tag, (step, _) in _scalars(file).items()}
        if any(step <= first.get(tag, -np.inf) for tag, step in begun.items()):
            gone, group, first = [*gone, *group], [], {}
        group.append(file.name)
        first = {**begun, **first}
    if not gone:
        return []
    return [
        f"{files[0].parent}: holds several runs, as event files begin at the same step; the last is"
        f" taken, from {group[0]} on; left out: {', '.join(gone)}; give each run a folder of its"
        " own, or name its file"
    ]


def _left_out(file: Path, content: bytes, scalars: _Series) -> list[str]:
    """A caveat where the loader stopped within a file, as it does at a damaged record.

    A file is records one after another: eight bytes that say the length of an event, four of a
    checksum, the event, four of a checksum. The loader has gone through all of them where the last
    event with scalars is among those that it gave.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

    at, events = 0, []
    while at + 12 <= len(content):
        end = at + 16 + int.from_bytes(content[at : at + 8], "little")
        if end > len(content):
            break
        events.append((at + 12, end - 4))
        at = end
    if at < len(content):
        rest = len(content) - at
        return [f"{file}: cut or damaged at byte {at}; the last {rest} bytes are left out"]
    damaged = f"{file}: damaged; what follows the damage is left out, write the log again"
    for begin, end in reversed(events):
        try:
            event = Event.FromString(content[begin:end])
        except DecodeError:
            return [damaged]
        steps = [scalars[value.tag][0] for value in event.summary.value if value.tag in scalars]
        if steps:
            return [] if all(event.step in each for each in steps) else [damaged]
    return []


def _scalars(path: Path) -> _Series:
    """Steps and values of each scalar tag, as float64."""
    try:
        from tensorboard.backend.event_processing import event_accumulator
        from tensorboard.util import tensor_util
    except ImportError:
        raise InputError(
            f"{path}: reading event files needs TensorBoard; pip install 'etastar[tensorboard]'"
        ) from None
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    everything = {event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0}
    # Purging would drop rows of a resumed run without a word.
    events = event_accumulator.EventAccumulator(
        str(path), size_guidance=everything, purge_orphaned_data=False
    )
    try:
        events.Reload()
        found = {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        for tag in events.Tags()["tensors"]:
            arrays = [
                (e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)
            ]
            if all(value.ndim == 0 and value.dtype.kind in "fiu" for _, value in arrays):
                found[tag] = [(step, float(value)) for step, value in arrays]
    except Exception as error:  # the loader raises whatever its record parser meets
        reason = type(error).__name__
        raise InputError(f"{path}: not a readable event file ({reason}); check it") from None
    rows = {tag: np.array(pairs, dtype=np.float64) for tag, pairs in found.items() if pairs}
    return {tag: (pairs[:, 0], pairs[:, 1]) for tag, pairs in rows.items() if tag != "step"}
