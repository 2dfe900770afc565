"""The solvable model: spectrum, exact moments, segments, phases, simulation."""

from ._averaging import averaged_losses
from ._exact import exact_losses, update_moments
from ._loss import loss, segments_of
from ._merge import merged
from ._normalised import adam_losses, sign_losses
from ._phase import Phase, phase
from ._power_law import LinearModel, Model, Modes, PowerLaw, modes_of
from ._segments import Cells, Drift, segment_loss, segment_losses
from ._simulate import simulate
from ._spectrum import Spectrum
from ._spectrum_file import read_spectrum
from ._spectrum_fit import SpectrumFit, fit_spectrum, phase_of
from ._velocity_loss import Segments, VelocityLoss
from ._width import project, project_equivalent

__all__ = [
    "Cells",
    "Drift",
    "LinearModel",
    "Model",
    "Modes",
    "Phase",
    "PowerLaw",
    "Segments",
    "Spectrum",
    "SpectrumFit",
    "VelocityLoss",
    "adam_losses",
    "averaged_losses",
    "exact_losses",
    "fit_spectrum",
    "loss",
    "merged",
    "modes_of",
    "phase",
    "phase_of",
    "project",
    "project_equivalent",
    "read_spectrum",
    "segment_loss",
    "segment_losses",
    "segments_of",
    "sign_losses",
    "simulate",
    "update_moments",
]
