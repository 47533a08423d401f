"""NPO on the mean log-probability per token: length-normalised, as several repositories compute what they call NPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import (
    POLICY_LOGPS,
    REFERENCE_LOGPS,
    Per,
    Seen,
    Terms,
    check_positive,
    sequence_terms,
)
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.recipes.passes import ForwardPass


@dataclass(frozen=True, slots=True, kw_only=True)
class NPOPerToken:
    """`npo` with every log-probability of a row divided by the row's length.

    `L = (1/B) Σ_b -(2/β) log σ( (β/|y_b|) (S_b - S_b^ref) )`, `S_b = -Σ_t log π(y_{b,t} | ...)`, |y_b| the scored
    tokens of row b, S^ref the same under the frozen start model. At one β the log ratio is |y_b| times smaller than in
    `npo`, so the weight stays near 1 for longer: it behaves like `npo` at a smaller β.

    Args of `__call__`:
        seen: token log-probabilities (nats) of policy and reference, shape [B, T], with equal masks.

    Returns:
        Sum over rows and the number of rows with a scored target.

    Source:
        `jammastergirish/unlearning-taxonomy` (`avg_log_prob`). The WMDP part of SimNPO's code and RESTOR apply the same
        to *one* scalar, the mean loss of the whole batch, which is this for a batch of one row and else depends on
        how rows are batched. Deviations: only response tokens count, where unlearning-taxonomy counts the prompt too.

    β = 1, two tokens, S = 2 ln 3, S^ref = 0: -2 log σ(ln 3) = 2 ln(4/3).

    >>> import math, torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> mask = torch.ones(1, 2).bool()
    >>> policy = Observed(values_BT=torch.tensor([[-math.log(3.0), -math.log(3.0)]]), mask_BT=mask)
    >>> reference = Observed(values_BT=torch.zeros(1, 2), mask_BT=mask)
    >>> seen = Seen({POLICY_LOGPS: policy, REFERENCE_LOGPS: reference}, declared=NPOPerToken.passes)
    >>> round(float(NPOPerToken(beta=1.0)(seen).total), 4), round(2 * math.log(4 / 3), 4)
    (0.5754, 0.5754)
    """

    name: ClassVar[str] = "npo_per_token"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS, REFERENCE_LOGPS)
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = NPO.cite
    also_called: ClassVar[tuple[str, ...]] = ("NPO (unlearning-taxonomy)", "NPO on the loss (WMDP code, RESTOR)")

    beta: float = 0.1
    """Inverse temperature β, > 0."""

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, seen: Seen) -> Terms:
        from torch.nn.functional import logsigmoid

        policy, reference = seen[POLICY_LOGPS], seen[REFERENCE_LOGPS]
        excess_nll_B = reference.sequence_sums_B() - policy.sequence_sums_B()
        per_token_B = excess_nll_B / policy.tokens_B().clamp(min=1)
        return sequence_terms(logsigmoid(self.beta * per_token_B) * (-2.0 / self.beta), policy)
