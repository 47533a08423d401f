"""Keys and digests: equal exactly if asked in the same way."""

import json
import math
from dataclasses import dataclass
from enum import Enum, StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.identity import (
    Key,
    canonical_json,
    digest_of_bytes,
    digest_of_files,
    explain,
    key_of,
    plain,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


class Colour(StrEnum):
    RED = "red"


class Number(Enum):
    ONE = 1


@dataclass(frozen=True)
class Point:
    x: int
    y: tuple[float, ...] = ()


def shuffled(value: object) -> object:
    """The same value with every dict in reverse order and every list as a tuple."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return tuple(map(shuffled, value)) if isinstance(value, list) else value


def same(one: object, two: object) -> bool:
    """Equality that tells 1, 1.0 and True apart, and 0.0 from -0.0."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float) and isinstance(two, float):
        return one == two and math.copysign(1, one) == math.copysign(1, two)
    return one == two


@given(values)
def test_the_order_of_fields_is_not_identity(value: object) -> None:
    assert canonical_json(shuffled(value)) == canonical_json(value)
    assert key_of("stage", shuffled(value)) == key_of("stage", value)


@given(values, values)
def test_two_values_share_a_text_exactly_if_they_are_the_same(one: object, two: object) -> None:
    assert (canonical_json(one) == canonical_json(two)) == same(one, two)
    assert (explain(one, two) is None) == same(one, two)


@given(values)
def test_the_text_can_be_read_back(value: object) -> None:
    assert same(json.loads(canonical_json(value)), plain(value))


def test_numbers_texts_and_booleans_are_four_things() -> None:
    texts = {canonical_json(value) for value in (1, 1.0, "1", True)}
    assert texts == {"1", "1.0", '"1"', "true"}
    assert len({key_of("stage", {"a": value}) for value in (1, 1.0, "1", True)}) == 4


def test_dataclasses_enums_and_tuples_have_plain_forms() -> None:
    assert canonical_json(Point(1, (0.5,))) == '{"x":1,"y":[0.5]}'
    assert canonical_json({"c": Colour.RED, "n": Number.ONE}) == '{"c":"red","n":1}'
    assert canonical_json("é→") == '"é→"'


@pytest.mark.parametrize(
    "value",
    [print, lambda: 0, {1, 2}, b"bytes", object(), Point, np.int64(3), np.zeros(2), iter([])],
    ids=["function", "lambda", "set", "bytes", "object", "class", "numpy integer", "array", "iterator"],
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="canonical form"):
        canonical_json({"deep": [value]})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="canonical form"):
        canonical_json([value])


def test_keys_must_be_text() -> None:
    with pytest.raises(ValueError, match="must be text"):
        canonical_json({1: "a"})


def test_kind_recipe_parents_and_their_order_all_enter_the_key() -> None:
    a, b = Key("a" * 64), Key("b" * 64)
    keys = [
        key_of("stage", {}),
        key_of("unlearn", {}),
        key_of("stage", {"x": 1}),
        key_of("stage", {}, [a]),
        key_of("stage", {}, [a, b]),
        key_of("stage", {}, [b, a]),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)


def test_keys_are_the_same_in_every_process_and_version() -> None:
    # Written down once: if this changes, every store in the world is recomputed.
    assert key_of("stage", {"a": [1, 1.5, None, "x"]}) == (
        "088ad2043a942eb6ff2555838d1317f6bc5effb0564821b30ab694e9615f265d"
    )


def test_a_folder_s_digest_sees_names_sizes_and_contents() -> None:
    base = {"a": (1, "x"), "b": (2, "y")}
    assert digest_of_files(base) == digest_of_files(dict(reversed(base.items())))
    others = [
        {"a": (1, "x")},
        {"a": (1, "x"), "c": (2, "y")},
        {"a": (2, "x"), "b": (2, "y")},
        {"a": (1, "z"), "b": (2, "y")},
    ]
    assert len({digest_of_files(files) for files in (base, *others)}) == 5
    assert digest_of_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1.0}}, "a.b: 1 -> 1.0"),
        ({"a": 1}, {"b": 1}, "a: 1 -> (absent)"),
        ({}, {"b": [1]}, "b: (absent) -> [1]"),
        ({"s": [{"lr": 1}, {"lr": 2}]}, {"s": [{"lr": 1}, {"lr": 3}]}, "s[1].lr: 2 -> 3"),
        ({"s": [1]}, {"s": [1, 2]}, "s: [1] -> [1,2]"),
        (1, True, "(root): 1 -> true"),
        (Point(1), Point(2), "x: 1 -> 2"),
    ],
)
def test_explain_names_the_first_field_that_differs(old: object, new: object, told: str) -> None:
    assert explain(old, new) == told
