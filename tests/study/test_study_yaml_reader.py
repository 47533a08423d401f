"""The reader: numbers of YAML 1.2, places, and inputs that are only there to break it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.study.dump import _flow
from retrain_equivalence.study.places import Position
from retrain_equivalence.study.yaml_reader import plain_scalar, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1.0e-5", 1e-5), ("1E5", 1e5), (".5", 0.5), ("1.", 1.0), ("-3", -3), ("+3", 3), ("0", 0),
        ("-0.0", -0.0), ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("True", "True"), ("y", "y"), ("012", "012"),
        ("0x10", "0x10"), ("0o7", "0o7"), ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("1_000", "1_000"),
        (".inf", ".inf"), (".nan", ".nan"), ("1e", "1e"), ("-", "-"), ("١", "١"),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: object) -> None:
    """Type and value."""
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


def test_quoted_scalars_are_text() -> None:
    """Quotes make text of anything."""
    assert read_yaml("a: '1'\nb: \"true\"\nc: |\n  12\n", "s").value == {"a": "1", "b": "true", "c": "12\n"}


def test_positions() -> None:
    """A key's own place in a mapping, an item's in a list; both from 1."""
    document = read_yaml("a: 1\nb:\n  - {c: 2, d: [3, 4]}\n", "s")
    places = {path: (at.line, at.column) for path, at in document.positions.items()}
    assert places == {
        (): (1, 1), ("a",): (1, 1), ("b",): (2, 1), ("b", 0): (3, 5), ("b", 0, "c"): (3, 6), ("b", 0, "d"): (3, 12),
        ("b", 0, "d", 0): (3, 16), ("b", 0, "d", 1): (3, 19),
    }  # fmt: skip
    assert str(document.positions["b", 0]) == "s:3:5"


def test_both_parsers_agree(monkeypatch: pytest.MonkeyPatch, study_text: str) -> None:
    """PyYAML with and without libyaml gives the same values and places."""
    import yaml

    fast = read_yaml(study_text, "s")
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    slow = read_yaml(study_text, "s")
    assert (fast.value, fast.positions) == (slow.value, slow.positions)
    assert not fast.problems
    assert not slow.problems


def test_byte_order_mark_is_ignored() -> None:
    """Some editors write one."""
    assert read_yaml("\ufeffa: 1\n", "s").value == {"a": 1}


def test_a_long_folder_is_cut_from_the_left() -> None:
    """The file's own name stays."""
    shown = str(Position("/x" * 100 + "/study.yaml", 3, 4))
    assert len(shown) < 90
    assert shown.endswith("/study.yaml:3:4")


@pytest.mark.parametrize(
    "text",
    ["[" * 500, "{a: " * 500, "- " * 500 + "x", "? " * 300 + "x", "a: " + "9" * 100_000, "a: " + "x" * 900_000,
     "a: 1\n" * 100_000, "- {x: 1, y: 2}\n" * 60_000],
    ids=["lists", "mappings", "blocks", "keys", "digits", "one text", "duplicates", "many"],
)  # fmt: skip
def test_hostile_input_is_quick(text: str) -> None:
    """Bounded by the size of the file, without recursion."""
    start = time.perf_counter()
    read_yaml(text, "s")
    assert time.perf_counter() - start < 10  # about 1 s; the bound leaves room for a busy machine


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other outcome."""
    document = read_yaml(text, "s")
    assert document.value is not None or document.problems
    for problem in document.problems:
        assert problem.code.startswith("E-CFG")
        assert len(problem.line()) <= 300


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])).filter(
        lambda text: not any(mark in text for mark in ("${", "{{", "$("))
    ),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["a", "b", "no", "1"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_written_values_are_read_back(value: object) -> None:
    """`dump`'s scalars survive the reader, bit by bit."""
    document = read_yaml("a: " + _flow(value) + "\n", "s")
    assert not document.problems
    assert json.dumps(document.value) == json.dumps({"a": value})
