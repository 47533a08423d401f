"""What an unlearning objective may see besides the forget rows and the model: further rows, and frozen models.

Which of it is needed is derived from the objective's passes; a stage is trained without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.recipes.passes import Split, Weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """Everything beside the rows that are trained on; what an objective does not read may be left out."""

    reference: Mapping[Split, Mapping[str, Tensor]] = field(default_factory=dict)
    """Split -> row id -> log-probabilities of the row's targets under the start model, [n_targets]: computed once."""
    retain: Sequence[Encoded] = ()
    """Rows of stages that are kept, with ids of their own."""
    retain_order_seed: int = 0
    """Stream of their order, 0 <= seed < 2**64: equal for all histories of a replicate."""
    preferred: Mapping[str, Encoded] = field(default_factory=dict)
    """Forget row id -> the row with the preferred answer to the same prompt."""
    frozen: Mapping[Weights, PreTrainedModel] = field(default_factory=dict)
    """Live frozen models. An adapted model needs none for the reference: its adapter is switched off."""
    memory_seed: int = 0
    """Of what an objective draws once, 0 <= seed < 2**63."""


ALONE = Companions()
"""No companions: a stage, or a loss on the forget rows alone."""
