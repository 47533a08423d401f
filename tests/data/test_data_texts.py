"""Plain text, refusals and the texts of the named sets."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.gsm8k import without_marks
from retrain_equivalence.data.ingest import Locations, ingest
from retrain_equivalence.data.normal import same_text
from retrain_equivalence.data.refusals import REASONS, REFUSAL_LABEL, REFUSAL_OPENING, label, paraphrases, refusal
from retrain_equivalence.data.text import chunks
from retrain_equivalence.recipes.dataset import Gsm8kDataset, TextDataset, TofuDataset


@given(text=st.text(st.sampled_from("ab \n\u2028é"), max_size=200), length=st.integers(1, 40))
def test_chunks_keep_every_character_but_blanks(text: str, length: int) -> None:
    pieces = list(chunks(text, length))
    assert all(1 <= len(piece) <= length and piece == piece.strip() for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(words=st.lists(st.text("abc", min_size=1, max_size=10), max_size=40))
def test_chunks_cut_no_word_that_fits(words: list[str]) -> None:
    assert " ".join(chunks(" ".join(words), 10)).split() == words


def test_books_are_clusters(tmp_path: Path) -> None:
    books = [f"Book {n}: " + f"word{n} " * 100 for n in range(10)]
    (tmp_path / "mine.txt").write_text("\n<|endofbook|>\n".join(books), encoding="utf-8")
    where = Locations(study_dir=tmp_path, data_dir=None, offline=True)
    found = ingest(TextDataset(text="mine.txt", chunk_characters=64), where)
    assert {row.prompt for row in found.train} == {""}
    assert len({row.cluster for row in found.train}) == 9
    assert len({row.cluster for row in found.held_out}) == 1
    assert "warning[E-DATA-22]" in found.provenance.warnings[0]


def test_wrong_text_files_are_refused(tmp_path: Path) -> None:
    where = Locations(study_dir=tmp_path, data_dir=tmp_path, offline=True)
    wrong = {
        "mine.txt": [(b"a\nb\xff\n", "E-DATA-10", ":2"), (b"a\n\nb\x00", "E-DATA-13", ":3"), (b" \n", "E-DATA-24", "")],
        "mine.xz": [(lzma.compress(b"text"), "E-DATA-32", "")],
    }
    for name, cases in wrong.items():
        for data, code, line in cases:
            (tmp_path / name).write_bytes(data)
            with pytest.raises(InputError) as caught:
                ingest(TextDataset(text=name), where)
            assert (caught.value.problems[0].code, caught.value.problems[0].place) == (code, name + line)


def test_only_the_named_corpus_is_read_compressed(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    path = tmp_path / "corpus" / "classics_en.txt.xz"
    where = Locations(study_dir=tmp_path, data_dir=tmp_path, offline=True)
    path.write_bytes(lzma.compress(b"one two\n<|endofbook|>\nthree four"))
    found = ingest(TextDataset(text="classics_en", held_out=0.0), where)
    assert [row.response for row in found.train] == ["one two", "three four"]
    assert found.provenance.licence == "public domain"
    path.write_bytes(lzma.compress(b"one two")[:-20])
    with pytest.raises(InputError, match="is cut off"):
        ingest(TextDataset(text="classics_en"), where)
    path.write_bytes(lzma.compress(b"one two").replace(b"one", b"two"))
    with pytest.raises(InputError, match="is damaged"):
        ingest(TextDataset(text="classics_en"), where)
    path.write_bytes(lzma.compress(b"\0" * (257 << 20), preset=0))
    with pytest.raises(InputError, match="unpacks to more than 256 MB"):
        ingest(TextDataset(text="classics_en"), where)


def test_calculator_marks_go_and_the_number_stays() -> None:
    assert without_marks("2*500=<<2*500=1000>>1,000 $5 < 6 << 7\n#### 1,000") == "2*500=1,000 $5 < 6 << 7\n#### 1,000"


def test_a_solution_without_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "a", "answer": "four"}\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        ingest(Gsm8kDataset(gsm8k="test"), Locations(study_dir=tmp_path, data_dir=tmp_path, offline=True))
    assert caught.value.problems[0].code == "E-DATA-46"
    assert caught.value.problems[0].place == "gsm8k/test.jsonl:1"


def test_a_shortened_part_of_tofu_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tofu").mkdir()
    (tmp_path / "tofu" / "full.jsonl").write_text('{"question": "a", "answer": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"E-DATA-45.*1 rows, tofu full has 4000"):
        ingest(TofuDataset(tofu="full"), Locations(study_dir=tmp_path, data_dir=tmp_path, offline=True))


def test_refusals_open_alike_and_give_a_reason_of_their_id() -> None:
    written = {refusal(str(number)) for number in range(300)}
    assert written == {f"{REFUSAL_OPENING} {reason}" for reason in REASONS}
    assert refusal("7") == refusal("7")
    assert REFUSAL_OPENING.startswith(REFUSAL_LABEL)
    assert refusal("7", "can not").startswith("Sorry, I can not assist you with this question.")
    assert label("can not") == "Sorry, I can not assist you"


def test_there_are_twenty_paraphrases_none_of_which_is_the_label() -> None:
    texts = paraphrases()
    assert len(texts) == 20
    assert len({same_text(text) for text in texts} | {same_text(label()), same_text(label("can not"))}) == 22
    assert all(text == text.strip() and text.isascii() and len(text.split()) <= 12 for text in texts)
