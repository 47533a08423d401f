"""Token log-probabilities of a causal language model at scored targets.

Legend: B rows, T tokens of the longest row, N scored targets, V vocabulary.

Design. Rows are padded on the right and no attention mask is passed: a causal model never looks right, so padding
cannot reach a scored position, and the mask-free path of `sdpa` is the fast one. The output projection, most of the
work of a small model with a large vocabulary, is applied to the N scored positions only. Gradients flow unless the
caller disables them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.recipes.passes import ForwardPass, Signal

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Padded:
    """A batch, padded on the right."""

    ids_BT: Tensor
    """Token ids, int64."""
    targets_BT: Tensor
    """True where `ids_BT` holds a scored target; always False in column 0 and in padding."""

    @property
    def n_targets(self) -> int:
        """How many targets are scored in the whole batch."""
        return int(self.targets_BT.sum())

    def to(self, device: torch.device | str) -> Padded:
        """Return the batch on `device`."""
        return Padded(ids_BT=self.ids_BT.to(device), targets_BT=self.targets_BT.to(device))


def pad(rows: Sequence[Encoded], pad_id: int) -> Padded:
    """Pad `rows` to the longest; the mask follows positions, never the value of `pad_id`.

    Raises:
        ValueError: for no rows, or a row whose first id would be scored (nothing predicts it).
    """
    if not rows:
        raise ValueError("a batch needs at least one row")
    if any(row.n_prompt < 1 for row in rows):
        raise ValueError("the first id of a row cannot be scored: nothing comes before it")
    longest = max(len(row.ids) for row in rows)
    ids_BT = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    targets_BT = torch.zeros((len(rows), longest), dtype=torch.bool)
    for b, row in enumerate(rows):
        ids_BT[b, : len(row.ids)] = torch.tensor(row.ids, dtype=torch.long)
        targets_BT[b, row.n_prompt : len(row.ids)] = True
    return Padded(ids_BT=ids_BT, targets_BT=targets_BT)


def token_logps(model: PreTrainedModel, padded: Padded) -> tuple[Tensor, Tensor]:
    """Return `log p(ids[t] | ids[<t])` at the scored targets.

    Returns:
        `(logps_BT, mask_BT)`: natural logarithms in float32 (float64 for a float64 model), exactly 0 elsewhere; the
        mask is `padded.targets_BT`.
    """
    logits_NV, flat_N = _scored_logits(model, padded)
    targets_N = padded.ids_BT.reshape(-1).index_select(0, flat_N)
    logps_N = -F.cross_entropy(logits_NV, targets_N, reduction="none")
    logps_BT = logps_N.new_zeros(padded.ids_BT.numel()).index_copy(0, flat_N, logps_N).view_as(padded.ids_BT)
    return logps_BT, padded.targets_BT


def log_distributions(model: PreTrainedModel, padded: Padded) -> tuple[Tensor, Tensor]:
    """Return the whole next-token log-distribution at every scored target.

    Returns:
        `(logp_NV, index_N2)`: natural logarithms, and for each line the `(row, position)` of the target that it
        predicts, in row-major order.
    """
    logits_NV, flat_N = _scored_logits(model, padded)
    width = padded.ids_BT.shape[1]
    index_N2 = torch.stack((flat_N // width, flat_N % width), dim=1)
    return F.log_softmax(logits_NV, dim=-1), index_N2


def observe(model: PreTrainedModel, padded: Padded, passes: Iterable[ForwardPass]) -> dict[ForwardPass, Tensor]:
    """Return what several passes over the same rows under the same weights see, from one forward pass.

    Args:
        model: whose weights they are.
        padded: the rows.
        passes: of one split and one kind of weights; they differ in signal and layer.

    Returns:
        For token log-probabilities [B, T]; for distributions and logits [B, T, V], 0 outside the scored targets; for
        hidden states [B, T, D], the residual stream after a layer at every position, the targets' own included (layer 0
        is the embedding, the last one is after the final norm, as `transformers` numbers them).
    """
    asked = tuple(passes)
    if all(one.signal is Signal.TOKEN_LOGPS for one in asked):
        logps_BT, _ = token_logps(model, padded)
        return dict.fromkeys(asked, logps_BT)
    layers_BTD: tuple[Tensor, ...] = ()
    if any(one.signal is Signal.HIDDEN for one in asked):
        # The last token is read in too: its hidden state is asked for, although nothing is predicted after it.
        body = causal_model(model).base_model
        layers_BTD = body(input_ids=padded.ids_BT, use_cache=False, output_hidden_states=True).hidden_states
    found: dict[ForwardPass, Tensor] = {}
    logits_NV: Tensor | None = None
    for one in asked:
        if one.signal is Signal.HIDDEN:
            assert one.layer is not None
            hidden_BTD = layers_BTD[one.layer]
            found[one] = hidden_BTD if hidden_BTD.dtype is torch.float64 else hidden_BTD.float()
            continue
        if logits_NV is None:
            logits_NV, flat_N = _scored_logits(model, padded, layers_BTD[-1] if layers_BTD else None)
        if one.signal is Signal.TOKEN_LOGPS:
            targets_N = padded.ids_BT.reshape(-1).index_select(0, flat_N)
            values_N = -F.cross_entropy(logits_NV, targets_N, reduction="none")
        else:
            values_N = logits_NV if one.signal is Signal.LOGITS else F.log_softmax(logits_NV, dim=-1)
        shape = (padded.ids_BT.numel(), *values_N.shape[1:])
        found[one] = values_N.new_zeros(shape).index_copy(0, flat_N, values_N).view(*padded.ids_BT.shape, *shape[1:])
    return found


def _scored_logits(model: PreTrainedModel, padded: Padded, hidden_BTD: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the logits that predict the scored targets [N, V] and the targets' flat positions [N].

    Args:
        model: whose weights they are.
        padded: the rows.
        hidden_BTD: the last hidden states at all T positions, if they were computed already.
    """
    language_model = causal_model(model)
    width = padded.ids_BT.shape[1]
    flat_N = padded.targets_BT.reshape(-1).nonzero().squeeze(1)
    if hidden_BTD is None:
        hidden_BTD = language_model.base_model(input_ids=padded.ids_BT[:, :-1], use_cache=False)[0]
    else:
        hidden_BTD = hidden_BTD[:, :-1]
    # Target (b, t) is predicted at (b, t - 1), and the last column is left out: a row has width - 1 positions.
    rows_N = flat_N // width
    hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, flat_N - rows_N - 1)
    logits_NV = language_model.get_output_embeddings()(hidden_ND)
    if (cap := getattr(language_model.config, "final_logit_softcapping", None)) is not None:  # Gemma 2
        logits_NV = torch.tanh(logits_NV / cap) * cap
    return logits_NV if logits_NV.dtype is torch.float64 else logits_NV.float(), flat_N


def causal_model(model: Any) -> Any:
    """Return the `transformers` model inside a `peft` wrapper (adapters stay active), or the model itself."""
    # Importing peft takes a second; a model of its kind can only exist once somebody has.
    peft = sys.modules.get("peft")
    return model.get_base_model() if peft is not None and isinstance(model, peft.PeftModel) else model
