"""Descent on "I don't know" answers to the forget prompts: a fixed target, the same for every history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import PREFERRED_LOGPS, Per, Seen, Terms, token_terms
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class IDK:
    """Mean negative log-likelihood per token of an answer that declines, given the forget prompt.

    `L = -(1/N) Σ_{b,t} log π(w_{b,t} | x_b, w_{b,<t})`, w_b the package's "I don't know" answer of row b, N = their
    tokens in the global batch.

    Args of `__call__`:
        seen: the policy's token log-probabilities (nats) of the preferred answers, shape [B, T], with their mask.

    Returns:
        Sum over the answers' tokens and their number; the loss is in nats per token.

    Source:
        Maini et al. 2024 ("IDK"). Deviations: theirs is one mean over IDK answers and retain rows together; here the
        retain part is a term of its own (`retain_nll` in a `weighted_sum`), so that the weights are stated. The answers
        are this package's own wordings, given to rows by their ids.

    Probabilities 1/2 and 1/8: (1 + 3) ln 2 over two tokens.

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> half = math.log(0.5)
    >>> observed = Observed(values_BT=torch.tensor([[half, 3 * half]]), mask_BT=torch.ones(1, 2).bool())
    >>> terms = IDK()(Seen({PREFERRED_LOGPS: observed}, declared=IDK.passes))
    >>> round(float(terms.total) / math.log(2), 4), terms.count
    (4.0, 2)
    """

    name: ClassVar[str] = "idk"
    passes: ClassVar[tuple[ForwardPass, ...]] = (PREFERRED_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@article{maini2024tofu,
  title   = {{TOFU}: A Task of Fictitious Unlearning for {LLM}s},
  author  = {Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C. and Kolter, J. Zico},
  journal = {arXiv preprint arXiv:2401.06121},
  year    = {2024}
}"""
    answers: ClassVar[str] = "idk"
    also_called: ClassVar[tuple[str, ...]] = ("IDK fine-tuning", "rejection tuning", "relabelling")

    def __call__(self, seen: Seen) -> Terms:
        answer = seen[PREFERRED_LOGPS]
        return token_terms(-answer.values_BT, answer)
