"""Simple NPO as published: no reference model, a log-likelihood normalised by length, and a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_LOGPS,
    Per,
    Seen,
    Terms,
    check_positive,
    sequence_terms,
)
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNPO:
    """NPO with the reference replaced by a constant margin and the log-likelihood divided by the response length.

    `L = (1/B) Σ_b -(2/β) log σ( -(β/|y_b|) log π(y_b | x_b) - γ )`, |y_b| = number of scored tokens of row b.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over rows and the number of rows with a scored target; a fully masked row is no sequence (never 0/0).

    Source:
        Fan et al. 2024, the SimNPO loss (code: `OPTML-Group/Unlearn-Simple`; TOFU: β 2.5 for forget05, 4.5 for
        forget10, γ 0). open-unlearning `simnpo.py` writes σ(β(S/|y| - δ)): equal with δ = γ/β. Deviations: no retain
        term (open-unlearning adds one by default); the mean is over the sequences of the global batch. Yu et al. 2025
        call another loss SimNPO: see `simnpo_sequence`.

    Two tokens whose mean negative log-likelihood is (ln 3)/2, with β = 2 and γ = 0: -log σ(ln 3) = ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> values = torch.tensor([[-math.log(3.0), 0.0, 7.0]])
    >>> observed = Observed(values_BT=values, mask_BT=torch.tensor([[True, True, False]]))
    >>> terms = SimNPO(beta=2.0)(Seen({POLICY_LOGPS: observed}, declared=SimNPO.passes))
    >>> round(float(terms.total), 4), round(math.log(4 / 3), 4), terms.count
    (0.2877, 0.2877, 1)
    """

    name: ClassVar[str] = "simnpo"
    also_called: ClassVar[tuple[str, ...]] = ("SimNPO without its retain term", "SimNPO of Fan et al. 2024")
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = """@article{fan2024simplicity,
  title   = {Simplicity Prevails: Rethinking Negative Preference Optimization for {LLM} Unlearning},
  author  = {Fan, Chongyu and Liu, Jiancheng and Lin, Licong and Jia, Jinghan and Zhang, Ruiqi and Mei, Song and
             Liu, Sijia},
  journal = {arXiv preprint arXiv:2410.07163},
  year    = {2024}
}"""

    beta: float = 4.5
    """Inverse temperature β on the mean log-likelihood per token, > 0."""
    gamma: float = 0.0
    """Margin γ inside the logistic function, finite; open-unlearning's δ is γ/β."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        if not math.isfinite(self.gamma):
            raise ValueError(f"gamma must be finite, found {self.gamma}")

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy = seen[POLICY_LOGPS]
        nll_per_token_B = -policy.sequence_sums_B() / policy.tokens_B().clamp(min=1)
        losses_B = logsigmoid(self.beta * nll_per_token_B - self.gamma) * (-2.0 / self.beta)
        return sequence_terms(losses_B, policy)
