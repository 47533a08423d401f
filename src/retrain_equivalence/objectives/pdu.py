"""PDU: flatten the logits on the forget rows, subject to a bound on the retain loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.flat_logits import FlatLogits
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.objectives.weighted_sum import Dual, Part, WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class PDU:
    """`flat_logits` on the forget rows plus `retain_nll` with a dual variable as its weight.

    `L = L_flat + λ L_retain`, `λ <- max(0, λ + η (L_retain - ε))` after every optimizer step: the primal-dual iteration
    for minimising L_flat subject to L_retain <= ε. λ belongs to the run's state.

    Source:
        Entesari et al. 2025; open-unlearning `pdu.py` (its code falls back to η = 1, ε = 0; its page advises a λ_0 of
        50 or 100, since flattening is quadratic). Deviations: λ moves once per optimizer step, on the loss of the
        global batch, where theirs moves at every micro-batch, or per epoch; their warm-up of λ is not offered; the
        constant -λε is not added to the value; those of the terms.

    >>> pdu = PDU(dual_start=1.0, dual_rate=0.5, retain_bound=2.0).composed()
    >>> memory = pdu.after_step(pdu.init(seed=0, width=1), (7.0, 3.0))
    >>> pdu.weights(memory)
    (1.0, 1.5)
    """

    name: ClassVar[str] = "pdu"
    cite: ClassVar[str] = FlatLogits.cite
    also_called: ClassVar[tuple[str, ...]] = ("primal-dual unlearning",)

    retain_bound: float
    """ε, nats per token: the retain loss that is tolerated, usually the start model's own."""
    dual_start: float = 50.0
    """λ before the first step, >= 0."""
    dual_rate: float = 1.0
    """η, > 0, per optimizer step."""

    def __post_init__(self) -> None:
        self.composed()  # what has no meaning is refused where it is given

    def composed(self) -> WeightedSum:
        dual = Dual(start=self.dual_start, rate=self.dual_rate, bound=self.retain_bound)
        return WeightedSum((Part(objective=FlatLogits()), Part(objective=RetainNLL(), weight=dual)))
