"""Gradient ascent with a floor: a token that is improbable enough is pushed no further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms, check_positive, token_terms
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedAscent:
    """A hinge on each token's log-probability: gradient ascent above a floor, and nothing below it.

    `L = (1/N) Σ_{b,t} max(0, log π(y_{b,t} | x_b, y_{b,<t}) + nats)`, N = number of scored tokens of the global batch.
    Gradient: that of `ga` on the tokens whose probability is above `e^-nats`, divided by the same N; 0 on the others.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token, and 0 once every token is at the floor.

    Source:
        This example. The ascent is that of Jang et al. 2023; the hinge is ours, so that the loss is bounded below.

    Probabilities 1/2 and 1/16 with the floor at 1/8: (3 - 1) ln 2 and 0.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> two = Observed(values_BT=torch.tensor([[0.5, 1 / 16]]).log(), mask_BT=torch.ones(1, 2).bool())
    >>> terms = BoundedAscent(nats=math.log(8))(Seen({POLICY_LOGPS: two}, declared=BoundedAscent.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (2.0, 2)
    """

    name: ClassVar[str] = "bounded_ascent"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{jang2023knowledge,
  title     = {Knowledge Unlearning for Mitigating Privacy Risks in Language Models},
  author    = {Jang, Joel and Yoon, Dongkeun and Yang, Sohee and Cha, Sungmin and Lee, Moontae and
               Logeswaran, Lajanugen and Seo, Minjoon},
  booktitle = {Proceedings of the 61st Annual Meeting of the Association for Computational Linguistics},
  year      = {2023}
}"""

    nats: float = 6.0
    """The floor, > 0: how far below probability 1 a token's log-probability is pushed at most."""

    def __post_init__(self) -> None:
        check_positive("nats", self.nats)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_LOGPS]
        return token_terms((policy.values_BT + self.nats).clamp(min=0.0), policy)


OBJECTIVES = [BoundedAscent]
