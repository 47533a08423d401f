"""A study's tokenizer before its model is made: from `tokenizers` alone, to count the tokens of rows.

`transformers` takes seconds to import and the verbs that only read must not wait for it. What is offered here is what
`Codec` asks of a tokenizer under the plain template; the run asks the real one again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retrain_equivalence.models.codec import Codec
from retrain_equivalence.models.tiny import SIZES
from retrain_equivalence.models.tokenizer import SPECIAL_NAMES, default_text, token_text, train_bpe
from retrain_equivalence.recipes.model import AnyModel, LocalModel, TinyModel

if TYPE_CHECKING:
    from tokenizers import AddedToken


def known_before_run(model: AnyModel) -> bool:
    """Whether a model's tokenizer is at hand before its base is made, and needs no chat template."""
    if isinstance(model, TinyModel):
        return model.pretraining is None
    return isinstance(model, LocalModel) and model.template == "plain"


def codec_before_run(model: AnyModel, study_dir: Path) -> Codec | None:
    """Return the codec that the run will use, by a tokenizer that loads neither torch nor transformers.

    Args:
        model: which; its folder has been checked.
        study_dir: relative paths start here.

    Returns:
        The codec, or None if it is only known once the base is made.

    Raises:
        InputError: E-DATA-60 if the tokenizer does not fit.
    """
    if not known_before_run(model):
        return None
    if isinstance(model, TinyModel):
        files = train_bpe(default_text(), SIZES[model.tiny].vocabulary)
    else:
        assert isinstance(model, LocalModel)
        folder = (study_dir / model.path).expanduser()
        names = ("tokenizer.json", "tokenizer_config.json")
        files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    config = json.loads(files.get("tokenizer_config.json", b"{}"))
    special = {name: text for name in SPECIAL_NAMES if (text := token_text(config.get(name))) is not None}
    tokenizer = BareTokenizer(files["tokenizer.json"], special)
    if any(tokenizer.id_of(text) is None for text in special.values()):
        return None  # the library adds such tokens, with ids of its own
    # The codec is typed for the library's class; what it calls under the plain template is all here.
    return Codec(cast("Any", tokenizer), "plain")


class BareTokenizer:
    """The part of a fast tokenizer that counts tokens.

    Args:
        tokenizer_json: the file's bytes.
        special: names of special tokens (`bos_token`, ...) -> their texts.
    """

    chat_template = None

    def __init__(self, tokenizer_json: bytes, special: Mapping[str, str]) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer_json.decode())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.all_special_tokens = list(special.values())
        self.bos_token_id, self.eos_token_id, self.pad_token_id = (
            self.id_of(special.get(name)) for name in ("bos_token", "eos_token", "pad_token")
        )

    def id_of(self, token: str | None) -> int | None:
        """Return the id of a token, or None."""
        return None if token is None else self._tokenizer.token_to_id(token)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Tokens that were added to the vocabulary, by id."""
        return self._tokenizer.get_added_tokens_decoder()

    def get_vocab(self) -> dict[str, int]:
        """Return every token and its id."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the ids of a text."""
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
