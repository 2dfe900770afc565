"""The laws, one file each: ours, the solvable model's, and those that others published."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from etastar._errors import InputError

from ._etastar import EtastarForm, NormalisedForm
from ._form import FLOOR_PRIOR, At, Form, LossSlopes, Mesh, NoiseMemory, Prior

OWN = EtastarForm()
NORMALISED = NormalisedForm()
"""Our own law for runs of several batch sizes under an optimiser that normalises its update."""

# Each but our own is imported when it is first asked for: they need JAX, which takes a second.
_FILES = {
    "solvable": ("_solvable", "SolvableForm"),
    "power": ("_power", "PowerForm"),
    "annealing": ("_annealing", "AnnealingForm"),
    "multi-power": ("_multi_power", "MultiPowerForm"),
    "functional": ("_functional", "FunctionalForm"),
    "last-iterate": ("_last_iterate", "LastIterateForm"),
}


class _Forms(Mapping[str, Form]):
    """The laws by name, in the order in which they are listed."""

    def __init__(self) -> None:
        self._made: dict[str, Form] = {OWN.name: OWN}

    def __getitem__(self, name: str) -> Form:
        if name not in self._made:
            file, form = _FILES[name]
            self._made[name] = getattr(import_module(f"{__name__}.{file}"), form)()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter((OWN.name, *_FILES))

    def __len__(self) -> int:
        return 1 + len(_FILES)


FORMS: Mapping[str, Form] = _Forms()
"""Every law by name, our own first: etastar, solvable, power, ... (see `form_named`)."""


def form_named(name: str) -> Form:
    """A law by its name.

    Arguments:
        name: a key of `FORMS`.

    Returns: the `Form`.
    Raises: InputError for another name.

    >>> form_named("multi-power").linear
    ('floor', 'bias', 'annealed')
    """
    if name not in set(FORMS):
        raise InputError(f"no law is named {name!r}; choose one of {', '.join(FORMS)}")
    return FORMS[name]


__all__ = [
    "FLOOR_PRIOR",
    "FORMS",
    "NORMALISED",
    "OWN",
    "At",
    "Form",
    "LossSlopes",
    "Mesh",
    "NoiseMemory",
    "Prior",
    "form_named",
]
