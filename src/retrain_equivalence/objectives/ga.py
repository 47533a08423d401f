"""Gradient ascent: the negative log-likelihood of the forget set with the sign turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms, token_terms
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientAscent:
    """Minus the mean negative log-likelihood per target token of the forget rows; unbounded below.

    `L = (1/N) Σ_{b,t} log π(y_{b,t} | x_b, y_{b,<t})`, N = number of scored tokens of the global batch.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token and <= 0.

    Source:
        Jang et al. 2023 (their unlearning objective); Yu et al. 2025 (their code: minus summed cross-entropy over
        summed tokens of the global accumulated batch, which is this); open-unlearning `grad_ascent.py`. Deviation from
        open-unlearning: it takes the token mean of each micro-batch and averages those; here every token of the global
        batch weighs the same.

    Probabilities 1/2, 1/4 and 1/8: -(1 + 2 + 3) ln 2.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> half = math.log(0.5)
    >>> observed = Observed(values_BT=torch.tensor([[half, 2 * half, 3 * half]]), mask_BT=torch.ones(1, 3).bool())
    >>> terms = GradientAscent()(Seen({POLICY_LOGPS: observed}, declared=GradientAscent.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (-6.0, 3)
    """

    name: ClassVar[str] = "ga"
    also_called: ClassVar[tuple[str, ...]] = ("GradAscent", "grad_ascent", "gradient ascent", "negated gradient")
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{jang2023knowledge,
  title     = {Knowledge Unlearning for Mitigating Privacy Risks in Language Models},
  author    = {Jang, Joel and Yoon, Dongkeun and Yang, Sohee and Cha, Sungmin and Lee, Moontae and
               Logeswaran, Lajanugen and Seo, Minjoon},
  booktitle = {Proceedings of the 61st Annual Meeting of the Association for Computational Linguistics},
  year      = {2023},
  eprint    = {2210.01504},
  archiveprefix = {arXiv}
}"""

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_LOGPS]
        return token_terms(policy.values_BT, policy)
