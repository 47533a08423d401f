"""The tokenizer without transformers counts as the run does."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrain_equivalence.data.example import Example
from retrain_equivalence.models.bare_tokenizer import codec_before_run, known_before_run
from retrain_equivalence.models.codec import Codec
from retrain_equivalence.models.tokenizer import default_text, load_tokenizer
from retrain_equivalence.recipes.model import AnyModel, GgufModel, HubModel, LocalModel, TinyModel

ROWS = [
    Example(id=str(i), prompt=prompt, response=response, cluster="")
    for i, (prompt, response) in enumerate(
        [("What is 12 + 30?", "It is 42.\n#### 42"), ("", "Plain text,  with blanks."), ("Où est-ce ?", "Là-bas 🙂")]
    )
]


@pytest.mark.parametrize("local", [False, True])
def test_ids_are_those_of_the_run(local: bool, nano_directory: Path) -> None:
    model: AnyModel = LocalModel(path=nano_directory.name) if local else TinyModel(tiny="nano")
    bare = codec_before_run(model, nano_directory.parent)
    assert bare is not None
    real = Codec(load_tokenizer(nano_directory), "plain")
    assert (bare.begin_id, bare.end_id, bare.pad_id) == (real.begin_id, real.end_id, real.pad_id)
    texts = [*ROWS, *(Example(id=line, prompt=line, response=line, cluster="") for line in
                      default_text().splitlines()[:200] if line)]  # fmt: skip
    for row in texts:
        assert bare.encode(row.prompt, row.response) == real.encode(row.prompt, row.response)


@pytest.mark.parametrize(
    "model", [HubModel(hub="a/b"), GgufModel(gguf="a.gguf"), LocalModel(path="m", template="chat")]
)
def test_other_tokenizers_are_known_once_the_base_is_made(model: AnyModel, tmp_path: Path) -> None:
    assert not known_before_run(model)
    assert codec_before_run(model, tmp_path) is None
