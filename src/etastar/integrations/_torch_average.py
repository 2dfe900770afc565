"""An average of the weights along a planned run, kept by PyTorch's own `swa_utils`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from etastar._checks import shown, whole
from etastar._errors import InputError
from etastar.schedule import WeightAverage

if TYPE_CHECKING:
    from .torch import ScheduledLR

STATE = ("average", "every", "averaged")


class AveragedWeights:
    """The average of a model's weights, as an `AveragedModel` that follows a `ScheduledLR`.

    Call `update()` after each `scheduler.step()`. `model` is then the averaged copy, to be
    evaluated and saved; the training goes on with the weights as they are. Before a window begins
    `model` is the model itself. The average costs a copy of the weights and, per update, about what
    SGD without momentum does.

    *What is averaged*: `average` is a `WeightAverage` or its text, such as `window:0.2`, the mean
    of the weights after the last fifth of the updates, or `ema:0.05`. Its length counts along the
    schedule, also where that is replanned or goes by samples.

    *Every*: only each `every`-th update counts, for less work; the length stays.

    *Buffers*, such as the statistics of a batch normalisation, are those of the latest weights:
    compute them anew with `torch.optim.swa_utils.update_bn(loader, average.model)`.

    *Resuming*: `state_dict()` holds the averaged weights. `load_state_dict` refuses that of another
    average.

    Raises: InputError for an average that is none, a scheduler without a schedule, a state of
    another average.

    >>> import torch
    >>> from etastar.integrations.torch import ScheduledLR
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> model = torch.nn.ParameterList([weight])
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> scheduler = ScheduledLR(optimizer, "constant:peak=1,horizon=4")
    >>> average = AveragedWeights(model, scheduler, "window:2")
    >>> for gradient in (-4.0, -1.0, -1.0, -2.0):
    ...     weight.grad = torch.tensor([gradient])
    ...     optimizer.step()
    ...     scheduler.step()
    ...     average.update()
    >>> weight.item(), average.model[0].item()
    (8.0, 7.0)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        scheduler: ScheduledLR,
        average: WeightAverage | str,
        *,
        every: int = 1,
    ) -> None:
        if not hasattr(scheduler, "position"):
            raise InputError(f"scheduler must be a ScheduledLR, got {shown(scheduler)}")
        self.average = WeightAverage.parse(average)
        self.every = whole("every", every, 1, unit="update")
        self._scheduler, self._model = scheduler, model
        self._averaged = AveragedModel(model, multi_avg_fn=self._mix)
        self._mean = get_swa_multi_avg_fn()

    @property
    def model(self) -> torch.nn.Module:
        """The model with averaged weights; before a window begins the model itself."""
        return self._averaged.module if self.count else self._model

    @property
    def count(self) -> int:
        """How many times weights were averaged."""
        return int(self._averaged.n_averaged)

    def update(self) -> None:
        """Average the weights as they are, where they count."""
        done = self._scheduler.position
        first = self.average.first(self._scheduler.schedule.horizon)
        if done > first and self._scheduler.last_epoch % self.every == 0:
            self._averaged.update_parameters(self._model)

    def _mix(self, averaged: Any, current: Any, count: Any) -> None:
        length = self.average.updates(self._scheduler.schedule.horizon) / self.every
        if self.average.kind == "window" or count + 1 < length:
            self._mean(averaged, current, count)
        else:
            get_ema_multi_avg_fn(max(1.0 - 1.0 / length, 0.0))(averaged, current, count)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, how many were averaged, and of which average they are."""
        state = self._averaged.state_dict()
        return {"average": self.average.spec, "every": self.every, "averaged": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Raises: InputError where it is none, or of another average.
        """
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(STATE):
            raise InputError(f"not a state of AveragedWeights: it needs {', '.join(STATE)}")
        found = state_dict["average"], state_dict["every"]
        if found != (self.average.spec, self.every):
            raise InputError(
                f"the state is of the average {shown(found[0])} of every {shown(found[1])} updates "
                f"and this one of {self.average.spec} of every {self.every}: give it the same"
            )
        self._averaged.load_state_dict(state_dict["averaged"])
