"""A state as an ordinary Hugging Face folder, for every tool that reads one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retrain_equivalence.models.quiet import quiet
from retrain_equivalence.models.tiny import config_json
from retrain_equivalence.models.tokenizer import json_bytes
from retrain_equivalence.models.weights import to_safetensors, weights_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from retrain_equivalence.models.codec import Codec


def export_folder(model: PreTrainedModel, codec: Codec, directory: Path) -> None:
    """Write `config.json`, `model.safetensors`, `generation_config.json` and the tokenizer's files into `directory`.

    Args:
        model: a plain model; merge an adapter first.
        codec: its tokenizer is written with its chat template, and generation stops at its end token.
        directory: created if absent; must be empty.

    Raises:
        ValueError: if the model still carries an adapter.
        FileExistsError: if the directory holds anything.
    """
    from peft import PeftModel

    if isinstance(model, PeftModel):
        raise ValueError("the model still carries an adapter: merge it first")
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty")
    with quiet():
        codec.tokenizer.save_pretrained(directory)
    stop = {"bos_token_id": codec.begin_id, "eos_token_id": codec.end_id, "pad_token_id": codec.pad_id}
    (directory / "config.json").write_bytes(json_bytes(config_json(model)))
    (directory / "generation_config.json").write_bytes(json_bytes(stop))
    (directory / "model.safetensors").write_bytes(to_safetensors(weights_of(model)))
