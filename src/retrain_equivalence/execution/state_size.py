"""How large saved states will be, from the shapes of a base model's tensors: before anything was saved."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

from retrain_equivalence.core.errors import MachineError
from retrain_equivalence.execution.specs import BaseSpec, GivenSpec, Spec, StageSpec, UnlearnSpec
from retrain_equivalence.models.directory import weight_files
from retrain_equivalence.models.safetensors_header import BadHeaderError, read_header
from retrain_equivalence.models.tiny import SIZES
from retrain_equivalence.recipes.model import AnyModel, GgufModel, HubModel, LocalModel, Lora, LoraTuning, TinyModel

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape."""

ITEM_BYTES = {"float32": 4, "bfloat16": 2}
ADAPTER_ITEM_BYTES = 4
"""Adapters are kept in float32 whatever the base's type is."""

GGUF_MODULES = {
    "attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj", "ffn_gate": "gate_proj",
    "ffn_up": "up_proj", "ffn_down": "down_proj",
}  # fmt: skip
"""How GGUF calls the linear modules of a Llama-like layer."""


def weight_shapes(model: AnyModel, study_dir: Path) -> Shapes | None:
    """Return the shapes of a base model's tensors, from its size or its files; None where no file tells.

    Args:
        model: which. A hub model is looked up in the local cache only.
        study_dir: relative paths start here.
    """
    match model:
        case TinyModel(tiny=name):
            return _tiny(name)
        case LocalModel(path=path):
            return _folder((study_dir / path).expanduser())
        case GgufModel(gguf=path):
            return _gguf((study_dir / path).expanduser())
        case HubModel():
            from retrain_equivalence.models.hub import snapshot

            try:
                return _folder(snapshot(model.hub, model.revision, offline=True)[0])
            except MachineError:
                return None


def _tiny(name: str) -> Shapes:
    size = SIZES[name]
    width, inner = size.width, size.feed_forward
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (size.vocabulary, width), "norm.weight": (width,)}
    for layer in range(size.layers):
        shapes |= {f"{layer}.{module}.weight": (width, width) for module in ("q_proj", "k_proj", "v_proj", "o_proj")}
        shapes |= {f"{layer}.{module}.weight": (inner, width) for module in ("gate_proj", "up_proj")}
        shapes[f"{layer}.down_proj.weight"] = (width, inner)
        shapes |= {f"{layer}.{norm}.weight": (width,) for norm in ("input_layernorm", "post_attention_layernorm")}
    return shapes


def _folder(folder: Path) -> Shapes | None:
    try:
        headers = [read_header(folder / name) for name in weight_files(folder)]
    except (OSError, ValueError, BadHeaderError):  # what is wrong with the folder, the run says
        return None
    return {name: tensor.shape for header in headers for name, tensor in header.items()}


def _gguf(path: Path) -> Shapes | None:
    if importlib.util.find_spec("gguf") is None:
        return None
    from gguf import GGUFReader

    try:
        tensors = GGUFReader(path).tensors
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return {_hugging_face(tensor.name): tuple(int(n) for n in tensor.shape) for tensor in tensors}


def _hugging_face(name: str) -> str:
    parts = name.split(".")
    return ".".join(GGUF_MODULES.get(part, part) for part in parts)


def saved_bytes(spec: Spec, shapes: Shapes, model: AnyModel) -> float:
    """Return about how many bytes of weights a task keeps; 0 for one that keeps no weights."""
    whole = ITEM_BYTES[model.dtype] * sum(math.prod(shape) for shape in shapes.values())
    match spec:
        case BaseSpec() | GivenSpec():
            return whole
        case StageSpec(tuning=LoraTuning(lora=lora)) if lora.across_stages == "carried":
            return adapter_bytes(lora, shapes)
        case StageSpec():
            return whole
        case UnlearnSpec(tuning=tuning):
            one = adapter_bytes(tuning.lora, shapes) if isinstance(tuning, LoraTuning) else whole
            return one * sum(step > 0 for step in spec.save_at)
        case _:
            return 0


def adapter_bytes(lora: Lora, shapes: Shapes) -> float:
    """Return the bytes of an adapter: `rank (rows + columns)` numbers for each matrix that it is put on."""
    matrices = [shape for name, shape in shapes.items() if len(shape) == 2 and _module(name) in lora.target_modules]
    return float(ADAPTER_ITEM_BYTES * lora.rank * sum(rows + columns for rows, columns in matrices))


def _module(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]
