"""Negative preference optimisation: gradient ascent that slows down once the reference is left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_LOGPS,
    REFERENCE_LOGPS,
    Per,
    Seen,
    Terms,
    check_positive,
    sequence_terms,
)
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class NPO:
    """Preference loss with forget responses as the rejected side and no preferred side.

    `L = (1/B) Σ_b -(2/β) log σ( β (S_b - S_b^ref) )`, with `S_b = -Σ_t log π(y_{b,t} | ...)` the summed negative
    log-likelihood of row b, `S_b^ref` the same under the frozen start model, σ the logistic function.
    Gradient: `w_b` times that of sequence-summed gradient ascent, `w_b = 2 π_b^β / (π_b^β + ref_b^β)`, and w -> 1 as
    β -> 0.

    Args of `__call__`:
        seen: token log-probabilities (nats) of policy and reference, shape [B, T], with equal masks.

    Returns:
        Sum over rows and the number of rows with a scored target. Finite for every log ratio: log σ is evaluated
        as `min(z, 0) - log(1 + e^{-|z|})`, never by way of σ.

    Source:
        Zhang, Lin, Bai and Mei 2024, the NPO loss (code: `licong-lin/negative-preference-optimization`; open-unlearning
        `npo.py`). Deviations: no retain term (open-unlearning adds one by default); the mean is over the sequences of
        the global batch, not over micro-batch means; a fully masked row is no sequence instead of the constant
        (2/β) ln 2; reference log-probabilities are computed once from the start model instead of at every step.
        Yu et al. 2025 use the same formula with β = 0.5 as their code's default.

    With β = 1, policy sums -ln 3 and reference 0: -2 log σ(ln 3) = 2 ln(4/3); at the reference itself: 2 ln 2.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> mask = torch.ones(2, 1).bool()
    >>> policy = Observed(values_BT=torch.tensor([[-math.log(3.0)], [-1.0]]), mask_BT=mask)
    >>> reference = Observed(values_BT=torch.tensor([[0.0], [-1.0]]), mask_BT=mask)
    >>> terms = NPO(beta=1.0)(Seen({POLICY_LOGPS: policy, REFERENCE_LOGPS: reference}, declared=NPO.passes))
    >>> round(float(terms.total), 4), round(2 * math.log(4 / 3) + 2 * math.log(2), 4), terms.count
    (1.9617, 1.9617, 2)
    """

    name: ClassVar[str] = "npo"
    also_called: ClassVar[tuple[str, ...]] = ("NPO without its retain term",)
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS, REFERENCE_LOGPS)
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = """@article{zhang2024negative,
  title   = {Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning},
  author  = {Zhang, Ruiqi and Lin, Licong and Bai, Yu and Mei, Song},
  journal = {arXiv preprint arXiv:2404.05868},
  year    = {2024}
}"""

    beta: float = 0.1
    """Inverse temperature β, > 0; small values approach gradient ascent."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy, reference = seen[POLICY_LOGPS], seen[REFERENCE_LOGPS]
        excess_nll_B = reference.sequence_sums_B() - policy.sequence_sums_B()
        return sequence_terms(logsigmoid(self.beta * excess_nll_B) * (-2.0 / self.beta), policy)
