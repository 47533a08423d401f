"""Maximum entropy: descent to the uniform distribution on the forget answers, the same target for every history."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, Per, Seen, Terms, token_terms
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform:
    """Mean divergence per forget token of the policy from the uniform distribution over the vocabulary.

    `L = (1/N) Σ_{b,t} KL(U ‖ π)`, `KL(U ‖ π) = -log V - (1/V) Σ_v log π_v`, V tokens in the vocabulary.

    Args of `__call__`:
        seen: the policy's log-distributions (nats) in place of the forget targets, shape [B, T, V], with the mask.

    Returns:
        Sum over scored tokens and their number; the loss is in nats per token, >= 0, 0 at the uniform distribution.

    Source:
        Yuan et al. 2025 (ME; code: `sail-sg/closer-look-LLM-unlearning`). Deviations: no retain term; the mean is over
        the tokens of the global batch.

    Policy (1/4, 3/4): -ln 2 - ½ (ln ¼ + ln ¾) = ½ ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> policy = Observed(values_BT=torch.tensor([[[0.25, 0.75]]]).log(), mask_BT=torch.ones(1, 1).bool())
    >>> terms = Uniform()(Seen({POLICY_DISTRIBUTION: policy}, declared=Uniform.passes))
    >>> round(float(terms.total), 4), round(0.5 * math.log(4 / 3), 4)
    (0.1438, 0.1438)
    """

    name: ClassVar[str] = "uniform"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_DISTRIBUTION,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{yuan2025closer,
  title     = {A Closer Look at Machine Unlearning for Large Language Models},
  author    = {Yuan, Xiaojian and Pang, Tianyu and Du, Chao and Chen, Kejiang and Zhang, Weiming and Lin, Min},
  booktitle = {International Conference on Learning Representations},
  year      = {2025}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("ME", "maximising entropy")

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_DISTRIBUTION]
        logp_BTV = inside(policy)
        return token_terms(-logp_BTV.mean(dim=-1) - math.log(logp_BTV.shape[-1]), policy)
