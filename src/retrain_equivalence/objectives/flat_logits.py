"""Logit flattening: PDU's forget term, which pulls the largest logit down to the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, Per, Seen, Terms, token_terms
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatLogits:
    """Mean squared distance per forget token of the largest logit from the mean logit.

    `L = (1/N) Σ_{b,t} (max_v z_v - (1/V) Σ_v z_v)²`, z the policy's logits; log-probabilities give the same value,
    since a constant added to all of them cancels.

    Args of `__call__`:
        seen: the policy's log-distributions (nats) in place of the forget targets, shape [B, T, V], with the mask.

    Returns:
        Sum over scored tokens and their number; the loss is in squared nats per token, >= 0, 0 where all logits agree.

    Source:
        Entesari et al. 2025 (the logit-margin forget loss of constrained unlearning); open-unlearning `pdu.py`.
        Deviations: theirs reads the logits *at* the label's position, one place late; here those that predict the
        label. The mean is over the tokens of the global batch.

    Policy (1/4, 3/4): (ln ¾ - ½ (ln ¼ + ln ¾))² = (½ ln 3)².

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> policy = Observed(values_BT=torch.tensor([[[0.25, 0.75]]]).log(), mask_BT=torch.ones(1, 1).bool())
    >>> terms = FlatLogits()(Seen({POLICY_DISTRIBUTION: policy}, declared=FlatLogits.passes))
    >>> round(float(terms.total), 4), round((0.5 * math.log(3)) ** 2, 4)
    (0.3017, 0.3017)
    """

    name: ClassVar[str] = "flat_logits"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_DISTRIBUTION,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{entesari2025constrained,
  title     = {Constrained Entropic Unlearning: A Primal-Dual Framework for Large Language Models},
  author    = {Entesari, Taha and Hatami, Arman and Khaziev, Rinat and Ramakrishna, Anil and Fazlyab, Mahyar},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2025}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("logit margin flattening",)

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_DISTRIBUTION]
        logp_BTV = inside(policy)
        return token_terms((logp_BTV.amax(dim=-1) - logp_BTV.mean(dim=-1)).square(), policy)
