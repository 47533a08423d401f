"""Reference token log-probabilities, computed once per start model: no second model is kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.models.forward import pad, token_logps

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def reference_logps(model: PreTrainedModel, rows: Sequence[Encoded], pad_id: int, batch: int = 16) -> dict[str, Tensor]:
    """Return `log p(y_t | ...)` of every scored target under `model` as it is now.

    Args:
        model: the start model, before its first unlearning step, with every adapter that belongs to it active.
        rows: all rows that will be trained on; ids must be unique.
        pad_id: fills short rows; its value has no effect.
        batch: rows per forward pass, >= 1; rows are taken in length order.

    Returns:
        Row id -> log-probabilities in nats, [n_targets], on the model's device. Another batch than training's rounds
        differently, so a log ratio at step 0 is 0 only up to about 1e-6 per token.
    """
    device = next(model.parameters()).device
    ordered = sorted(range(len(rows)), key=lambda index: (len(rows[index].ids), index))
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for start in range(0, len(ordered), batch):
            chosen = [rows[index] for index in ordered[start : start + batch]]
            logps_BT, mask_BT = token_logps(model, pad(chosen, pad_id).to(device))
            parts = torch.split(logps_BT[mask_BT], [row.n_targets for row in chosen])
            found.update((row.id, part.clone()) for row, part in zip(chosen, parts, strict=True))
    if len(found) != len(rows):
        raise RunError.of("E-RUN-04", "", f"{len(rows) - len(found)} row ids occur twice", "give every row its own id")
    return found


def aligned(reference: Mapping[str, Tensor], rows: Sequence[Encoded], mask_BT: Tensor) -> Tensor:
    """Return the reference log-probabilities at the positions of a padded batch, 0 elsewhere, shape [B, T].

    Raises:
        RunError: E-RUN-04 if a row is missing from `reference` or has another number of targets there.
    """
    parts = [reference.get(row.id) for row in rows]
    values_N = [part for part in parts if part is not None]
    odd = [row.id for row, part in zip(rows, parts, strict=True) if part is None or len(part) != row.n_targets]
    if odd:
        raise RunError.of(
            "E-RUN-04",
            "",
            f"no reference log-probabilities, or another number of them, for {len(odd)} rows, first '{odd[0]}'",
            "compute them from the start model on the very rows that are trained on",
        )
    flat_N = torch.cat(values_N)
    return flat_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, flat_N)
