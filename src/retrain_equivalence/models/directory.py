"""The gate for a foreign model directory: what may be read, and what is refused before it is.

Design. Only data is accepted: `config.json` of a known architecture, `*.safetensors`, `tokenizer.json` and a chat
template. Nothing in the directory can name code: keys that would make a library fetch or import some are refused, other
files are never opened, and what passes is copied and loaded from the copy. All problems are reported at once.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrain_equivalence.core.errors import Problem
from retrain_equivalence.models.chat_template import template_trouble
from retrain_equivalence.models.safetensors_header import BadHeaderError, TensorHeader, read_header
from retrain_equivalence.models.tokenizer import SPECIAL_NAMES, chat_template_of, token_text

MODEL_TYPES = (
    "llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "mistral", "phi", "phi3", "gpt2", "gpt_neox",
    "smollm3", "olmo2",
)  # fmt: skip
"""Architectures whose forward pass is tested against the library's own loss."""

TOKENIZER_CLASSES = frozenset(
    f"{family}Tokenizer{fast}"
    for family in ("PreTrained", "Llama", "CodeLlama", "GPT2", "Qwen2", "Gemma", "GPTNeoX", "CodeGen")
    for fast in ("", "Fast")
) | {"TokenizersBackend"}
"""Names that tokenizer configurations carry; none is looked up. An unknown one may need more than `tokenizer.json`."""

FORBIDDEN_KEYS = (
    "auto_map",
    "trust_remote_code",
    "custom_generate",
    "custom_pipelines",
    "kernels",
    "quantization_config",
)
"""Keys that make a library import code, or weights that cannot be trained; so does every key with `implementation`."""

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
OUTPUTS = ("lm_head.weight", "embed_out.weight")

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".npz", ".pt2", ".h5", ".msgpack", ".pickle")
LIMITS = {
    "config.json": 1 << 20,
    "tokenizer.json": 128 << 20,
    "tokenizer_config.json": 8 << 20,
    "chat_template.jinja": 1 << 20,
}
MAX_INDEX = 16 << 20
MAX_LAYERS = 512
INDEX = "model.safetensors.index.json"


def check_model_directory(path: Path, *, numbers: bool = True) -> list[Problem]:
    """Return everything that is wrong with a model directory; empty if it may be loaded.

    Args:
        path: a folder, or a snapshot folder of the hub cache (whose links into `../../blobs` are the only ones
            accepted).
        numbers: whether the weights themselves are read and compared with the architecture, which loads torch; without
            it names, configuration, headers and tokenizer are checked.

    Returns:
        Problems E-DATA-62 and E-DATA-64 to E-DATA-72, in the order in which they were found. Those of severity
        `warning` name files that are ignored.
    """
    if not path.is_dir():
        return [
            _problem(
                "64", path, "is not a directory", "Give a folder with config.json, tokenizer.json and *.safetensors"
            )
        ]
    problems = list(_entries(path))
    if any(problem.severity == "error" for problem in problems):
        return problems
    config: dict[str, Any] = {}
    tokenizer: dict[str, Any] = {}
    for name, target in (("config.json", config), ("tokenizer.json", tokenizer)):
        try:
            target.update(_json_object(path / name, LIMITS[name]))
        except ValueError as error:
            code = "66" if name == "config.json" else "70"
            problems.append(_problem(code, path / name, str(error), "Give a folder as `save_pretrained` writes it"))
    if config:
        problems += _config(path / "config.json", config)
    headers: dict[str, dict[str, TensorHeader]] = {}
    problems += _weights(path, headers)
    problems += _tokenizer(path, tokenizer, headers)
    if numbers and config and headers and not any(problem.severity == "error" for problem in problems):
        problems += _fit(path, config, headers)
    return problems


