"""Low-rank adapters by `peft`: attach, read, load, merge; nothing reads the global generator.

Names are those of `named_parameters()` of the adapted model, so a training loop that keeps `requires_grad` parameters
by name holds exactly the adapter, and nothing has to be renamed on the way to the store and back.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.models.quiet import quiet
from retrain_equivalence.models.weights import copy_into

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from retrain_equivalence.recipes.model import Lora

ADAPTER = "default"


def attach(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """Wrap `model` with a fresh adapter; only the adapter is trainable afterwards.

    The adapted layer computes `W x + (alpha / rank) B A x`, with A drawn uniformly (Kaiming, a = sqrt 5) and B = 0, so
    the model's output is unchanged at first.

    Args:
        model: changed in place: its linear layers are wrapped.
        lora: rank, alpha, target modules; dropout must be 0.
        seed: of the draw of A, 0 <= seed < 2**63; equal seeds give equal adapters on equal architectures.

    Raises:
        InputError: E-DATA-61 if the model has no module of a name in `target_modules`.
        ValueError: if dropout is not 0, or the model already carries an adapter.

    Source: Hu et al. 2021, section 4.1; initialisation as in `peft`.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    if lora.dropout != 0:
        raise ValueError(f"LoRA dropout must be 0, not {lora.dropout}: it would break pairing by seed")
    if isinstance(model, PeftModel):
        raise ValueError("the model already carries an adapter: merge it first")
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if unknown := [name for name in lora.target_modules if name not in names]:
        linear = sorted(
            {
                n.rpartition(".")[2]
                for n, m in model.named_modules()
                if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"
            }
        )
        raise InputError.of(
            "E-DATA-61", "model.tuning.lora.target_modules", f"the model has no module named '{unknown[0]}'",
            f"Choose among {', '.join(linear)}",
        )  # fmt: skip
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # a float is exact here: peft only divides it by r
        lora_dropout=0.0,
        target_modules=list(lora.target_modules),
        bias="none",
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(type(m).__name__ == "Conv1D" for m in model.modules()),
    )
    with quiet(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft 0.21 reads an attribute that transformers 5.24 has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(_adapter_parameters(adapted).items()):
            if ".lora_A." in name:
                drawn = torch.empty(parameter.shape, dtype=torch.float32)
                nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
                parameter.copy_(drawn)
            else:
                parameter.zero_()
    return adapted


def adapter_weights(model: PeftModel) -> dict[str, Tensor]:
    """Return copies of the adapter's tensors by name, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in _adapter_parameters(model).items()}


def load_adapter(model: PeftModel, weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` into the adapter of `model`, in place.

    Raises:
        ValueError: unless names and shapes are exactly the adapter's.
    """
    copy_into(_adapter_parameters(model), weights)


def merge(model: PeftModel) -> PreTrainedModel:
    """Add the adapter to the weights and return the plain model, all of it trainable again; `model` is used up.

    `W <- W + (alpha / rank) B A`, computed in float32 and rounded once to the type of W.
    """
    from peft.tuners.lora import LoraLayer

    with torch.no_grad(), quiet():
        for module in model.modules():
            if isinstance(module, LoraLayer):
                weight = module.get_base_layer().weight
                change = module.get_delta_weight(ADAPTER).float()
                weight.copy_(weight.float() + change)
        merged: PreTrainedModel = model.unload()
    return merged.requires_grad_(True)


def unmoved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Return the names, sorted, whose tensors are equal before and after training: an adapter that learned nothing."""
    return sorted(name for name in before if torch.equal(before[name], after[name]))


def _adapter_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if ".lora_A." in name or ".lora_B." in name}
