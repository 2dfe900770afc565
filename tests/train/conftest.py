"""Fixtures of the trainings: their last weights, and one that is interrupted."""

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import ModuleType

import pytest


@pytest.fixture
def last_weights(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Checksums of the weights at the end of each training in this test."""
    from etastar.train import loop  # needs PyTorch

    checksums = []
    train = loop.train

    def spy(state, *arguments, **options):
        status = train(state, *arguments, **options)
        parts = [p.detach().numpy().tobytes() for p in state.model.parameters()]
        checksums.append(hashlib.sha256(b"".join(parts)).hexdigest())
        return status

    monkeypatch.setattr(loop, "train", spy)
    return checksums


@pytest.fixture
def interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[ModuleType, int], AbstractContextManager[None]]:
    """A context in which the trainings of a module get Ctrl-C in the update of a step."""

    @contextlib.contextmanager
    def context(module: ModuleType, step: int) -> Iterator[None]:
        update = module.update

        def interrupting(state, *arguments):
            if state.step == step:
                os.kill(os.getpid(), signal.SIGINT)
            return update(state, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(module, "update", interrupting)
            yield

    return context
