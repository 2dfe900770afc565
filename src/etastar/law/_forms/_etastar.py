"""Our own law."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._form import NoiseMemory, Prior
from ._volterra import VolterraForm


class EtastarForm(VolterraForm):
    """Bias that falls in intrinsic time, noise that a kernel forgets, and the weights' norm.

    Formula: with the learning rate eta and the time t in reference units,

        dn/dt = omega eta (beta eta - n),  n(0) = 1        squared norm of the weights
        e     = eta / sqrt(n),  S = int e^q dt             effective rate, intrinsic time
        bias  = ((S + S_0) / (1 + S_0))^-s
        noise = int e(t)^p (1 + c e(t)^4) K(S - S(t)) dt,  K(u) ~ (1 + u/b)^-(1+g),  int K du = 1

    and the noise of a run is divided by its batch size over the reference's.

    Growth and decay of the norm balance at n = beta eta. An update of Adam moves every weight by
    about eta, and weight decay takes eta wd of it, so that beta eta = eta / (2 wd sigma^2) with
    sigma the weights' standard deviation at the start: 2 to 12 for eta = 1e-3, wd = 0.1 and sigma
    from 0.05 to 0.02. Hence the prior log beta = 1.5 +- 1. A norm that shrinks far below its start
    would raise the effective rate, and the noise near instability, beyond all that was measured.

    Source: the kernel and the bias are those of the power-law random feature model in its Volterra
    form (arXiv 2509.19189); layers that are followed by a normalisation move by eta / norm, and
    their norm obeys the balance of growth and weight decay written above (arXiv 2305.17212).
    """

    name = "etastar"
    # Beyond the bounds the terms do not differ.
    priors: ClassVar = {
        "source": Prior(0.05, 2.5, 0.5, 0.4),  # s: excess loss falls like S^-s
        "memory": Prior(0.0, 0.95, 0.2, 0.1),  # g = 1 - 1/capacity: the kernel falls like u^-(1+g)
        "log_lag": Prior(-14.0, 0.0, -9.0, 3.0),  # log b: where the kernel starts to fall
        "noise_power": Prior(1.0, 3.0, 1.75, 0.3),  # p: noise per step goes as effective rate^p
        "log_origin": Prior(-14.0, -0.5, -6.0, 3.0),  # log S_0: what the initial point is worth
        "log_balance": Prior(-6.0, 9.0, 1.5, 1.0),  # log beta: squared norm where it settles
        "log_decay": Prior(-6.0, 5.0, 0.5, 2.0),  # log omega: how fast (weight decay)
        "time_power": Prior(0.3, 2.0, 1.0, 0.1),  # q: intrinsic time goes as effective rate^q
        "log_instability": Prior(-6.0, 6.0, -3.0, 2.0),  # log c: more noise near instability
    }
    linear = ("floor", "bias", "noise")
    source = "arXiv 2509.19189, with the norm's balance of arXiv 2305.17212"

    def noise_memory(self, theta: np.ndarray, linear: np.ndarray) -> NoiseMemory:
        named = dict(zip(self.names, theta.tolist(), strict=True))
        return NoiseMemory(
            lag=float(np.exp(named["log_lag"])),
            exponent=1.0 + named["memory"],
            power=named["noise_power"],
            level=float(linear[-1]),
        )


class NormalisedForm(EtastarForm):
    """The same law for optimisers that normalise their update, over several batch sizes.

    Per coordinate such an update is g / sqrt(E g^2) with E g^2 = G^2 + sigma^2 / B. With b = B over
    the reference batch size and c = B_crit over it, B_crit = sigma^2 / G^2,

        e     = eta f(b) / sqrt(n),   f(b) = sqrt((1 + c) b / (b + c))
        noise of a step   e^p (1 + c' e^4) (b^-k + d) / (1 + d)

    where d is noise that no batch size averages out. The squared norm n grows by eta^2 as before,
    whatever the batch size. Far below the critical batch size the LR that does the same goes as
    sqrt(B); far above it more batch buys nothing.

    Source: arXiv 1812.06162 for the critical batch size, arXiv 2405.14578 for the LR of Adam; k is
    near 1, as the variance of a mean; d was found by `bench/batch.py`.
    """

    priors: ClassVar = {
        **EtastarForm.priors,
        "log_critical": Prior(-7.0, 9.0, 0.0, 2.0),  # log c: of the critical batch size
        "batch_power": Prior(0.0, 2.0, 1.0, 0.3),  # k: the noise of a step falls as b^-k
        "log_kept": Prior(-8.0, 4.0, -2.0, 2.0),  # log d: but for what no batch averages out
    }
    source = "arXiv 1812.06162 and 2405.14578, with the law at one batch size"
