"""Negative log-likelihood: the loss of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms, token_terms
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class NLL:
    """Mean negative log-likelihood per target token: what stages are trained with.

    `L = -(1/N) Σ_{b,t} log π(y_{b,t} | x_b, y_{b,<t})`, N = number of scored tokens of the global batch.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats), shape [B, T], with the mask of scored targets.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token.

    Source:
        The shifted cross-entropy of `transformers` (>= 4.46 divides by the tokens of the whole accumulated batch,
        `num_items_in_batch`). Deviations: none in value; targets are marked by position, never by `label == -100`.

    Probabilities 1/2 and 1/4 in one row and 1/8 in another: (1 + 2 + 3) ln 2 over 3 tokens = 2 ln 2.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> half = math.log(0.5)
    >>> observed = Observed(values_BT=torch.tensor([[half, 2 * half], [3 * half, 9.0]]),
    ...                     mask_BT=torch.tensor([[True, True], [True, False]]))
    >>> terms = NLL()(Seen({POLICY_LOGPS: observed}, declared=NLL.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (6.0, 3)
    """

    name: ClassVar[str] = "nll"
    also_called: ClassVar[tuple[str, ...]] = ("SFT", "finetune", "cross-entropy")
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@article{bengio2003neural,
  title   = {A Neural Probabilistic Language Model},
  author  = {Bengio, Yoshua and Ducharme, R{\\'e}jean and Vincent, Pascal and Jauvin, Christian},
  journal = {Journal of Machine Learning Research},
  volume  = {3},
  pages   = {1137--1155},
  year    = {2003}
}"""

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_LOGPS]
        return token_terms(-policy.values_BT, policy)
