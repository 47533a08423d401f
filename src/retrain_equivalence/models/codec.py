"""From prompt and response to token ids, and which of them are scored.

Design. A row is *prompt ids* + *response ids* + *end id*. The scored targets are the ids after the prompt, by position;
nothing is ever recognised by its value, since many tokenizers pad with the very token that ends an answer, and a mask
`ids != pad` then removes the end token from training. The response is encoded apart from the prompt, so the prompt
ids of training are exactly those that generation continues from.

    plain   [begin] <|user|> prompt <|assistant|>  |  response <|end|>
    chat    the tokenizer's own template, with a fixed date  |  response, the template's end-of-turn mark
    text    begin  |  text [end]                                              (an empty prompt, both templates)
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from retrain_equivalence.core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, USER, ASSISTANT, END, PAD = "<|begin|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
MARKS = (PAD, BEGIN, USER, ASSISTANT, END)
"""The special tokens of a tiny model, in the order of their ids 0..4."""

PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""The plain layout as a chat template, so that an exported tiny model speaks it everywhere."""

TEMPLATE_DATE = datetime.date(2025, 4, 10)
"""The date that templates print: a clock would make ids depend on the day (open-unlearning fixes the same date)."""

_FIXED_CLOCK = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f"|replace('{code}','{TEMPLATE_DATE.strftime(code)}')" for code in ("%d", "%b", "%B", "%m", "%Y", "%y"))
    + " }}{% endmacro %}\n"
)
# A function cannot be passed in (template data are made plain), but a macro of the same name hides the library's clock.

SAMPLES = ("equivalence", "retrain")
"""The question and the answer that a template is tried on."""

