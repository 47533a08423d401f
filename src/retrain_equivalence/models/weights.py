"""Weights as named tensors, and as bytes that are the same for the same tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters by name, on the CPU; a tied tensor appears once, under its first name."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.named_parameters()}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` into `model`, in place.

    Raises:
        ValueError: unless names and shapes are exactly the model's.
    """
    copy_into(dict(model.named_parameters()), weights)


def copy_into(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` into the tensors of the same names; every name must occur on both sides, with one shape."""
    if missing := sorted(parameters.keys() ^ weights.keys()):
        side = "missing" if missing[0] in parameters else "unexpected"
        raise ValueError(f"{len(missing)} tensors do not match; {side}: {missing[0]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != weights[name].shape:
                raise ValueError(f"{name}: shape {tuple(weights[name].shape)}, expected {tuple(parameter.shape)}")
            parameter.copy_(weights[name])


def to_safetensors(weights: Mapping[str, Tensor]) -> bytes:
    """Return the safetensors bytes of `weights`: sorted names, fixed metadata, no dependence on insertion order."""
    # One metadata entry only: the library writes several in an order that changes from process to process.
    data: bytes = save({name: weights[name].contiguous() for name in sorted(weights)}, metadata={"format": "pt"})
    return data


def from_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a safetensors file, on the CPU."""
    tensors: dict[str, Tensor] = load_file(path)
    return tensors
