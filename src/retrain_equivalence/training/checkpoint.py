"""A loop state as files: what an in-stage checkpoint holds. No pickle, no clock; equal states give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load

from retrain_equivalence.core.errors import StoreError
from retrain_equivalence.core.identity import canonical_json
from retrain_equivalence.models.weights import to_safetensors
from retrain_equivalence.training.state import LoopState

TENSORS: Final = "loop.safetensors"
ABOUT: Final = "loop.json"


def to_files(state: LoopState) -> dict[str, bytes]:
    """Return the files of a state: tensors as `weights/NAME`, `moments/NAME`, `memory/NAME`, and counters as JSON."""
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    tensors |= {f"moments/{name}": tensor for name, tensor in state.moments.items()}
    tensors |= {f"memory/{name}": tensor for name, tensor in state.memory.items()}
    about = canonical_json({"step": state.step, "tokens": state.tokens})
    return {TENSORS: to_safetensors(tensors), ABOUT: about.encode()}


def from_files(read: Callable[[str], bytes]) -> LoopState:
    """Return the state that `to_files` wrote.

    Args:
        read: returns the bytes of a named file, verified.

    Raises:
        StoreError: E-STORE-20 if the files are not those of a loop state.
    """
    try:
        tensors, about = load(read(TENSORS)), json.loads(read(ABOUT))
        parts: dict[str, dict[str, object]] = {"weights": {}, "moments": {}, "memory": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        step, tokens = int(about["step"]), int(about["tokens"])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise StoreError.of(
            "E-STORE-20", TENSORS, f"this is not a loop state: {error}", "discard the checkpoint; the stage starts anew"
        ) from error
    return LoopState(step=step, tokens=tokens, **parts)  # type: ignore[arg-type]
