"""NPO as the MUSE baselines compute it: on raw logits of the whole vocabulary, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import Per, Seen, Terms, check_positive, token_terms
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Weights

POLICY_LOGITS = ForwardPass(signal=Signal.LOGITS)
REFERENCE_LOGITS = ForwardPass(weights=Weights.REFERENCE, signal=Signal.LOGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NPOAsInMUSE:
    """A variant that is not NPO: every logit of every position is pushed below the reference's, whatever the label.

    `L = -(2/β) (1/N) Σ_{b,t} (1/V) Σ_v log σ( β (z^ref_{b,t,v} - z_{b,t,v}) )`, z the policy's and z^ref the start
    model's raw logits in place of the forget targets, V entries of the vocabulary.

    Args of `__call__`:
        seen: raw logits of policy and reference, shape [B, T, V], with the mask of scored targets.

    Returns:
        Sum over scored positions of the mean over the vocabulary, and the number of positions.

    Source:
        The MUSE baselines (Shi et al. 2025) and the MUSE part of SimNPO's code, `iterative.py`. It differs from `npo`:
        logits and not log-probabilities, so a constant added to all of them moves it; no label; a mean over positions
        and vocabulary and not a sum over the sequence. Deviation from theirs: only scored positions count.

    V = 2, β = 1, z^ref = (ln 3, 0), z = (0, 0): -2 · ½ (ln ¾ + ln ½) = ln(8/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> one = torch.ones(1, 1).bool()
    >>> policy = Observed(values_BT=torch.zeros(1, 1, 2), mask_BT=one)
    >>> reference = Observed(values_BT=torch.tensor([[[math.log(3), 0.0]]]), mask_BT=one)
    >>> seen = Seen({POLICY_LOGITS: policy, REFERENCE_LOGITS: reference}, declared=NPOAsInMUSE.passes)
    >>> round(float(NPOAsInMUSE(beta=1.0)(seen).total), 4), round(math.log(8 / 3), 4)
    (0.9808, 0.9808)
    """

    name: ClassVar[str] = "npo_as_in_muse"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGITS, REFERENCE_LOGITS)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@inproceedings{shi2025muse,
  title     = {{MUSE}: Machine Unlearning Six-Way Evaluation for Language Models},
  author    = {Shi, Weijia and Lee, Jaechan and Huang, Yangsibo and Malladi, Sadhika and Zhao, Jieyu and
               Holtzman, Ari and Liu, Daogao and Zettlemoyer, Luke and Smith, Noah A. and Zhang, Chiyuan},
  booktitle = {International Conference on Learning Representations},
  year      = {2025}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("NPO (MUSE baselines)",)

    beta: float = 0.1
    """Inverse temperature β, > 0."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy = seen[POLICY_LOGITS]
        fall_BTV = inside(seen[REFERENCE_LOGITS]) - inside(policy)
        return token_terms(logsigmoid(self.beta * fall_BTV).mean(dim=-1) * (-2.0 / self.beta), policy)
