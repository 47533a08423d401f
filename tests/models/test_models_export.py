"""An exported state is an ordinary Hugging Face folder, and passes our own gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models_support import NANO

from retrain_equivalence.models.base import base_files, load_base
from retrain_equivalence.models.codec import Codec
from retrain_equivalence.models.directory import check_model_directory
from retrain_equivalence.models.export import export_folder
from retrain_equivalence.models.forward import pad, token_logps
from retrain_equivalence.models.lora import attach
from retrain_equivalence.models.quiet import quiet
from retrain_equivalence.recipes.model import LocalModel, Lora


def test_folder_loads_with_the_library_alone(nano: tuple[torch.nn.Module, Codec], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, codec = nano
    export_folder(model, codec, tmp_path / "out")
    with quiet():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    row = codec.encode("Who wrote the letter?", "The captain did.")
    messages = [
        {"role": "user", "content": "Who wrote the letter?"},
        {"role": "assistant", "content": "The captain did."},
    ]
    assert tuple(tokenizer.apply_chat_template(messages, return_dict=False)) == row.ids
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        assert torch.equal(theirs(ids, use_cache=False).logits, model(ids, use_cache=False).logits)
    assert theirs.generation_config.eos_token_id == codec.end_id


def test_folder_is_a_base_again(nano: tuple[torch.nn.Module, Codec], tmp_path: Path) -> None:
    model, codec = nano
    export_folder(model, codec, tmp_path / "out")
    assert check_model_directory(tmp_path / "out") == []
    recipe = LocalModel(path="out")
    files = base_files(recipe, seed=0, tokenizer_text=None, study_dir=tmp_path, offline=True)
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "about.json"} <= files.keys()
    again, codec_again = load_base(tmp_path / "out", recipe)
    row = codec.encode("Why?", "So.")
    assert codec_again.encode("Why?", "So.") == row
    with torch.no_grad():
        one, two = (token_logps(m, pad([row], codec.pad_id))[0] for m in (model, again))
    assert torch.equal(one, two)


def test_bfloat16_stays_bfloat16(nano_directory: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    export_folder(*load_base(nano_directory, replace(NANO, dtype="bfloat16")), tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_adapters_and_full_folders_are_refused(nano: tuple[torch.nn.Module, Codec], tmp_path: Path) -> None:
    model, codec = nano
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(FileExistsError):
        export_folder(model, codec, tmp_path)
    with pytest.raises(ValueError, match="merge it first"):
        export_folder(attach(model, Lora(rank=2, alpha=2.0), seed=0), codec, tmp_path / "out")
