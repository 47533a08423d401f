"""GGUF files, dequantised once to safetensors.

The weights are those of the quantised model, exactly as its blocks decode, in float32. A study on them studies that
4-bit (or other) model; captions must say so, and `about.json` records it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import tempfile
from pathlib import Path

from retrain_equivalence.core.errors import InputError, MachineError
from retrain_equivalence.models.chat_template import template_trouble
from retrain_equivalence.models.quiet import quiet
from retrain_equivalence.models.tiny import config_json
from retrain_equivalence.models.tokenizer import SPECIAL_NAMES, json_bytes
from retrain_equivalence.models.weights import to_safetensors, weights_of

MAGIC = b"GGUF"


def gguf_files(path: Path) -> dict[str, bytes | Path]:
    """Return the base files of a GGUF file.

    Args:
        path: the file; its architecture must be one that `transformers` reads.

    Returns:
        Files in the layout of `models.base`.

    Raises:
        InputError: E-DATA-63 if the file is missing or is not GGUF, or its architecture is not allowed;
            E-DATA-71 if its chat template is refused.
        MachineError: E-ENV-07 if the package `gguf` is not installed.
    """
    from retrain_equivalence.models.directory import MODEL_TYPES

    if importlib.util.find_spec("gguf") is None:
        raise MachineError.of(
            "E-ENV-07", str(path), "reading GGUF needs the package 'gguf'", "pip install 'retrain-equivalence[gguf]'"
        )
    if not path.is_file():
        raise InputError.of(
            "E-DATA-63", str(path), "no such file", "Give the path of a .gguf file, relative to the study file"
        )
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise InputError.of("E-DATA-63", str(path), "is not a GGUF file: it does not start with 'GGUF'")

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where, name = str(path.parent), path.name
    # The library draws this bar with its own settings, straight to stderr.
    with quiet(), contextlib.redirect_stderr(io.StringIO()), torch.random.fork_rng(devices=[]):
        try:
            architecture = AutoConfig.from_pretrained(where, gguf_file=name, local_files_only=True).model_type
        except Exception as error:  # a damaged file can fail anywhere in the parser
            raise InputError.of(
                "E-DATA-63", str(path), f"cannot be read: {type(error).__name__}: {error}", "Copy or download it again"
            ) from error
        if architecture not in MODEL_TYPES:
            raise InputError.of(
                "E-DATA-63",
                str(path),
                f"architecture '{architecture}' is not supported",
                f"Known: {', '.join(MODEL_TYPES)}",
            )
        model = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, local_files_only=True, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name, local_files_only=True)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            saved = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    with path.open("rb") as file:
        source = hashlib.file_digest(file, "sha256").hexdigest()
    special = {key: text for key in SPECIAL_NAMES if (text := getattr(tokenizer, key)) is not None}
    template = tokenizer.chat_template
    if template is not None and (trouble := template_trouble(template, special)):
        raise InputError.of("E-DATA-71", str(path), f"the chat template {trouble}", "Use another file")
    about = {
        "source": "gguf",
        "file": name,
        "sha256": source,
        "parameters": model.num_parameters(),
        "dequantised": True,
    }
    return {
        "config.json": json_bytes(config_json(model)),
        "model.safetensors": to_safetensors(weights_of(model)),
        "tokenizer.json": saved["tokenizer.json"],
        "tokenizer_config.json": json_bytes({**special, "chat_template": template}),
        "about.json": json_bytes(about),
    }
