"""What the base model is, by kind, and how it is tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.recipes.dataset import TextDataset
from retrain_equivalence.recipes.training import TrainingRecipe

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021) by `peft`."""

    rank: int
    """>= 1."""
    alpha: float
    """Scale is alpha / rank; > 0."""
    dropout: float = 0.0
    """Only 0 is accepted: dropout would break pairing by seed."""
    target_modules: tuple[str, ...] = ALL_LINEAR
    """Names of the linear modules that get an adapter."""
    across_stages: Literal["carried", "merged"] = "carried"
    """One adapter carried across stages (as in the paper), or merged into the weights after each stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraTuning:
    """Tuning by adapters."""

    lora: Lora
    """The adapter."""


Tuning = Literal["full"] | LoraTuning
"""All weights, or adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """What a tiny model is trained on before the first stage; part of the base, made once."""

    dataset: TextDataset
    """Plain text; it may serve no stage."""
    training: TrainingRecipe
    """How it is trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """Abstract: the fields that every kind shares."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of weights and arithmetic."""
    tuning: Tuning = "full"
    """How stages, and unlearning unless it says otherwise, change the weights."""
    template: Literal["plain", "chat"] = "plain"
    """How prompt and response become one text: fixed marks, or the tokenizer's own chat template."""
    system_prompt: str | None = None
    """Only `chat`: the system message; null sends none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModel(ModelRecipe):
    """A Llama-architecture model from scratch, with a byte-level BPE trained on text disjoint from every stage."""

    tiny: Literal["nano", "micro", "tiny"]
    """About 0.05 M, 0.2 M, 1-2 M parameters."""
    pretraining: Pretraining | None = None
    """Training before the first stage; null starts from random weights."""
    base_per: Literal["study", "replicate"] = "study"
    """Whether the base (its initialisation and pretraining) is made once, or anew for each replicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel(ModelRecipe):
    """A causal language model of the Hugging Face hub."""

    hub: str
    """`organisation/name`."""
    revision: str | None = None
    """A 40-digit commit; null is resolved and locked at the first fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel(ModelRecipe):
    """A directory with `config.json`, tokenizer files and `*.safetensors`."""

    path: str
    """Path of the directory, relative to the study file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufModel(ModelRecipe):
    """A GGUF file, dequantised once to safetensors (extra `gguf`)."""

    gguf: str
    """Path of the file."""


AnyModel = TinyModel | HubModel | LocalModel | GgufModel

MODEL_KINDS: dict[str, type[ModelRecipe]] = {
    "tiny": TinyModel,
    "hub": HubModel,
    "path": LocalModel,
    "gguf": GgufModel,
}
