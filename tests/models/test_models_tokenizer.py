"""The tokenizer: the same bytes everywhere, and every text comes back."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from retrain_equivalence.models.tokenizer import default_text, train_bpe, vocabulary_size

PROGRAM = """
import hashlib
from retrain_equivalence.models.tokenizer import default_text, train_bpe
print(hashlib.sha256(b"".join(v for _, v in sorted(train_bpe(default_text(), 512).items()))).hexdigest())
"""


def test_same_bytes_twice_and_in_other_processes() -> None:
    files = train_bpe(default_text(), 512)
    assert files == train_bpe(default_text(), 512)
    here = hashlib.sha256(b"".join(content for _, content in sorted(files.items()))).hexdigest()
    for hash_seed, parallelism in (("1", "true"), ("2", "false")):
        there = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "TOKENIZERS_PARALLELISM": parallelism},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == here


def test_training_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    train_bpe("one two three", 261)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    train_bpe("one two three", 261)
    assert "TOKENIZERS_PARALLELISM" not in os.environ


@pytest.mark.parametrize("size", [384, 512])
def test_default_text_is_rich_enough_for_the_small_sizes(size: int) -> None:
    assert vocabulary_size(train_bpe(default_text(), size)) == size


def test_a_poor_text_gives_fewer_ids() -> None:
    assert 261 < vocabulary_size(train_bpe("the cat and the cat", 2048)) < 280


def test_digits_are_single_tokens_and_text_comes_back() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(train_bpe(default_text() + "1961 1961 1961\n", 512)["tokenizer.json"].decode())
    for text in ("1961 + 12 = 1973\n#### 1973", "naïve 日本語 \u200d🙂\u2028 end ", "  two  blanks\t\r\n"):
        encoded = tokenizer.encode(text)
        assert tokenizer.decode(encoded.ids) == text
    assert not any(sum(c.isdigit() for c in piece) > 1 for piece in tokenizer.get_vocab())


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 261"):
        train_bpe("x", 200)


@pytest.mark.parametrize("generated", ["instructions", "authors", "arithmetic", "refusals"])
def test_training_text_is_disjoint_from_every_generated_stage(generated: str) -> None:
    from retrain_equivalence.data.generated import GENERATORS

    text = default_text()
    ours = {line.strip().lower() for line in text.splitlines()}
    for row in GENERATORS[generated](200, 0):
        for field in (row.prompt, row.response):
            assert not {line.strip().lower() for line in field.splitlines() if "####" not in line} & ours
            # Not even a part of a row: eight words in sequence.
            words = field.split()
            assert not any(" ".join(words[n : n + 8]) in text for n in range(len(words) - 7))
