"""Makes the forward passes that an objective declares, for one micro-batch, and no others.

Design. Passes over the same rows under the same weights share one forward pass through the model, whatever signals they
read. Token log-probabilities of the reference were computed once per start model and are looked up; its distributions
and hidden states are a live pass, without gradient: the adapter switched off, or a frozen copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.models.forward import Padded, observe, pad
from retrain_equivalence.objectives.base import Observed
from retrain_equivalence.recipes.passes import ForwardPass, Split, Weights
from retrain_equivalence.training.companions import Companions
from retrain_equivalence.training.reference import aligned

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Rows = Mapping[Split, Sequence[Encoded]]
"""The rows of one batch or micro-batch, by what they are to the method."""


def missing(passes: Sequence[ForwardPass], companions: Companions, *, adapted: bool) -> str:
    """Return what the passes need and the companions lack, in words; empty if nothing.

    Args:
        passes: of the objective.
        companions: what there is.
        adapted: whether the model carries an adapter, whose absence is the reference.
    """
    for asked in passes:
        if asked.is_looked_up:
            if asked.split not in companions.reference:
                return f"reference log-probabilities of the {asked.split} rows"
        elif asked.weights not in (*companions.frozen, Weights.POLICY, *((Weights.REFERENCE,) if adapted else ())):
            return f"a frozen {asked.weights} model"
        if asked.split is Split.RETAIN and not companions.retain:
            return "retain rows"
        if asked.split is Split.PREFERRED and not companions.preferred:
            return "preferred answers"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMaker:
    """Makes the passes of one objective on one model."""

    model: PreTrainedModel
    companions: Companions
    passes: tuple[ForwardPass, ...]
    pad_id: int
    device: torch.device

    def __call__(self, rows: Rows) -> dict[ForwardPass, Observed]:
        """Return what the declared passes over the splits that `rows` has see."""
        padded = {split: pad(some, self.pad_id).to(self.device) for split, some in rows.items()}
        found: dict[ForwardPass, Observed] = {}
        wanted = [asked for asked in self.passes if asked.split in rows]

        def shares(asked: ForwardPass) -> tuple[str, str, bool]:
            return asked.split, asked.weights, asked.is_looked_up

        for (_, weights, looked_up), group in groupby(sorted(wanted, key=shares), key=shares):
            together = tuple(group)
            batch = padded[together[0].split]
            if looked_up:
                split = together[0].split
                values = aligned(self.companions.reference[split], rows[split], batch.targets_BT)
                seen: Mapping[ForwardPass, Tensor] = dict.fromkeys(together, values)
            else:
                seen = self._live(Weights(weights), batch, together)
            for asked, values_BT in seen.items():
                found[asked] = Observed(values_BT=values_BT, mask_BT=batch.targets_BT, targets_BT=batch.ids_BT)
        return found

    def _live(self, weights: Weights, batch: Padded, asked: tuple[ForwardPass, ...]) -> Mapping[ForwardPass, Tensor]:
        if weights is Weights.POLICY:
            return observe(self.model, batch, asked)
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            model = self.companions.frozen.get(weights)
            if model is None:  # `missing` has made sure that the model is adapted
                stack.enter_context(self.model.disable_adapter())
                model = self.model
            return observe(model, batch, asked)