def weight_files(path: Path) -> list[str]:
    """Return the names of the weight files of a model directory, sorted: those of its index, or the single file.

    Raises:
        ValueError: if the index is malformed, or names a file outside the directory.
    """
    if not os.path.lexists(path / INDEX):
        return ["model.safetensors"]
    shards = _json_object(path / INDEX, MAX_INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ValueError("has no 'weight_map' from tensors to files")
    names = sorted(set(shards.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"points outside its own *.safetensors files: {name!r}")
    return names


def _entries(path: Path) -> Iterator[Problem]:
    with os.scandir(path) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    names = {entry.name for entry in entries}
    has_weights = "model.safetensors" in names or INDEX in names
    for entry in entries:
        if not entry.name.isprintable():
            yield _problem("64", path, f"holds a file whose name has control characters: {entry.name!r}", "Rename it")
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        here = path / entry.name
        if stat.S_ISLNK(mode):
            if not _is_hub_link(here):
                yield _problem("64", here, "is a symbolic link", "Copy the file itself")
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            yield _problem("64", here, f"is {_kind(mode)}; expected a regular file", "Remove it")
        if entry.name.endswith(PICKLES):
            if has_weights:
                text = "is ignored: only .safetensors weights are read"
                yield Problem(code="E-DATA-65", place=str(here), message=text, severity="warning")
            else:
                yield _problem(
                    "65", here, "only .safetensors weights are read", "Convert it where you trust its source"
                )
    if "adapter_config.json" in names:
        yield _problem(
            "72", path / "adapter_config.json", "is an adapter, not a model", "Merge it into its base model first"
        )
    if not has_weights and not any(name.endswith(PICKLES) for name in names):
        yield _problem("65", path, "has no model.safetensors", "Save the model with safetensors weights")


def _is_hub_link(link: Path) -> bool:
    # The hub cache: REPO/snapshots/COMMIT/name -> ../../blobs/HASH, inside one repository folder.
    target = link.readlink()
    inside = target.parts[:3] == ("..", "..", "blobs") and len(target.parts) == 4
    blob = link.parent / target
    return inside and link.parent.parent.name == "snapshots" and not blob.is_symlink() and blob.is_file()


def _kind(mode: int) -> str:
    for test, word in ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket")):
        if test(mode):
            return word
    return "a device"


def _read(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes; never blocks, follows hub links only."""
    if path.is_symlink():
        path = path.parent / path.readlink()
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise ValueError("is missing") from error
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("is not a regular file")
        if about.st_size > limit:
            raise ValueError(f"has {about.st_size:,} bytes, limit {limit:,}")
        return file.read(limit + 1)


def _json_object(path: Path, limit: int) -> dict[str, Any]:
    raw = _read(path, limit)
    try:
        value = json.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("is not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def _config(place: Path, config: dict[str, Any]) -> Iterator[Problem]:
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        yield _problem("66", place, f"model_type {model_type!r} is not supported", f"Known: {', '.join(MODEL_TYPES)}")
    yield from (_forbidden(place, key) for key in sorted(set(_forbidden_keys(config))))
    for key in ("num_hidden_layers", "n_layer"):
        layers = config.get(key, 1)
        if type(layers) is not int or not 1 <= layers <= MAX_LAYERS:
            yield _problem("66", place, f"'{key}' is {layers!r}; expected 1 to {MAX_LAYERS}", "Check the file")


def _forbidden(place: Path, key: str) -> Problem:
    code = "66" if place.name == "config.json" else "70"
    fix = "Save the model unquantised" if key == "quantization_config" else "Remove it: no code of a checkpoint is run"
    return _problem(code, place, f"the key '{key}' is refused", fix)


def _forbidden_keys(value: Any) -> Iterator[str]:
    # A stack, not recursion: the depth of foreign JSON is not ours to choose.
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield from (key for key in item if key in FORBIDDEN_KEYS or "implementation" in key)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _weights(path: Path, headers: dict[str, dict[str, TensorHeader]]) -> Iterator[Problem]:
    try:
        names = weight_files(path)
    except ValueError as error:
        yield _problem("67", path / INDEX, str(error), "Save the model again")
        return
    owner: dict[str, str] = {}
    for name in names:
        here = path / name
        if not here.is_file():
            yield _problem("67", here, "is missing", "Copy all shards that the index names")
            continue
        try:
            headers[name] = read_header(here)
        except BadHeaderError as error:
            yield _problem("68", here, str(error), "Copy or download it again")
            continue
        for tensor in headers[name]:
            if (other := owner.setdefault(tensor, name)) != name:
                yield _problem("67", here, f"tensor '{tensor}' is in '{other}' too", "Save the model again")


def _tokenizer(path: Path, tokenizer: dict[str, Any], headers: dict[str, dict[str, TensorHeader]]) -> Iterator[Problem]:
    place = path / "tokenizer_config.json"
    config: dict[str, Any] = {}
    if place.is_file():
        try:
            config = _json_object(place, LIMITS[place.name])
        except ValueError as error:
            yield _problem("70", place, str(error), "Save the tokenizer again")
    yield from (_forbidden(place, key) for key in sorted(set(_forbidden_keys(config))))
    if (named := config.get("tokenizer_class", "PreTrainedTokenizerFast")) not in TOKENIZER_CLASSES:
        yield _problem("70", place, f"tokenizer_class {named!r} is not known", "Save it as a PreTrainedTokenizerFast")
    if tokenizer:
        yield from _vocabulary(path, tokenizer, headers)
    if os.path.lexists(jinja := path / "chat_template.jinja"):
        try:
            _read(jinja, LIMITS[jinja.name]).decode("utf-8")
        except (ValueError, UnicodeDecodeError) as error:
            yield _problem("71", jinja, str(error), "Save the tokenizer again")
            return
    if template := chat_template_of(path, config):
        special = {name: text for name in SPECIAL_NAMES if (text := token_text(config.get(name))) is not None}
        if trouble := template_trouble(template, special):
            yield _problem(
                "71", jinja if jinja.is_file() else place, f"the chat template {trouble}", "Replace the template"
            )


def _vocabulary(
    path: Path, tokenizer: dict[str, Any], headers: dict[str, dict[str, TensorHeader]]
) -> Iterator[Problem]:
    place = path / "tokenizer.json"
    model = tokenizer.get("model")
    vocabulary: Any = model.get("vocab") if isinstance(model, dict) else None
    added = tokenizer.get("added_tokens") or []
    try:
        ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else list(range(len(vocabulary)))
        ids += [token["id"] for token in added]
        n_ids = max(ids) + 1
        if min(ids) < 0:
            raise ValueError
    except (TypeError, ValueError, KeyError):
        yield _problem("70", place, "has no usable vocabulary", "Save the tokenizer again")
        return
    rows = [
        t.shape[0]
        for tensors in headers.values()
        for name, t in tensors.items()
        if name.endswith(EMBEDDINGS) and t.shape
    ]
    if rows and n_ids > rows[0]:
        text = f"tokenizer has {n_ids:,} ids, embedding {rows[0]:,}"
        yield _problem("70", place, text, "Give the tokenizer that belongs to the model, or resize the embedding")


def _fit(path: Path, config: dict[str, Any], headers: dict[str, dict[str, TensorHeader]]) -> Iterator[Problem]:
    """Compare the architecture with the tensors, and look at every number, one tensor at a time."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        parsed = AutoConfig.for_model(**config)
        with torch.device("meta"):
            wanted = sum(p.numel() for p in AutoModelForCausalLM.from_config(parsed).parameters())
    except Exception as error:  # a hostile configuration can fail in any way; whatever it is, it is the file's fault
        yield _problem(
            "66", path / "config.json", f"describes no model: {type(error).__name__}: {error}", "Check the file"
        )
        return
    found = 0
    tied: dict[str, torch.Tensor] = {}
    for name, tensors in headers.items():
        with safe_open(path / name, framework="pt") as file:
            for tensor_name in tensors:
                tensor = file.get_tensor(tensor_name)
                found += tensor.numel()
                if not bool(tensor.isfinite().all()):
                    yield _problem(
                        "69", path / name, f"tensor '{tensor_name}' holds nan or infinity", "Use another checkpoint"
                    )
                if parsed.tie_word_embeddings and tensor_name.endswith((*EMBEDDINGS, *OUTPUTS)):
                    tied[tensor_name] = tensor
    if wanted > found:
        text = f"has {found:,} numbers, config.json describes a model of {wanted:,}"
        yield _problem("62", path / next(iter(headers)), text, "Give the weights that belong to this config.json")
    first, *others = tied
    for other in others:
        if not torch.equal(tied[first], tied[other]):
            text = f"tensors '{first}' and '{other}' differ, config.json ties them"
            yield _problem("62", path / next(iter(headers)), text, "Set tie_word_embeddings to false")


def _problem(number: str, place: Path, message: str, fix: str) -> Problem:
    return Problem(code=f"E-DATA-{number}", place=str(place), message=message, fix=fix)
