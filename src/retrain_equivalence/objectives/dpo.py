"""Direct preference optimisation: the preferred answer up, the forget answer down, both relative to the start model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_LOGPS,
    PREFERRED_LOGPS,
    REFERENCE_LOGPS,
    Per,
    Seen,
    Terms,
    check_positive,
    sequence_terms,
)
from retrain_equivalence.recipes.passes import ForwardPass, Split, Weights

PREFERRED_REFERENCE_LOGPS = ForwardPass(split=Split.PREFERRED, weights=Weights.REFERENCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DPO:
    """Preference loss with the forget answer as the rejected side and another answer as the preferred one.

    `L = (1/B) Σ_b -(2/β) log σ( β (Δ_b^w - Δ_b^l) )`, `Δ = log π(y | x_b) - log ref(y | x_b)` summed over the answer's
    tokens, w the preferred answer, l the forget answer to the same prompt, σ the logistic function.
    Gradient weight of either side: `2 σ(β (Δ^l - Δ^w))`.

    Args of `__call__`:
        seen: token log-probabilities (nats) of policy and reference, of forget rows and of preferred answers, shape
            [B, T] each with its own T; row b of both belongs to one prompt.

    Returns:
        Sum over rows and the number of forget rows with a scored target. A preferred answer has at least one token; a
        row without any counts as Δ^w = 0.

    Source:
        Rafailov et al. 2023; as an unlearning loss in Zhang, Lin, Bai and Mei 2024 and open-unlearning `dpo.py`. The
        factor 2/β is theirs and not in the original (`dpo_as_in_tofu` leaves it out): with it, the loss without its
        preferred side (Δ^w = 0) is `npo` exactly. Deviations from open-unlearning: no retain term; the mean is over
        the global batch; a fully masked forget row is no sequence.

    β = 1, Δ^w = ln 3 and Δ^l = 0: -2 log σ(ln 3) = 2 ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> def seen_as(value):
    ...     return Observed(values_BT=torch.tensor([[value]]), mask_BT=torch.ones(1, 1).bool())
    >>> observed = {POLICY_LOGPS: seen_as(-1.0), REFERENCE_LOGPS: seen_as(-1.0), PREFERRED_LOGPS: seen_as(-2.0),
    ...             PREFERRED_REFERENCE_LOGPS: seen_as(-2.0 - math.log(3.0))}
    >>> terms = DPO(beta=1.0)(Seen(observed, declared=DPO.passes))
    >>> round(float(terms.total), 4), round(2 * math.log(4 / 3), 4), terms.count
    (0.5754, 0.5754, 1)
    """

    name: ClassVar[str] = "dpo"
    passes: ClassVar[tuple[ForwardPass, ...]] = (
        POLICY_LOGPS,
        REFERENCE_LOGPS,
        PREFERRED_LOGPS,
        PREFERRED_REFERENCE_LOGPS,
    )
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = """@inproceedings{rafailov2023direct,
  title     = {Direct Preference Optimization: Your Language Model is Secretly a Reward Model},
  author    = {Rafailov, Rafael and Sharma, Archit and Mitchell, Eric and Manning, Christopher D. and Ermon, Stefano
               and Finn, Chelsea},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2023}
}"""

    beta: float = 0.1
    """Inverse temperature β, > 0."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        forget = seen[POLICY_LOGPS]
        rejected_B = forget.sequence_sums_B() - seen[REFERENCE_LOGPS].sequence_sums_B()
        preferred_B = seen[PREFERRED_LOGPS].sequence_sums_B() - seen[PREFERRED_REFERENCE_LOGPS].sequence_sums_B()
        return sequence_terms(logsigmoid(self.beta * (preferred_B - rejected_B)) * (-2.0 / self.beta), forget)
