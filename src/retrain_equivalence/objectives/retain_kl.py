"""Divergence from the start model on retain rows: stay where the model was, whatever the rows say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import Per, Seen, Terms, token_terms
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights

RETAIN_DISTRIBUTION = ForwardPass(split=Split.RETAIN, signal=Signal.LOG_DISTRIBUTION)
RETAIN_REFERENCE = ForwardPass(split=Split.RETAIN, weights=Weights.REFERENCE, signal=Signal.LOG_DISTRIBUTION)

DIRECTIONS = ("reference_to_policy", "policy_to_reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainKL:
    """Mean Kullback-Leibler divergence per retain token between the start model and the trained one.

    `L = (1/N) Σ_{b,t} KL(r ‖ π)`, `KL(r ‖ π) = Σ_v r_v (log r_v - log π_v)`, r the frozen start model's next-token
    distribution in place of the target; with `direction: policy_to_reference` it is `KL(π ‖ r)`.

    Args of `__call__`:
        seen: log-distributions (nats) of policy and reference on the retain rows, shape [B, T, V], with their mask.

    Returns:
        Sum over scored retain tokens and their number; the loss is in nats per token, >= 0, 0 at the start model.

    Source:
        The KL retain term of TOFU (Maini et al. 2024, "KL minimization") and open-unlearning (`compute_kl_divergence`,
        KL(reference ‖ policy)). Deviations: theirs has no mask, so prompts and padding count, and divides by B·T; here
        only scored targets count. The direction is a parameter; theirs is `reference_to_policy`.

    Reference (1/2, 1/2) and policy (1/4, 3/4): ½ ln 2 + ½ ln(2/3) = ½ ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> one = torch.ones(1, 1).bool()
    >>> policy = Observed(values_BT=torch.tensor([[[0.25, 0.75]]]).log(), mask_BT=one)
    >>> reference = Observed(values_BT=torch.tensor([[[0.5, 0.5]]]).log(), mask_BT=one)
    >>> seen = Seen({RETAIN_DISTRIBUTION: policy, RETAIN_REFERENCE: reference}, declared=RetainKL.passes)
    >>> round(float(RetainKL()(seen).total), 4), round(0.5 * math.log(4 / 3), 4)
    (0.1438, 0.1438)
    """

    name: ClassVar[str] = "retain_kl"
    passes: ClassVar[tuple[ForwardPass, ...]] = (RETAIN_DISTRIBUTION, RETAIN_REFERENCE)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = """@article{maini2024tofu,
  title   = {{TOFU}: A Task of Fictitious Unlearning for {LLM}s},
  author  = {Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C. and Kolter, J. Zico},
  journal = {arXiv preprint arXiv:2401.06121},
  year    = {2024}
}"""
    also_called: ClassVar[tuple[str, ...]] = ("KL retain loss", "klr regulariser (MUSE, there on raw logits)")

    direction: str = "reference_to_policy"
    """`reference_to_policy`, KL(r ‖ π), or `policy_to_reference`, KL(π ‖ r)."""

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction must be {' or '.join(DIRECTIONS)}, found {self.direction!r}")

    def __call__(self, seen: Seen) -> Terms:
        retain = seen[RETAIN_DISTRIBUTION]
        policy_BTV, reference_BTV = inside(retain), inside(seen[RETAIN_REFERENCE])
        if self.direction == "reference_to_policy":
            one_BTV, two_BTV = reference_BTV, policy_BTV
        else:
            one_BTV, two_BTV = policy_BTV, reference_BTV
        return token_terms((one_BTV.exp() * (one_BTV - two_BTV)).sum(dim=-1), retain)
