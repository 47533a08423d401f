"""DPO without the factor 2/β: the original form, which TOFU's code uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import Per, Seen, Terms, check_positive
from retrain_equivalence.objectives.dpo import DPO
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOAsInTOFU:
    """`dpo` times β/2: another learning rate under plain steps, nearly the same under Adam.

    `L = (1/B) Σ_b -log σ( β (Δ_b^w - Δ_b^l) )`, symbols as in `dpo`.

    Args of `__call__`:
        seen: as `dpo`.

    Returns:
        Sum over rows and the number of forget rows with a scored target.

    Source:
        Rafailov et al. 2023, equation 7; TOFU's `dataloader.py` (β 0.1). Deviations: those of `dpo` but its factor.

    β = 1, Δ^w = ln 3 and Δ^l = 0: -log σ(ln 3) = ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> from retrain_equivalence.objectives.base import POLICY_LOGPS, PREFERRED_LOGPS, REFERENCE_LOGPS
    >>> from retrain_equivalence.objectives.dpo import PREFERRED_REFERENCE_LOGPS
    >>> def seen_as(value):
    ...     return Observed(values_BT=torch.tensor([[value]]), mask_BT=torch.ones(1, 1).bool())
    >>> observed = {POLICY_LOGPS: seen_as(-1.0), REFERENCE_LOGPS: seen_as(-1.0), PREFERRED_LOGPS: seen_as(-2.0),
    ...             PREFERRED_REFERENCE_LOGPS: seen_as(-2.0 - math.log(3.0))}
    >>> terms = DPOAsInTOFU(beta=1.0)(Seen(observed, declared=DPOAsInTOFU.passes))
    >>> round(float(terms.total), 4), round(math.log(4 / 3), 4)
    (0.2877, 0.2877)
    """

    name: ClassVar[str] = "dpo_as_in_tofu"
    passes: ClassVar[tuple[ForwardPass, ...]] = DPO.passes
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = DPO.cite
    also_called: ClassVar[tuple[str, ...]] = ("DPO (TRL, sigmoid loss)",)

    beta: float = 0.1
    """Inverse temperature β, > 0."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        whole = DPO(beta=self.beta)(seen)
        return Terms(total=whole.total * (self.beta / 2), count=whole.count, per=whole.per)
