"""Log-probabilities of given target tokens, for many texts at once.

Design. Texts are sorted by length and put into batches under two limits: padded tokens, and logits (target tokens times
vocabulary), so that neither long texts nor large vocabularies exhaust memory. Batches depend only on the texts, so the
same items always meet in the same batch and rounding is the same for every state.

Legend: B texts of a batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from retrain_equivalence.data.example import Example
    from retrain_equivalence.models.codec import Codec, Encoded
    from retrain_equivalence.probes.base import Subject

MAX_TOKENS = {"cpu": 512, "cuda": 16384}
"""Padded tokens per forward pass, by device kind: what a core keeps in its cache, what a GPU needs to be busy."""
MAX_LOGITS = 2**25
"""Logits per forward pass: 128 MiB of float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a text costs in a batch."""

    tokens: int
    """Its length."""
    targets: int
    """Tokens at which logits are needed."""


def batches(sizes: Sequence[Size], vocabulary_size: int, device_kind: str) -> Iterator[tuple[int, ...]]:
    """Yield the indices of each batch, shortest texts first; a text above a limit is a batch of its own.

    Args:
        sizes: one per text.
        vocabulary_size: logits per target.
        device_kind: `cpu`, `cuda`; others are treated as `cuda`.
    """
    max_tokens = MAX_TOKENS.get(device_kind, MAX_TOKENS["cuda"])
    order = sorted(range(len(sizes)), key=lambda index: (sizes[index].tokens, index))
    batch: list[int] = []
    targets = 0
    for index in order:
        size = sizes[index]
        too_long = size.tokens * (len(batch) + 1) > max_tokens
        if batch and (too_long or (targets + size.targets) * vocabulary_size > MAX_LOGITS):
            yield tuple(batch)
            batch, targets = [], 0
        batch.append(index)
        targets += size.targets
    if batch:
        yield tuple(batch)


def encode_answer(codec: Codec, example: Example, max_length: int | None) -> Encoded:
    """Return prompt and response with end token, cut to `max_length` tokens but never below one target.

    A probe reads every row that it was given, also one that training drops for its length.
    """
    row = codec.encode(example.prompt, example.response, id=example.id)
    if max_length is None or len(row.ids) <= max_length:
        return row
    return replace(row, ids=row.ids[: max(max_length, row.n_prompt + 1)])


def continue_each(codec: Codec, examples: Sequence[Example], texts: Sequence[str]) -> list[Encoded]:
    """Return every example's prompt followed by every text without an end token: examples first, then texts.

    Each prompt and each text is encoded once. The pieces fit, because a codec encodes a response apart from its prompt.
    """
    from retrain_equivalence.models.codec import Encoded

    after = [row.ids[row.n_prompt :] for row in (codec.encode("", text, end=False) for text in texts)]
    found = []
    for example in examples:
        before = codec.encode_prompt(example.prompt)
        found += [Encoded(id=example.id, ids=(*before, *ids), n_prompt=len(before)) for ids in after]
    return found


def target_logps(subject: Subject, rows: Sequence[Encoded]) -> list[NDArray[np.float64]]:
    """Return the log-probability of every target token of every text, in the order of `rows`.

    `log p(ids[t] | ids[<t])` for `t >= n_prompt`, teacher-forced.

    Args:
        subject: the model in evaluation mode, and its codec.
        rows: encoded texts, each with at least one target.

    Returns:
        One array per text, shape [targets], nats.
    """
    import torch

    from retrain_equivalence.models.forward import pad, token_logps

    sizes = [Size(tokens=len(row.ids), targets=len(row.ids) - row.n_prompt) for row in rows]
    found: list[NDArray[np.float64]] = [np.empty(0)] * len(rows)
    with torch.inference_mode():
        for batch in batches(sizes, int(subject.model.config.vocab_size), subject.model.device.type):
            padded = pad([rows[i] for i in batch], subject.codec.pad_id).to(subject.model.device)
            logps_BT, mask_BT = token_logps(subject.model, padded)
            values_BT, scored_BT = logps_BT.double().cpu().numpy(), mask_BT.cpu().numpy()
            for place, index in enumerate(batch):
                found[index] = values_BT[place][scored_BT[place]]
    return found


def mean_logps(subject: Subject, rows: Sequence[Encoded]) -> list[float]:
    """Return the mean log-probability per target token of every text, nats per token."""
    return [float(logps.mean()) for logps in target_logps(subject, rows)]
