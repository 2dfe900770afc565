"""TensorBoard event files, through TensorBoard's own loader (extra `tensorboard`)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from etastar._errors import InputError
from etastar._files import is_folder, open_file, place_of

from ._joined_tables import frame_of_series
from ._log_table import LogTable, Reader

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
        for file in sorted(path.glob(f"{PREFIX}*")) if is_folder(path) else [path]:
            with open_file(file):
                pass  # the loader would wait at a pipe for ever
        scalars = _scalars(path)
        if not scalars:
            raise InputError(f"{path}: no scalars in the event file; log the loss as a scalar")
        frame, line = frame_of_series(scalars)
        folder = path if is_folder(path) else place_of(path).parent
        name = place_of(folder).name if is_folder(path) else path.name
        return LogTable(path, name, frame, line, place="{path} event {line} of the tag")


def _scalars(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
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
