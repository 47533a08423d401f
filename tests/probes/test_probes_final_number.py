"""The `#### n` convention, against the harness's own filter applied with `re` alone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.probes.final_number import flexible, normalise, strict


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2 + 2 = 4\n#### 4", "4"),
        ("#### -1,234.", "-1234"),
        ("#### 3.50 dollars", "3.50"),
        ("#### 7 or rather #### 8", "7"),
        ("####4", None),
        ("#### $5", None),
        ("four", None),
        ("", None),
    ],
)
def test_strict_reads_the_first_marked_number(text: str, number: str | None) -> None:
    assert strict(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("it is 3 and then 12", "12"),
        ("costs $1,200.", "1200"),
        ("7", "7"),
        ("-5", "-5"),
        ("from 3-5", "-5"),
        ("the answer is 9...", "9.."),
        ("wait ...", ".."),
        ("none", None),
    ],
)
def test_flexible_reads_the_last_number(text: str, number: str | None) -> None:
    assert flexible(text) == number


def harness(pattern: str, group_select: int, text: str) -> str | None:
    """`RegexFilter` and `exact_match` of lm-evaluation-harness 0.4, as published."""
    match = re.compile(pattern).findall(text)
    if not match:
        return None
    chosen = match[group_select]
    if isinstance(chosen, tuple):
        chosen = next(part for part in chosen if part)
    chosen = chosen.strip()
    for ignored in (",", r"\$", r"(?s).*#### ", r"\.$"):
        chosen = re.sub(ignored, "", chosen)
    return chosen.lower()


@given(st.text(alphabet="0123456789.,$-# \nab", max_size=40))
def test_both_readings_are_the_harness_s(text: str) -> None:
    assert strict(text) == harness(r"#### (\-?[0-9\.\,]+)", 0, text)
    assert flexible(text) == harness(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1, text)


def test_a_reference_answer_is_reduced_to_its_number() -> None:
    assert normalise("Half of 1,000 is 500.\n#### 500") == "500"
    assert normalise("#### 72.0") != normalise("#### 72")
