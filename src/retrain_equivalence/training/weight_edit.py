"""Arithmetic on weights: the negated task vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_A, ADAPTER_B = ".lora_A.", ".lora_B."


def trainable(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return copies of the trainable weights by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def subtract_task_vector(model: PreTrainedModel, start: Mapping[str, Tensor], strength: float) -> None:
    """Set `θ <- θ_0 - α (θ - θ_0)` in place, on the trainable weights.

    An adapter adds `(alpha / rank) B A` to frozen weights and begins at B = 0, so the edit in weight space is
    `B <- -α B` with A left as it is, exactly.

    Args:
        model: stands at θ.
        start: the trainable weights at θ_0, as `trainable` returned them.
        strength: α, > 0.

    Raises:
        ValueError: if an adapter did not begin at B = 0: its task vector would not be one of B alone.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad or ADAPTER_A in name:
                continue
            if ADAPTER_B in name:
                if bool(start[name].any()):
                    raise ValueError(f"the adapter '{name}' did not begin at zero")
                parameter.mul_(-strength)
            else:
                parameter.copy_(start[name] - strength * (parameter - start[name]))
