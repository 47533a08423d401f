"""Negative log-likelihood of retain rows: the retain term of most combined methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import RETAIN_LOGPS, Per, Seen, Terms, token_terms
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainNLL:
    """Mean negative log-likelihood per target token of rows of stages that are kept.

    `L = -(1/N) Σ_{b,t} log π(y_{b,t} | x_b, y_{b,<t})` over the retain rows, N = their scored tokens in the batch.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats) of the retain rows, shape [B, T], with their mask.

    Returns:
        Sum over scored retain tokens and their number; the loss is in nats per token.

    Source:
        The retain loss of gradient difference (Liu, Liu and Stone 2022; TOFU and open-unlearning: "NLL"). Deviations:
        every retain token of the global batch weighs the same, where theirs is a mean of micro-batch means; retain rows
        go through in permutations of the retain set, one for each forget row, where theirs are drawn with replacement.

    Probabilities 1/2 and 1/4: (1 + 2) ln 2 over two tokens.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> half = math.log(0.5)
    >>> observed = Observed(values_BT=torch.tensor([[half, 2 * half]]), mask_BT=torch.ones(1, 2).bool())
    >>> terms = RetainNLL()(Seen({RETAIN_LOGPS: observed}, declared=RetainNLL.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (3.0, 2)
    """

    name: ClassVar[str] = "retain_nll"
    passes: ClassVar[tuple[ForwardPass, ...]] = (RETAIN_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{liu2022continual,
  title     = {Continual Learning and Private Unlearning},
  author    = {Liu, Bo and Liu, Qiang and Stone, Peter},
  booktitle = {Conference on Lifelong Learning Agents},
  year      = {2022}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("NLL retain loss", "gdr regulariser (MUSE)")

    def __call__(self, seen: Seen) -> Terms:
        retain = seen[RETAIN_LOGPS]
        return token_terms(-retain.values_BT, retain)