OnLong = Literal["error", "truncate", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One row as token ids; the scored targets are `ids[n_prompt:]`."""

    id: str
    """The row's id."""
    ids: tuple[int, ...]
    """All ids, unpadded."""
    n_prompt: int
    """How many leading ids are not scored, 1 <= n_prompt <= len(ids)."""

    @property
    def n_targets(self) -> int:
        """How many ids are scored, end token included."""
        return len(self.ids) - self.n_prompt


class Codec:
    """A tokenizer with an explicit template and label mask.

    Args:
        tokenizer: a fast tokenizer.
        template: `plain` or `chat`.
        system_prompt: only `chat`: the system message; None sends none (a template may still add its own default).

    Raises:
        InputError: E-DATA-60 if the tokenizer cannot serve the template.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        template: Literal["plain", "chat"],
        system_prompt: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.system_prompt = system_prompt
        self._vocabulary = tokenizer.get_vocab()
        self._memory: dict[str, tuple[int, ...]] = {}
        special = sorted(
            {str(t) for t in tokenizer.all_special_tokens} | _added_specials(tokenizer), key=len, reverse=True
        )
        self._special = re.compile("|".join(map(re.escape, special))) if special else None
        if template == "plain":
            self.end_id = self._known(END) if self._known(END) is not None else tokenizer.eos_token_id
            if self.end_id is None:
                raise _unusable(
                    "it has neither the mark '<|end|>' nor an end-of-sequence token", "Choose a model that has one"
                )
        else:
            if not tokenizer.chat_template:
                raise _unusable("it has no chat template", "Set model.template: plain")
            if system_prompt is not None:
                self._render(SAMPLES[0], generation_prompt=True)
            self.end_id = self._end_of_turn()
        bos = tokenizer.bos_token_id
        self.begin_id: int = bos if bos is not None else self.end_id
        """Opens a plain text; a tokenizer without a begin token uses its end token, as GPT-2 does."""
        pad = tokenizer.pad_token_id
        self.pad_id: int = pad if pad is not None else self.end_id
        """Fills batches; never read, never scored."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids; the model's embedding has at least as many rows."""
        return len(self.tokenizer)

    def encode_prompt(self, prompt: str) -> tuple[int, ...]:
        """Return the ids up to where the response begins; `(begin_id,)` for an empty prompt."""
        if not prompt:
            return (self.begin_id,)
        if self.template == "chat":
            return self._ids(self._render(prompt, generation_prompt=True))
        begin = [] if self.tokenizer.bos_token_id is None else [self.begin_id]
        return (*begin, *self._mark(USER), *self._ids(prompt), *self._mark(ASSISTANT))

    @overload
    def encode(
        self, prompt: str, response: str, *, id: str = "", max_length: int | None = None,
        on_long: Literal["error", "truncate"] = "error", end: bool = True,
    ) -> Encoded: ...  # fmt: skip

    @overload
    def encode(
        self, prompt: str, response: str, *, id: str = "", max_length: int | None = None, on_long: OnLong,
        end: bool = True,
    ) -> Encoded | None: ...  # fmt: skip

    def encode(
        self,
        prompt: str,
        response: str,
        *,
        id: str = "",
        max_length: int | None = None,
        on_long: OnLong = "error",
        end: bool = True,
    ) -> Encoded | None:
        """Encode one row.

        Args:
            prompt: the question; empty for plain text, of which everything after the first id is scored.
            response: the scored text.
            id: the row's id, for messages; row texts are never quoted.
            max_length: tokens at most, >= 1; None does not limit.
            on_long: what to do above `max_length`: raise, cut the end off (the end token goes with it: a cut answer has
                no end to learn), or return None.
            end: whether the end token is added and scored; False when a label string is scored on its own.

        Returns:
            The row, or None if it was dropped.

        Raises:
            InputError: E-DATA-17 too long; E-DATA-18 no target left; E-DATA-19 special token written out as text, or
                no token at all.
        """
        for text, field in ((prompt, "prompt"), (response, "response")):
            if self._special is not None and (found := self._special.search(text)):
                raise InputError.of(
                    "E-DATA-19", f"row '{id}'", f"the {field} contains the special token '{found[0]}' as text",
                    "Remove it: it would be read as a mark, not as text",
                )  # fmt: skip
        before = self.encode_prompt(prompt)
        after = (*self._ids(response), *((self.end_id,) if end else ()))
        if not after or (end and len(after) == 1):
            raise InputError.of("E-DATA-19", f"row '{id}'", "the response has no token", "Remove the row")
        ids = (*before, *after)
        if max_length is not None and len(ids) > max_length:
            if on_long == "drop":
                return None
            if on_long == "error":
                raise InputError.of(
                    "E-DATA-17", f"row '{id}'", f"{len(ids):,} tokens, max_length {max_length:,}",
                    "Raise max_length, or set on_long: truncate or drop",
                )  # fmt: skip
            ids = ids[:max_length]
            if len(ids) <= len(before):
                raise InputError.of(
                    "E-DATA-18", f"row '{id}'",
                    f"no target token left after truncation: the prompt alone has {len(before):,} tokens, "
                    f"max_length {max_length:,}",
                    "Raise max_length, or set on_long: drop",
                )  # fmt: skip
        return Encoded(id=id, ids=ids, n_prompt=len(before))

    def decode(self, ids: tuple[int, ...] | list[int]) -> str:
        """Return the text of `ids` without special tokens, byte-exact otherwise."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _ids(self, text: str) -> tuple[int, ...]:
        # Probes ask for the same rows at every state of a study; tokenising them anew took a quarter of their time.
        if text not in self._memory:
            self._memory[text] = tuple(self.tokenizer.encode(text, add_special_tokens=False)) if text else ()
        return self._memory[text]

    def _known(self, mark: str) -> int | None:
        index = self._vocabulary.get(mark)
        return None if index is None else int(index)

    def _mark(self, mark: str) -> tuple[int, ...]:
        # A pretrained tokenizer without our marks spells them out: they are then several ordinary tokens.
        index = self._known(mark)
        return self._ids(mark) if index is None else (index,)

    def _render(self, prompt: str, *, generation_prompt: bool, response: str | None = None) -> str:
        import jinja2

        messages = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        messages.append({"role": "user", "content": prompt})
        if response is not None:
            messages.append({"role": "assistant", "content": response})
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                    chat_template=_FIXED_CLOCK + str(self.tokenizer.chat_template),
                    date_string=TEMPLATE_DATE.strftime("%d %b %Y"),
                )
            )
        except jinja2.TemplateError as error:
            # A template may quote the message it refuses, and a row's text must not reach a terminal: only our own may.
            why = str(error) if prompt in SAMPLES else type(error).__name__
            raise _unusable(f"its chat template refuses the messages: {why}", "Check model.system_prompt") from None

    def _end_of_turn(self) -> int:
        """Return the id that the template writes directly after an answer: what generation stops at."""
        question, answer = SAMPLES
        rendered = self._render(question, generation_prompt=False, response=answer)
        after = self._ids(rendered.rpartition(answer)[2].lstrip())
        if (
            after
            and self._special is not None
            and self._special.fullmatch(self.tokenizer.convert_ids_to_tokens(after[0]))
        ):
            return after[0]
        if self.tokenizer.eos_token_id is None:
            raise _unusable("its chat template ends an answer with no special token", "Set model.template: plain")
        return int(self.tokenizer.eos_token_id)


def _added_specials(tokenizer: PreTrainedTokenizerFast) -> set[str]:
    return {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}


def _unusable(what: str, fix: str) -> InputError:
    error = InputError.of("E-DATA-60", "model", f"the tokenizer does not fit: {what}", fix)
    assert isinstance(error, InputError)
    return error
