from __future__ import annotations

from typing import Any

import pytest

from retrain_equivalence.report.recency_words import sentence

PARTS = ("total", "head_start", "speed")


def records(*values: tuple[float, float, float] | None, reached: int = 8, **given: Any) -> list[dict[str, Any]]:
    """Mean, low and high of total, head start and speed."""
    common = {
        "unlearning": "ga", "level_name": "oracle", "position": 4, "earlier": None, "unit": "steps", "replicates": 8,
        "reached": reached, "at_start": 0, "not_reached": 0, "runs": 32, "horizon": 20, "reason": "", "n": 8,
    }  # fmt: skip
    found = []
    for part, value in zip(PARTS, values, strict=True):
        mean, low, high = value or (None, None, None)
        found.append(common | {"part": part, "mean": mean, "low": low, "high": high} | given)
    return found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (((7.2, 6.3, 8.0), (6.8, 5.9, 7.7), (0.4, -0.2, 1.0)), "Recency shows, as a head start:"),
        (((7.2, 6.3, 8.0), (6.8, 5.9, 7.7), (0.4, 0.2, 0.6)), "Recency shows, mostly as a head start:"),
        (((7.0, 6.0, 8.0), (0.4, -0.2, 1.0), (6.6, 5.0, 8.0)), "Recency shows, as speed:"),
        (((7.0, 6.0, 8.0), (1.0, 0.5, 1.5), (6.0, 5.0, 7.0)), "Recency shows, mostly as speed:"),
        (((7.0, 6.0, 8.0), (3.0, 2.0, 4.0), (4.0, 3.0, 5.0)), "Recency shows, as a head start and as speed:"),
        (((7.0, 6.0, 8.0), (3.5, -1.0, 8.0), (3.5, -1.0, 8.0)), "Recency shows, but not whether as a head start"),
        (((-3.0, -4.0, -2.0), (-3.0, -4.0, -2.0), (0.0, -1.0, 1.0)), "The reverse of recency shows, as a head start:"),
        (((0.2, -1.0, 1.4), (0.1, -1.0, 1.2), (0.1, -1.0, 1.2)), "Recency does not show at this number of replicates:"),
    ],
)
def test_what_shows_is_read_from_the_intervals(values: tuple[tuple[float, float, float], ...], words: str) -> None:
    said = sentence(records(*values), "ga")
    assert said.startswith(words)
    assert "steps fewer" in said if values[0][0] < 0 else "steps more" in said
    assert "95 % interval of the difference" in said and "n = 8" in said


def test_a_split_over_some_replicates_says_so() -> None:
    said = sentence(records((17.4, 14.9, 19.9), (8.3, 5.3, 11.3), (4.9, -24.0, 34.0), reached=2, not_reached=6), "ga")
    assert "6 of 32 runs did not get there by step 20 and count with that" in said
    assert "over the 2 of 8 replicates in which every run got there, and which are therefore a selection" in said


def test_nothing_is_said_of_a_level_that_no_run_reached() -> None:
    given = records(None, None, None, reason="undefined: no run reached the level by step 20")
    assert sentence(given, "ga") == "Whether recency shows is undefined: no run reached the level by step 20."
    assert sentence(given, "npo") == ""


def test_runs_that_are_not_there_leave_a_covered_zero_undecided() -> None:
    given = records((0.8, -1.1, 2.8), None, None, not_reached=31, reason="undefined: in no replicate did every run")
    said = sentence(given, "ga")
    assert said.startswith("Recency is not decided by step 20:")
    assert "head start and speed are undefined: in no replicate did every run" in said


def test_one_replicate_tells_nothing() -> None:
    given = records((3.0, None, None), (2.0, None, None), (1.0, None, None))  # type: ignore[arg-type]
    assert sentence(given, "ga").startswith("Recency cannot be told from chance with one replicate")
