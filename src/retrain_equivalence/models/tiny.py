"""Llama-architecture models from scratch, small enough for a laptop's minutes.

Design. Width, depth and vocabulary are chosen for the time of a step on one CPU core, not for quality per parameter:
a study trains hundreds of them. Two layers are the least that can copy a name from the context (one attention head
finds, the next one copies). Embeddings are tied. The initialisation reads an explicit generator only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_equivalence.models.quiet import quiet

if TYPE_CHECKING:
    from torch import nn
    from transformers import LlamaConfig, LlamaForCausalLM

CONTEXT = 1024
"""Positions that a tiny model can tell apart."""

INITIAL_STD = 0.02
"""Standard deviation of initial matrices, as in Llama's reference configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinySize:
    """One size of tiny model; parameters include the tied embedding."""

    vocabulary: int
    width: int
    feed_forward: int
    layers: int
    heads: int


SIZES = {
    "nano": TinySize(vocabulary=384, width=32, feed_forward=128, layers=2, heads=2),
    "micro": TinySize(vocabulary=512, width=64, feed_forward=224, layers=2, heads=2),
    "tiny": TinySize(vocabulary=2048, width=128, feed_forward=384, layers=4, heads=4),
}
"""nano 0.045 M, micro 0.15 M, tiny 1.1 M parameters."""


def tiny_config(size: str, vocabulary: int | None = None) -> LlamaConfig:
    """Return the configuration of a size: `nano`, `micro` or `tiny`.

    Args:
        size: which.
        vocabulary: rows of the embedding; None takes the size's own. A tokenizer that ran out of pairs has fewer.
    """
    from transformers import LlamaConfig

    shape = SIZES[size]
    return LlamaConfig(
        vocab_size=shape.vocabulary if vocabulary is None else vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=CONTEXT,
        initializer_range=INITIAL_STD,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=4,
    )


def tiny_model(size: str, seed: int, vocabulary: int | None = None) -> LlamaForCausalLM:
    """Return a freshly initialised model in float32: matrices N(0, 0.02²), norms 1; the global generator is not read.

    Args:
        size: `nano`, `micro` or `tiny`.
        seed: of the initialisation, 0 <= seed < 2**63.
        vocabulary: rows of the embedding; None takes the size's own.
    """
    import torch
    from transformers import LlamaForCausalLM

    # The library's own initialisation draws from the global generator: it is undone, and its draws are hidden.
    with quiet(), torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(tiny_config(size, vocabulary))
    initialise(model, seed)
    return model.eval()


def initialise(model: nn.Module, seed: int) -> None:
    """Draw every matrix of `model` anew in the order of the sorted names, and set every vector (norms) to 1."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:
                parameter.normal_(0.0, INITIAL_STD, generator=generator)
            else:
                parameter.fill_(1.0)


def config_json(model: Any) -> dict[str, Any]:
    """Return a model's configuration as plain JSON data, without notes about where it was loaded from."""
    config: dict[str, Any] = model.config.to_diff_dict()
    for key in ("_name_or_path", "_model_name_or_path", "quantization_config", "transformers_version"):
        config.pop(key, None)
    return config
