"""How the weight decay of an optimiser follows its learning rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from etastar._checks import above, shown
from etastar._errors import InputError, known_names

_ALLOWED = "'coupled', 'decoupled', or a timescale in updates such as 'timescale=5000'"


@dataclass(frozen=True)
class DecayRule:
    """What is held fixed of a weight decay while the learning rate changes.

    AdamW, Muon and SGD shrink the weights by the factor 1 - eta(t) lambda in update t, where eta is
    the learning rate and lambda the optimiser's `weight_decay`.

    - `coupled`: lambda stays as the optimiser was made, so that the shrinking follows the LR.
    - `decoupled`: eta(t) lambda(t) = peak * lambda in every update, whatever the LR is.
    - `timescale=N`: eta(t) lambda(t) = 1/N in every update; N is the number of updates over which a
      weight without gradients falls by the factor e. A weight decay of 0 stays 0.

    Where the LR is 0, no weight decay shrinks anything, and lambda(t) is 0.

    Source: the shrinking by eta lambda, Loshchilov and Hutter, arXiv 1711.05101; its timescale
    1/(eta lambda), Wang and Aitchison, arXiv 2405.13698.

    Attributes:
        text: the rule as the user writes it.
        timescale: N, in updates; None for the others.

    >>> rule = decay_rule("timescale=500")
    >>> rule.product(own=0.1, peak=0.01), rule.at(0.004, own=0.1, peak=0.01)
    (0.002, 0.5)
    >>> decay_rule("decoupled").at(0.001, own=0.1, peak=0.01)
    1.0
    """

    text: str = "coupled"
    timescale: float | None = None

    @property
    def coupled(self) -> bool:
        """Whether the weight decay is left as it is."""
        return self.text == "coupled"

    def product(self, *, own: float, peak: float) -> float:
        """What eta(t) lambda(t) is held at, unless the rule is `coupled`.

        Arguments:
            own: the weight decay that the optimiser was made with.
            peak: the peak LR of what it decays.
        """
        return 1.0 / self.timescale if self.timescale and own else peak * own

    def at(self, rate: float, *, own: float, peak: float) -> float:
        """The weight decay at a learning rate."""
        if self.coupled:
            return own
        return self.product(own=own, peak=peak) / rate if rate > 0 else 0.0


def decay_rule(rule: Any) -> DecayRule:
    """The rule that a text names; see `DecayRule`.

    Raises: InputError for another text, or a timescale below 1 update.

    >>> decay_rule("coupled").coupled
    True
    """
    if rule in ("coupled", "decoupled"):
        return DecayRule(rule)
    word, _, number = rule.partition("=") if isinstance(rule, str) else ("", "", "")
    try:
        timescale = float(number)
    except ValueError:
        timescale = 0.0
    if word.strip() != "timescale" or not timescale:
        raise InputError(f"weight_decay_rule is {shown(rule)}: give {_ALLOWED}")
    above("timescale of the weight decay", timescale, 1.0, hint="it is a number of updates")
    return DecayRule(f"timescale={timescale:.17g}", timescale)


def rules_by_group(rule: Any, names: Iterable[str] | None) -> Mapping[str | None, DecayRule]:
    """The rule of each group: of a mapping by name, in which others are coupled, or one for all.

    Arguments:
        rule: a text, or a mapping from names of groups to texts.
        names: of the groups; None for an optimiser whose groups have no names.

    Raises: InputError as `decay_rule`, and for names that no group has.

    >>> rules_by_group({"adamw": "decoupled"}, ["muon", "adamw"])["muon"].text
    'coupled'
    """
    if not isinstance(rule, Mapping):
        return dict.fromkeys([None] if names is None else names, decay_rule(rule))
    if names is None:
        raise InputError(
            "weight_decay_rule names groups, and the schedule has none: give one of " + _ALLOWED
        )
    names = list(names)
    for name in rule:
        if name not in names:
            raise InputError(f"weight_decay_rule of {shown(name)}: {known_names(name, names)}")
    return {name: decay_rule(rule.get(name, "coupled")) for name in names}
