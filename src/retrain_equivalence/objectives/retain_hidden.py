"""RMU's retain term: keep the hidden states of retain answers where the start model has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from retrain_equivalence.objectives.base import Per, Seen, Terms
from retrain_equivalence.objectives.hidden_gap import hidden_terms
from retrain_equivalence.objectives.rmu_forget import RMUForget
from retrain_equivalence.objectives.scored_entries import inside
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainHidden:
    """Mean squared distance of the retain answers' hidden states from those of the start model.

    `L = (1/B) Σ_b (1/n_b) Σ_t (1/D) Σ_d (h_{b,t,d} - h^ref_{b,t,d})²` over the retain rows, after `layer`.

    Args of `__call__`:
        seen: hidden states of policy and reference on the retain rows after `layer`, shape [B, T, D], with the mask.

    Returns:
        Sum over retain rows and the number of those with a scored target; 0 at the start model.

    Source:
        Li et al. 2024 (RMU's retain loss); open-unlearning `rmu.py`, "EMBED_DIFF". Deviations: as `rmu_forget`.

    D = 2, h - h_ref = (3, 4) at one of two tokens, 0 at the other: ½ (9 + 16)/2.

    >>> import torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> loss, mask = RetainHidden(layer=1), torch.ones(1, 2).bool()
    >>> policy = Observed(values_BT=torch.tensor([[[3.0, 4.0], [1.0, 1.0]]]), mask_BT=mask)
    >>> reference = Observed(values_BT=torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]), mask_BT=mask)
    >>> seen = Seen(dict(zip(loss.passes, (policy, reference))), declared=loss.passes)
    >>> round(float(loss(seen).total), 4), loss(seen).count
    (6.25, 1)
    """

    name: ClassVar[str] = "retain_hidden"
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = RMUForget.cite
    also_called: ClassVar[tuple[str, ...]] = ("EMBED_DIFF (open-unlearning)",)

    layer: int
    """After which layer, 0 (the embedding) to the model's number of layers."""

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise ValueError(f"layer must be at least 0, found {self.layer}")

    @property
    def passes(self) -> tuple[ForwardPass, ...]:
        """Hidden states of the retain rows after the layer, of policy and reference."""
        return tuple(
            ForwardPass(split=Split.RETAIN, weights=weights, signal=Signal.HIDDEN, layer=self.layer)
            for weights in (Weights.POLICY, Weights.REFERENCE)
        )

    def __call__(self, seen: Seen) -> Terms:
        policy, reference = (seen[asked] for asked in self.passes)
        return hidden_terms(policy, inside(reference))
