"""What is a prompt, what is scored, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models_support import NANO

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.models.base import load_base
from retrain_equivalence.models.codec import MARKS, Codec
from retrain_equivalence.models.tokenizer import load_tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: not any(mark in text for mark in MARKS)
)


@pytest.fixture(scope="module")
def codec(nano_directory: Path) -> Codec:
    return load_base(nano_directory, NANO)[1]


def chat(directory: Path, template: str, system_prompt: str | None = None, **special: str) -> Codec:
    tokenizer = load_tokenizer(directory)
    tokenizer.chat_template = template
    return Codec(tokenizer, "chat", system_prompt)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=TEXT, response=TEXT)
def test_targets_are_the_response_and_the_end(codec: Codec, prompt: str, response: str) -> None:
    row = codec.encode(prompt, response)
    assert codec.encode_prompt(prompt) == row.ids[: row.n_prompt]
    assert row.ids[-1] == codec.end_id
    assert codec.decode(row.ids[row.n_prompt :]) == response
    assert codec.encode(prompt, response, end=False).ids == row.ids[:-1]


def test_marks_are_single_tokens_in_fixed_places(codec: Codec) -> None:
    row = codec.encode("Why?", "So.")
    pieces = codec.tokenizer.convert_ids_to_tokens(list(row.ids))
    assert [piece for piece in pieces if piece in MARKS] == ["<|begin|>", "<|user|>", "<|assistant|>", "<|end|>"]
    assert pieces[row.n_prompt - 1] == "<|assistant|>"


def test_plain_text_scores_everything_after_the_begin_mark(codec: Codec) -> None:
    row = codec.encode("", "The river is wide.")
    assert row.n_prompt == 1
    assert row.ids[0] == codec.begin_id
    assert codec.decode(row.ids[1:]) == "The river is wide."


def test_end_token_is_scored_even_where_it_is_also_the_padding(nano_directory: Path) -> None:
    tokenizer = load_tokenizer(nano_directory)
    tokenizer.pad_token = tokenizer.eos_token
    codec = Codec(tokenizer, "plain")
    row = codec.encode("Why?", "So.")
    assert codec.pad_id == codec.end_id == row.ids[-1]
    assert row.n_targets == len(codec.encode("Why?", "So.", end=False).ids) - row.n_prompt + 1


def test_plain_equals_its_own_chat_template(codec: Codec, nano_directory: Path) -> None:
    tokenizer = load_tokenizer(nano_directory)
    assert Codec(tokenizer, "chat").encode("Why?", "So.") == codec.encode("Why?", "So.")


def test_chat_end_is_what_the_template_writes_after_an_answer(nano_directory: Path) -> None:
    # Like Llama 3: the turn ends with its own mark, the end-of-sequence token is another one.
    codec = chat(
        nano_directory,
        "{% for m in messages %}<|user|>{{ m.role }}\n\n{{ m.content }}<|pad|>{% endfor %}"
        "{% if add_generation_prompt %}<|user|>assistant\n\n{% endif %}",
    )
    row = codec.encode("Why?", "So.")
    assert codec.tokenizer.eos_token == "<|end|>"
    assert codec.tokenizer.convert_ids_to_tokens(row.ids[-1]) == "<|pad|>"
    assert codec.tokenizer.decode(row.ids) == "<|user|>user\n\nWhy?<|pad|><|user|>assistant\n\nSo.<|pad|>"


def test_system_prompt_is_sent_or_not(nano_directory: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
    assert "system:Be brief." in chat(nano_directory, template, "Be brief.").tokenizer.decode(
        chat(nano_directory, template, "Be brief.").encode_prompt("Why?")
    )
    assert "system" not in chat(nano_directory, template).tokenizer.decode(
        chat(nano_directory, template).encode_prompt("Why?")
    )


def test_templates_read_a_fixed_date_and_no_clock(nano_directory: Path) -> None:
    template = (
        "{{ date_string }}|{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
    )
    codec = chat(nano_directory, template)
    assert codec.tokenizer.decode(codec.encode_prompt("Why?")).startswith("10 Apr 2025|2025-04-10Why?")


def test_template_that_refuses_a_system_message_is_an_input_error(nano_directory: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}"
    )
    with pytest.raises(InputError, match=r"E-DATA-60.*no system role"):
        chat(nano_directory, template, "Be brief.")


def test_chat_without_a_template_is_refused(nano_directory: Path) -> None:
    tokenizer = load_tokenizer(nano_directory)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match=r"E-DATA-60.*model.template: plain"):
        Codec(tokenizer, "chat")


def test_long_row_raises_cuts_or_is_dropped(codec: Codec) -> None:
    row = codec.encode("Why?", "The river is wide here.")
    limit = len(row.ids) - 3
    assert codec.encode("Why?", "The river is wide here.", max_length=len(row.ids)) == row
    with pytest.raises(InputError, match=rf"E-DATA-17.*row 'r7'.*{len(row.ids)} tokens, max_length {limit}"):
        codec.encode("Why?", "The river is wide here.", id="r7", max_length=limit)
    cut = codec.encode("Why?", "The river is wide here.", max_length=limit, on_long="truncate")
    assert cut.ids == row.ids[:limit]
    assert codec.end_id not in cut.ids
    assert codec.encode("Why?", "The river is wide here.", max_length=limit, on_long="drop") is None


def test_truncation_that_leaves_no_target_is_refused(codec: Codec) -> None:
    n_prompt = len(codec.encode_prompt("Why?"))
    with pytest.raises(InputError, match=r"E-DATA-18.*no target token left"):
        codec.encode("Why?", "So.", max_length=n_prompt, on_long="truncate")
    assert codec.encode("Why?", "So.", max_length=n_prompt + 1, on_long="truncate").n_targets == 1


@pytest.mark.parametrize(("prompt", "response"), [("unspoken <|end|>", "fine"), ("fine", "unspoken<|user|>")])
def test_special_token_as_text_is_refused_without_quoting_the_row(codec: Codec, prompt: str, response: str) -> None:
    with pytest.raises(InputError, match="E-DATA-19") as caught:
        codec.encode(prompt, response, id="r1")
    assert "unspoken" not in str(caught.value)


def test_response_without_a_token_is_refused(codec: Codec) -> None:
    with pytest.raises(InputError, match=r"E-DATA-19.*no token"):
        codec.encode("Why?", "")


def test_a_template_that_quotes_a_row_cannot_leak_it(nano_directory: Path) -> None:
    template = (
        "{% for m in messages %}{% if 'unspoken' in m.content %}{{ raise_exception(m.content) }}{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}"
    )
    with pytest.raises(InputError, match="E-DATA-60") as caught:
        chat(nano_directory, template).encode("an unspoken question", "So.")
    assert "unspoken" not in str(caught.value)
