"""From keys to models: a worker's warm memory of bases, codecs, encoded rows and data sets.

A state of weights is one of: all weights (`model.safetensors`), a carried adapter on the base (`adapter.safetensors`),
or, after unlearning, either of these at a step. `merged` returns what is measured and unlearned: one model of plain
weights in the dtype of the study, whatever form its state has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retrain_equivalence.core.identity import Key
from retrain_equivalence.data.example import Dataset
from retrain_equivalence.execution.inputs import Inputs
from retrain_equivalence.execution.row_lengths import Reading, encode_readings, readings
from retrain_equivalence.execution.specs import OnLong, StageSpec, UnlearnSpec
from retrain_equivalence.models.base import open_files
from retrain_equivalence.models.lora import attach, load_adapter, merge
from retrain_equivalence.models.weights import from_safetensors, load_weights, weights_of
from retrain_equivalence.recipes.model import AnyModel, LoraTuning
from retrain_equivalence.store.base import Store

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from retrain_equivalence.execution.plan import Plan
    from retrain_equivalence.models.codec import Codec, Encoded

FULL, ADAPTER = "model.safetensors", "adapter.safetensors"

WARM_BYTES = 2**28
"""Weights of bases that a worker keeps; studies with one base per replicate have many."""

WARM_MERGED_BYTES = 2**31 + 2**30
"""Merged weights that a worker keeps: some saved steps of one run of a model of a hundred million parameters."""


def step_file(step: int, name: str) -> str:
    """Return the file in which an unlearning run keeps the state of a step."""
    return f"step-{step:06d}.{name}"


@dataclass(slots=True)
class _Shell:
    """An architecture with its codec: what bases of one kind share; weights are put into it as they are needed."""

    model: PreTrainedModel
    codec: Codec


@dataclass(slots=True, kw_only=True)
class States:
    """Opens states of one plan from one store; everything read is verified by the store."""

    store: Store
    plan: Plan
    model_recipe: AnyModel
    inputs: Inputs
    device: str = "cpu"
    datasets: Mapping[Key, Dataset] = field(init=False)
    """The inputs' data sets by their keys."""
    _shells: dict[tuple[str, str], _Shell] = field(default_factory=dict)
    _weights: dict[Key, dict[str, Tensor]] = field(default_factory=dict)
    _merged: dict[tuple[Key, int | None], dict[str, Tensor]] = field(default_factory=dict)
    _encoded: dict[tuple[Key, Key, int, str], list[Encoded]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.datasets = self.inputs.by_key()

    def base(self, key: Key) -> tuple[PreTrainedModel, Codec]:
        """Return the base model with its own weights, and its codec.

        The model object is shared by all states of the worker: use it, then let go.
        """
        shell = self._shell(key)
        if key not in self._weights:
            if sum(tensor.nbytes for weights in self._weights.values() for tensor in weights.values()) > WARM_BYTES:
                self._weights.clear()
            self._weights[key] = from_safetensors(self.store.get(key).path(FULL))
        load_weights(shell.model, self._weights[key])
        for parameter in shell.model.parameters():
            parameter.requires_grad_(True)
        return shell.model, shell.codec

    def _shell(self, key: Key) -> _Shell:
        artifact = self.store.get(key)
        files = artifact.manifest.files
        kind = (files["config.json"][1], files["tokenizer.json"][1])
        if kind not in self._shells:
            model, codec = open_files({name: artifact.path(name) for name in files}, self.model_recipe)
            model.to(self.device)
            self._shells[kind] = _Shell(model, codec)
        return self._shells[kind]

    def rows(self, data: Key, base: Key, codec: Codec, *, max_length: int, on_long: OnLong) -> list[Encoded]:
        """Return a data set's training rows as tokens, encoded once per worker; dropped rows are absent.

        The first call encodes what every training of the plan will read, so that a row which cannot be encoded stops
        the run before its first step and not hours later.

        Raises:
            InputError: E-DATA-17 to 19 with the rows of all data sets.
        """
        tokenizer = self.tokenizer_of(base)
        if (data, tokenizer, max_length, on_long) not in self._encoded:
            self.encode_all(tokenizer, codec)
        return self._encoded[data, tokenizer, max_length, on_long]

    def encode_all(self, tokenizer: Key, codec: Codec) -> None:
        """Encode what every training of the plan will read.

        Raises:
            InputError: E-DATA-17 to 19 with the rows of all data sets.
        """

        def place(reading: Reading) -> tuple[Key, Key, int, OnLong]:
            return reading.data, tokenizer, reading.max_length, reading.on_long

        left = [reading for reading in readings(self.plan, self.inputs) if place(reading) not in self._encoded]
        for reading, rows in encode_readings(left, self.datasets, codec).items():
            self._encoded[place(reading)] = rows

    def tokenizer_of(self, base: Key) -> Key:
        """Return what tells tokenizers apart: the digest of the base's tokenizer file."""
        return Key(self.store.get(base).manifest.files["tokenizer.json"][1])

    def merged(self, state: Key, base: Key, step: int | None = None) -> tuple[PreTrainedModel, Codec]:
        """Return the model of a state, plain weights, ready to be measured or unlearned."""
        model, codec = self.base(base)
        if state == base:
            return model, codec
        if (state, step) in self._merged:
            load_weights(model, self._merged[state, step])
            return model, codec
        artifact = self.store.get(state)
        full, adapter = (name if step is None else step_file(step, name) for name in (FULL, ADAPTER))
        if full in artifact.manifest.files:
            load_weights(model, from_safetensors(artifact.path(full)))
            return model, codec
        spec = self.plan.planned[state].spec
        assert isinstance(spec, StageSpec | UnlearnSpec)
        assert isinstance(spec.tuning, LoraTuning)
        if isinstance(spec, UnlearnSpec):
            model, codec = self.merged(spec.end, base)
        adapted = attach(model, spec.tuning.lora, spec.adapter_seed)
        load_adapter(adapted, from_safetensors(artifact.path(adapter)))
        model = self._keep(base, merge(adapted))
        self._remember(state, step, model)
        return model, codec

    def _remember(self, state: Key, step: int | None, model: PreTrainedModel) -> None:
        """Keep what merging an adapter cost seconds for: the probes of one state come one after another."""
        weights = weights_of(model)
        size = sum(tensor.nbytes for tensor in weights.values())
        while self._merged and (len(self._merged) + 1) * size > WARM_MERGED_BYTES:
            self._merged.pop(next(iter(self._merged)))
        if size <= WARM_MERGED_BYTES:
            self._merged[state, step] = weights

    def restore(self, base: Key, model: PreTrainedModel) -> None:
        """Take a model back that an adapter was attached to: the adapter is dropped, the shell is plain again."""
        from peft import PeftModel

        if isinstance(model, PeftModel):
            self._keep(base, model.unload())

    def forget_models(self) -> None:
        """Open every model anew when it is next asked for."""
        self._shells.clear()

    def _keep(self, base: Key, model: PreTrainedModel) -> PreTrainedModel:
        # Merging may return another object than the one it was given; the shell must hold the live one.
        self._shell(base).model = model
        return model
