"""The base model: its files, from any source, and the model and codec that they hold.

Design. `base_files` runs once, at ingest, and may touch the network; what it returns goes into the store under a
digest. `load_base` runs in tasks, reads verified local files only, and never looks anything up. Both ends meet in one
layout:

    config.json · model.safetensors (or shards with their index) · tokenizer.json · tokenizer_config.json · about.json
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_equivalence.core.errors import InputError, raise_all
from retrain_equivalence.core.identity import digest_of_bytes
from retrain_equivalence.models.codec import Codec
from retrain_equivalence.models.directory import INDEX, check_model_directory, weight_files
from retrain_equivalence.models.quiet import quiet
from retrain_equivalence.models.tokenizer import default_text, json_bytes, load_tokenizer, train_bpe, vocabulary_size
from retrain_equivalence.recipes.model import AnyModel, GgufModel, HubModel, LocalModel, TinyModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""What is kept of a checkpoint beside its weights; nothing else can reach a task."""


def base_files(
    recipe: AnyModel, *, seed: int, tokenizer_text: str | None, study_dir: Path, offline: bool
) -> dict[str, bytes | Path]:
    """Return the files of the base model, by name.

    Args:
        recipe: which model.
        seed: of the initialisation; read by `tiny` only.
        tokenizer_text: what a tiny model's tokenizer is trained on; None takes the package's own text.
        study_dir: relative paths in the recipe start here.
        offline: whether the hub may only be read from the local cache.

    Returns:
        Small files as bytes, large ones as paths of files to copy. `about.json` says where the model is from.

    Raises:
        InputError: E-DATA-60 and above, if the model or its tokenizer is refused; all problems at once.
        MachineError: E-ENV-08 if the hub cannot be reached or is forbidden; E-ENV-07 if the extra `gguf` is missing.
    """
    match recipe:
        case TinyModel():
            return _tiny_files(recipe, seed=seed, text=default_text() if tokenizer_text is None else tokenizer_text)
        case HubModel():
            from retrain_equivalence.models.hub import snapshot

            directory, revision = snapshot(recipe.hub, recipe.revision, offline=offline)
            return _checkpoint_files(directory, {"source": "hub", "hub": recipe.hub, "revision": revision}, recipe)
        case LocalModel():
            return _checkpoint_files(study_dir / recipe.path, {"source": "path"}, recipe)
        case GgufModel():
            from retrain_equivalence.models.gguf import gguf_files

            return gguf_files(study_dir / recipe.gguf)


def open_files(files: Mapping[str, bytes | Path], recipe: AnyModel) -> tuple[PreTrainedModel, Codec]:
    """Return the model and codec that files in the layout of `base_files` hold.

    transformers reads a folder of nothing but its own files; such a folder is made, of links where there are paths, and
    removed again.

    Raises:
        InputError: as `load_base`.
    """
    with tempfile.TemporaryDirectory(prefix="retrain-equivalence-") as name:
        folder = Path(name)
        for file, data in files.items():
            if isinstance(data, bytes):
                (folder / file).write_bytes(data)
            else:
                (folder / file).symlink_to(data.resolve())
        return load_base(folder, recipe)


def load_base(directory: Path, recipe: AnyModel) -> tuple[PreTrainedModel, Codec]:
    """Return the model in eval mode, with the recipe's dtype, and its codec.

    Attention is `sdpa`, or `eager` where an architecture has no other.

    Args:
        directory: verified local files in the layout of `base_files`; a trained state's folder of the same layout too.
        recipe: its dtype, template and system prompt are used.

    Raises:
        InputError: E-DATA-62 if the tensors are not exactly the architecture's; E-DATA-60 if the tokenizer does not
            fit.
    """
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    model_type = json.loads((directory / "config.json").read_bytes())["model_type"]
    with quiet(), torch.random.fork_rng(devices=[]):
        model, seen = AutoModelForCausalLM.from_pretrained(
            str(directory),
            dtype=getattr(torch, recipe.dtype),
            attn_implementation=attention_of(model_type),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    for word, names in (
        ("missing", seen["missing_keys"]),
        ("unexpected", seen["unexpected_keys"]),
        ("of another shape", {entry[0] for entry in seen["mismatched_keys"]}),
    ):
        if names:
            raise InputError.of(
                "E-DATA-62", "model.safetensors", f"{len(names)} tensors are {word}, for example '{min(names)}'",
                "Give the checkpoint that belongs to this config.json",
            )  # fmt: skip
    # A checkpoint's own generation defaults (penalties, temperatures) would act silently in every probe.
    model.generation_config = GenerationConfig()
    codec = Codec(load_tokenizer(directory), recipe.template, recipe.system_prompt)
    return model.eval(), codec


def attention_of(model_type: str) -> str:
    """Return the attention implementation of an architecture; Gemma 2 caps its scores, which `sdpa` cannot."""
    return "eager" if model_type == "gemma2" else "sdpa"


def _tiny_files(recipe: TinyModel, *, seed: int, text: str) -> dict[str, bytes | Path]:
    from retrain_equivalence.models.tiny import SIZES, config_json, tiny_model
    from retrain_equivalence.models.weights import to_safetensors, weights_of

    tokenizer = train_bpe(text, SIZES[recipe.tiny].vocabulary)
    model = tiny_model(recipe.tiny, seed, vocabulary_size(tokenizer))
    about: dict[str, Any] = {
        "source": "tiny",
        "size": recipe.tiny,
        "seed": seed,
        "parameters": model.num_parameters(),
        "tokenizer_text_sha256": digest_of_bytes(text.encode()),
    }
    return {
        **tokenizer,
        "config.json": json_bytes(config_json(model)),
        "model.safetensors": to_safetensors(weights_of(model)),
        "about.json": json_bytes(about),
    }


def _checkpoint_files(directory: Path, about: dict[str, Any], recipe: AnyModel) -> dict[str, bytes | Path]:
    problems = check_model_directory(directory)
    raise_all(InputError, (problem for problem in problems if problem.severity == "error"))
    files: dict[str, bytes | Path] = {
        name: (directory / name).read_bytes() for name in TEXT_FILES if (directory / name).is_file()
    }
    if (index := directory / INDEX).is_file():
        files[INDEX] = index.read_bytes()
    # Resolved: the hub cache keeps links, and a store copies files.
    files.update({name: (directory / name).resolve() for name in weight_files(directory)})
    # Loading it once here, before the first expensive second, finds tensors that do not fit and templates that fail.
    load_base(directory, recipe)
    files["about.json"] = json_bytes(about)
    return files
