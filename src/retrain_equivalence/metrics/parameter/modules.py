"""Which tensors of a model belong together, and what an adapter adds to the weights.

Parameter distances are given for all weights and for each module, since a distance over everything is that of the
largest tensors. The names of all supported architectures are sorted into

    embed    layers.<k>.attention    layers.<k>.mlp    norms    head    other    and, over all of them, all

LoRA. An adapter adds `(α/r) B A` to a weight. Only the product is defined: `B R⁻¹` and `R A` are the same model for
every invertible R, but other tensors. A distance of raw adapters depends on this choice of gauge, so it can be large
between equal models, and it has a meaning only between runs that started from the same draw of A. Distances in verdicts
are those of merged weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

ALL, EMBED, NORMS, HEAD, OTHER = "all", "embed", "norms", "head", "other"

Tensors = Mapping[str, NDArray[np.floating]]
"""Tensors by name; bfloat16 as float32, since numpy has no such type."""

_LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
_EMBED = {"embed_tokens", "embed_in", "wte", "wpe"}
_HEAD = {"lm_head", "embed_out"}
_ATTENTION = {"self_attn", "attention", "attn"}
_A, _B = re.compile(r"\.lora_A\."), ".lora_B."


def module_of(name: str) -> str:
    """Return the module that a tensor belongs to, from its name.

    Args:
        name: as `named_parameters()` of a model, or of the same model with an adapter, calls it.

    Returns:
        `embed`, `layers.<k>.attention`, `layers.<k>.mlp`, `norms` (of every layer, of queries and keys too), `head`, or
        `other`. A head that is tied to the embedding is part of `embed`, where the model names it.

    >>> module_of("model.layers.3.self_attn.q_proj.weight"), module_of("transformer.h.3.ln_1.bias")
    ('layers.3.attention', 'norms')
    """
    parts = set(name.split("."))
    if any("norm" in part or part.startswith("ln_") for part in parts):
        return NORMS
    if parts & _EMBED:
        return EMBED
    if parts & _HEAD:
        return HEAD
    layer = _LAYER.search(name)
    if layer and parts & _ATTENTION:
        return f"layers.{layer[1]}.attention"
    if layer and "mlp" in parts:
        return f"layers.{layer[1]}.mlp"
    return OTHER


def modules_of(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return module -> names of its tensors, and `all` with every name; layers in order of their number.

    Args:
        names: of a model's tensors.

    Returns:
        `all` first, then what there is of `embed`, the layers, `norms`, `head` and `other`.

    Raises:
        ValueError: if there is no name.

    >>> list(modules_of(["lm_head.weight", "model.layers.10.mlp.up_proj.weight", "model.layers.2.mlp.up_proj.weight"]))
    ['all', 'layers.2.mlp', 'layers.10.mlp', 'head']
    """
    listed = tuple(sorted(names))
    if not listed:
        raise ValueError("a model has at least one tensor")
    found: dict[str, list[str]] = {}
    for name in listed:
        found.setdefault(module_of(name), []).append(name)
    return {ALL: listed, **{module: tuple(found[module]) for module in sorted(found, key=_place)}}


def merged_changes(adapter: Tensors, scale: float) -> dict[str, NDArray[np.floating]]:
    """Return what an adapter adds to each weight, by the weight's name: `scale · B A`.

    Args:
        adapter: pairs `<weight>.lora_A.<adapter>.weight` [r, in] and `<weight>.lora_B.<adapter>.weight` [out, r].
        scale: α/r of the adapter, > 0.

    Returns:
        `<weight>.weight` -> the change, [out, in]. Architectures that store a weight as [in, out] (GPT-2) add its
        transpose, which no norm or cosine sees.

    Raises:
        ValueError: if a tensor has no partner, or is none of an adapter.

    Source: Hu et al. (2021), section 4.1. No deviation.

    >>> adapter = {"q.lora_A.default.weight": np.array([[1.0, 2.0]]), "q.lora_B.default.weight": np.array([[3.0]])}
    >>> merged_changes(adapter, 2.0)["q.weight"].tolist()
    [[6.0, 12.0]]
    """
    firsts = [name for name in sorted(adapter) if _A.search(name)]
    partners = [_A.sub(_B, name) for name in firsts]
    if set(adapter) != {*firsts, *partners}:
        wrong = min(set(adapter) ^ {*firsts, *partners})
        raise ValueError(f"an adapter is pairs of lora_A and lora_B: {wrong} has no partner")
    return {
        f"{_A.split(a)[0].removeprefix('base_model.model.')}.weight": scale * (adapter[b] @ adapter[a])
        for a, b in zip(firsts, partners, strict=True)
    }


def _place(module: str) -> tuple[int, int, str]:
    layer = _LAYER.search(module)
    if layer:
        return (1, int(layer[1]), module)
    return ((EMBED, "", NORMS, HEAD, OTHER).index(module), 0, module)
