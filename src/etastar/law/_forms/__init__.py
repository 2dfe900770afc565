"""The laws, one file each: ours, the solvable model's, and those that others published."""

from etastar._errors import InputError

from ._annealing import AnnealingForm
from ._etastar import EtastarForm, NormalisedForm
from ._form import FLOOR_PRIOR, Form, NoiseMemory, Prior
from ._functional import FunctionalForm
from ._last_iterate import LastIterateForm
from ._multi_power import MultiPowerForm
from ._power import PowerForm
from ._solvable import SolvableForm
from ._steps import At, LossSlopes, Mesh

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        EtastarForm(),
        SolvableForm(),
        PowerForm(),
        AnnealingForm(),
        MultiPowerForm(),
        FunctionalForm(),
        LastIterateForm(),
    )
}
"""Every law by name, our own first: etastar, solvable, power, ... (see `form_named`)."""

OWN = FORMS[EtastarForm.name]
NORMALISED = NormalisedForm()
"""Our own law for runs of several batch sizes under an optimiser that normalises its update."""
SOLVABLE = FORMS[SolvableForm.name]


def form_named(name: str) -> Form:
    """A law by its name.

    Arguments:
        name: a key of `FORMS`.

    Returns: the `Form`.
    Raises: InputError for another name.

    >>> form_named("multi-power").linear
    ('floor', 'bias', 'annealed')
    """
    if name not in FORMS:
        raise InputError(f"no law is named {name!r}; choose one of {', '.join(FORMS)}")
    return FORMS[name]


__all__ = [
    "FLOOR_PRIOR",
    "FORMS",
    "NORMALISED",
    "OWN",
    "SOLVABLE",
    "At",
    "Form",
    "LossSlopes",
    "Mesh",
    "NoiseMemory",
    "Prior",
    "form_named",
]
