"""Answers by generation: greedy, or sampled from streams that belong to a prompt and not to a batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from retrain_equivalence.core.identity import canonical_json
from retrain_equivalence.models.forward import causal_model
from retrain_equivalence.models.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from retrain_equivalence.models.codec import Codec

BATCH = 32
"""Sequences that are generated together; bounds memory, moves nothing but rounding."""


def generate(
    model: PreTrainedModel,
    codec: Codec,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    samples: int = 1,
    seed: int = 0,
) -> list[list[str]]:
    """Continue each prompt until the end token or `max_new_tokens`.

    A sampled token is `argmax(logits / temperature + g)` with Gumbel noise g, which is a draw from
    `softmax(logits / temperature)`. The noise of a sequence is seeded by (seed, prompt ids, which sample), so a sample
    does not depend on the other prompts, their order or the batch.

    Args:
        model: the model, or an adapted one; its training mode is put back afterwards.
        codec: gives prompt ids and the end token.
        prompts: texts; equal prompts give equal answers.
        max_new_tokens: >= 1, end token included.
        temperature: 0 is greedy (then `samples` must be 1), else > 0.
        samples: answers per prompt, >= 1.
        seed: of the sampling streams, 0 <= seed < 2**63.

    Returns:
        For each prompt its answers, without end token and special tokens.

    Raises:
        ValueError: for several greedy samples, or a temperature below 0 or not finite.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be finite and at least 0, not {temperature}")
    if samples < 1 or (temperature == 0 and samples > 1):
        raise ValueError("greedy generation has exactly one sample; sampling has at least one")
    language_model = causal_model(model)
    encoded = [codec.encode_prompt(prompt) for prompt in prompts]
    wanted = [(row, sample) for row in range(len(prompts)) for sample in range(samples)]
    wanted.sort(key=lambda pair: (len(encoded[pair[0]]), pair))
    answers = [[""] * samples for _ in prompts]
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=codec.end_id,
        pad_token_id=codec.pad_id,
        bos_token_id=codec.begin_id,
    )
    was_training, own_config = language_model.training, language_model.generation_config
    # The library fills unset fields from the checkpoint's own configuration (a repetition penalty, a temperature).
    language_model.generation_config = config
    language_model.eval()
    try:
        for start in range(0, len(wanted), BATCH):
            chunk = wanted[start : start + BATCH]
            rows = [encoded[row] for row, _ in chunk]
            longest = max(map(len, rows))
            ids_BT = torch.full((len(rows), longest), codec.pad_id, dtype=torch.long, device=language_model.device)
            seen_BT = torch.zeros_like(ids_BT)
            for b, ids in enumerate(rows):
                ids_BT[b, longest - len(ids) :] = torch.tensor(ids, device=ids_BT.device)
                seen_BT[b, longest - len(ids) :] = 1
            processors = LogitsProcessorList()
            if temperature > 0:
                processors.append(_Gumbel(temperature, [_stream(seed, encoded[row], sample) for row, sample in chunk]))
            with quiet(), torch.inference_mode():
                out_BT = language_model.generate(
                    ids_BT, attention_mask=seen_BT, generation_config=config, logits_processor=processors
                )
            for (row, sample), ids in zip(chunk, out_BT[:, longest:].tolist(), strict=True):
                end = ids.index(codec.end_id) if codec.end_id in ids else len(ids)
                answers[row][sample] = codec.decode(ids[:end])
    finally:
        language_model.generation_config = own_config
        language_model.train(was_training)
    return answers


def _stream(seed: int, ids: tuple[int, ...], sample: int) -> torch.Generator:
    name = canonical_json([seed, ids, sample])
    value = int.from_bytes(hashlib.sha256(f"retrain-equivalence/sampling/v1\0{name}".encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(value)


class _Gumbel:
    """A logits processor that adds each sequence's own Gumbel noise, so that an argmax samples."""

    def __init__(self, temperature: float, streams: Sequence[torch.Generator]) -> None:
        self.temperature = temperature
        self.streams = streams

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        width = scores.shape[-1]
        exponential = torch.stack([torch.empty(width).exponential_(generator=stream) for stream in self.streams])
        return scores.float() / self.temperature - exponential.log().to(scores.device)
