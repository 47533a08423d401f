"""Problems in one line, whatever they hold; families with their exit codes; errors that cross process borders."""

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.errors import (
    FAMILIES,
    MAX_LINE,
    InputError,
    InstrumentError,
    Problem,
    StudyError,
    raise_all,
    visible,
)

anything = st.text(st.characters(), max_size=400)


@given(anything)
def test_nothing_that_is_shown_can_act_in_a_terminal(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert not any(unicodedata.category(character).startswith(("C", "Zl", "Zp")) for character in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ü → 日本", "plain – ü → 日本"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("right‮left", "right\\u202eleft"),
        ("zero​width", "zero\\u200bwidth"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(anything, st.integers(1, 50))
def test_a_limit_is_kept(text: str, limit: int) -> None:
    shown = visible(text, limit=limit)
    assert len(shown) <= limit
    assert shown == visible(text) or shown.endswith("…")


def test_a_line_has_code_place_message_and_fix() -> None:
    problem = Problem(code="E-DATA-03", place="forget.jsonl:143", message="field 'answer' is missing", fix="add it")
    assert problem.line() == "error[E-DATA-03]: forget.jsonl:143: field 'answer' is missing. Fix: add it"
    bare = Problem(code="E-CFG-01", place="", message="Is it? (no)", severity="warning")
    assert bare.line() == "warning[E-CFG-01]: Is it? (no)"
    asked = Problem(code="E-CFG-01", place="", message="unknown (found x)", fix="use y")
    assert asked.line() == "error[E-CFG-01]: unknown (found x) Fix: use y"


@given(anything, anything, anything)
def test_every_problem_is_one_printable_line_of_bounded_length(place: str, message: str, fix: str) -> None:
    line = Problem(code="E-DATA-03", place=place, message=message, fix=fix).line()
    assert len(line) <= MAX_LINE
    assert line.isprintable()
    assert line.startswith("error[E-DATA-03]: ")


def test_a_long_message_gives_way_to_the_fix() -> None:
    line = Problem(code="E-DATA-03", place="a:1", message="m" * 1000, fix="do this").line()
    assert line.endswith("…. Fix: do this")
    assert len(line) <= MAX_LINE


def test_families_have_their_own_prefix_and_documented_exit_code() -> None:
    table = {family.prefix: family.exit_code for family in FAMILIES}
    assert table == {"E-CFG": 3, "E-DATA": 4, "E-STORE": 5, "E-ENV": 6, "E-LOCK": 7, "E-RUN": 8}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_carries_its_own_codes_only(family: type[InstrumentError]) -> None:
    error = family.of(f"{family.prefix}-01", "here", "wrong", "right it")
    assert type(error) is family
    assert str(error) == f"error[{family.prefix}-01]: here: wrong. Fix: right it"
    with pytest.raises(ValueError, match="codes, not E-OTHER-01"):
        family.of("E-OTHER-01", "here", "wrong")
    with pytest.raises(ValueError, match="at least one"):
        family()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_survives_pickling(family: type[InstrumentError]) -> None:
    problems = tuple(Problem(code=f"{family.prefix}-0{i}", place=f"f:{i}", message="m", fix="x") for i in (1, 2))
    error = pickle.loads(pickle.dumps(family(*problems)))
    assert type(error) is family
    assert error.problems == problems
    assert error.lines() == family(*problems).lines()


def test_at_most_twenty_problems_are_shown() -> None:
    problems = [Problem(code="E-CFG-01", place=f"f:{i}", message="m") for i in range(23)]
    lines = StudyError(*problems).lines()
    assert len(lines) == 21
    assert lines[-1] == "… and 3 more"
    assert len(StudyError(*problems[:20]).lines()) == 20


def test_raise_all_raises_everything_at_once_or_nothing() -> None:
    raise_all(InputError, [])
    problems = [Problem(code="E-DATA-01", place="a", message="m"), Problem(code="E-DATA-02", place="b", message="n")]
    with pytest.raises(InputError) as caught:
        raise_all(InputError, iter(problems))
    assert caught.value.problems == tuple(problems)
