"""Byte-level BPE for tiny models: trained deterministically, and read back without any code of the checkpoint.

Design. The vocabulary must not know the forget set, or the oracle would have seen it; so the training text is our own,
fixed, and disjoint from every stage's rows. Digits are single tokens, which lets small models learn arithmetic.
A tokenizer is always loaded from `tokenizer.json` alone: no class named by a checkpoint is looked up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_equivalence.models.codec import BEGIN, END, MARKS, PAD, PLAIN_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")


def default_text() -> str:
    """Return the package's own training text: plain English sentences, sums and `#### n` marks."""
    return files("retrain_equivalence.models").joinpath("tokenizer_text.txt").read_text(encoding="utf-8")


def train_bpe(text: str, vocabulary_size: int) -> dict[str, bytes]:
    """Train a byte-level BPE on `text`.

    Args:
        text: training text, cut at line ends; at least as rich as the vocabulary asks for.
        vocabulary_size: ids wanted, >= 261 (five marks and 256 bytes); fewer come out if the text has no more pairs.

    Returns:
        `tokenizer.json` and `tokenizer_config.json` as bytes: the same for the same arguments in every process.

    Raises:
        ValueError: if the vocabulary cannot hold marks and bytes.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocabulary_size < len(MARKS) + 256:
        raise ValueError(f"a byte-level vocabulary needs at least {len(MARKS) + 256} ids, not {vocabulary_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=[AddedToken(mark, special=True, normalized=False) for mark in MARKS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    with _single_thread():
        tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer=trainer)
    config = {
        "bos_token": BEGIN,
        "chat_template": PLAIN_TEMPLATE,
        "eos_token": END,
        "model_max_length": 1024,
        "pad_token": PAD,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return {"tokenizer.json": tokenizer.to_str().encode(), "tokenizer_config.json": json_bytes(config)}


def vocabulary_size(tokenizer_files: Mapping[str, bytes]) -> int:
    """Return how many ids the tokenizer that `train_bpe` returned has."""
    return len(json.loads(tokenizer_files["tokenizer.json"])["model"]["vocab"])


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a verified model directory, from `tokenizer.json` and the names of its special tokens.

    The chat template comes from `chat_template.jinja`, else from `tokenizer_config.json`.
    """
    from transformers import PreTrainedTokenizerFast

    config: dict[str, Any] = {}
    if (path := directory / "tokenizer_config.json").is_file():
        config = json.loads(path.read_bytes())
    special = {name: text for name in SPECIAL_NAMES if (text := token_text(config.get(name))) is not None}
    return PreTrainedTokenizerFast(
        tokenizer_file=str(directory / "tokenizer.json"),
        chat_template=chat_template_of(directory, config),
        clean_up_tokenization_spaces=False,
        **special,
    )


def token_text(value: object) -> str | None:
    """Return a special token's text from either form of `tokenizer_config.json`: text, or an object with `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def chat_template_of(directory: Path, config: dict[str, Any]) -> str | None:
    """Return the chat template of a model directory, or None; of several named ones, the one called `default`."""
    if (path := directory / "chat_template.jinja").is_file():
        return path.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def json_bytes(value: object) -> bytes:
    """Return `value` as sorted, indented JSON bytes, for files that people open."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


class _single_thread:
    # The order in which threads count words would be a second input; the library reads this variable at every call.
    def __enter__(self) -> None:
        self._before = os.environ.get("TOKENIZERS_PARALLELISM")
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = self._before
