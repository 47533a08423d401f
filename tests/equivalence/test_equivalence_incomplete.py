"""Whatever enters a number must be there: a distance that is lost anywhere takes verdict and p-value away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from planted import asks, distance_rows, frame, still, study, vectors

from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import Finding, Verdict

Row = dict[str, Any]
GIVEN = study(
    asks("path_gap", value=2.0),
    asks("path_spread", value=2.0),
    asks("oracle_distance", times_band=3.0),
    asks("oracle_bias", value=2.0),
    replicates=8,
)
FIRST, LAST = (history.name for history in GIVEN.all_histories())
ORACLE = GIVEN.oracles()[0].name
BETWEEN = {"path_gap", "path_spread"}


def judged(lose: Callable[[Row, str, int], bool], *, drop: bool = False) -> dict[str, list[Finding]]:
    rows = []
    for row in distance_rows(GIVEN, vectors(GIVEN, still(), seed=5)):
        other, _, replicate = row["against"].partition("@")[0].partition("#")
        if lose(row, other, int(replicate)):
            if drop:
                continue
            row = row | {"value": None, "status": "unscored"}
        rows.append(row)
    found: dict[str, list[Finding]] = {}
    for f in compare(frame(rows), GIVEN):
        if f.verdict is not None and f.alignment == "at_end":
            found.setdefault(f.contrast, []).append(f)
    return found


def of_run_3(row: Row, replicate: int) -> bool:
    return 3 in (row["replicate"], replicate)


def within(row: Row, other: str, replicate: int) -> bool:
    return row["history"] == other == FIRST and of_run_3(row, replicate)


def across(row: Row, other: str, replicate: int) -> bool:
    return {row["history"], other} == {FIRST, LAST} and of_run_3(row, replicate)


def band(row: Row, other: str, replicate: int) -> bool:
    return row["history"] == other == ORACLE and of_run_3(row, replicate)


def test_with_everything_there_all_are_judged() -> None:
    found = judged(lambda row, other, replicate: False)
    assert set(found) == BETWEEN | {"oracle_distance", "oracle_bias"}
    assert {f.verdict for some in found.values() for f in some} == {Verdict.EQUIVALENT}
    assert all(f.p_value is not None for contrast in BETWEEN for f in found[contrast])


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(
    ("lose", "spoiled"),
    [(within, {*BETWEEN, "oracle_bias"}), (across, BETWEEN), (band, {"oracle_distance", "oracle_bias"})],
)
def test_a_lost_distance_takes_the_verdict_and_the_p_value(
    lose: Callable[[Row, str, int], bool], spoiled: set[str], drop: bool
) -> None:
    found = judged(lose, drop=drop)
    for contrast, some in found.items():
        for f in some:
            touched = contrast in spoiled and (lose is not within or FIRST in (f.history, f.other, "") or not f.history)
            if not touched:
                continue
            if lose is within and contrast == "oracle_bias" and f.history != FIRST:
                continue
            assert f.verdict is Verdict.INCONCLUSIVE, (contrast, f.reason)
            assert f.p_value is None
        if contrast not in spoiled:
            assert {f.verdict for f in some} == {Verdict.EQUIVALENT}


def test_an_interim_table_gives_no_p_value() -> None:
    more = study(asks("path_gap"), replicates=12)
    taken = study(asks("path_gap"), replicates=7)
    rows = distance_rows(taken, vectors(taken, still(), seed=5))
    found = [f for f in compare(frame(rows), more) if f.family]
    assert found
    assert {f.p_value for f in found} == {None}
    assert all("no test: interim: 5 of 12 registered runs" in f.reason for f in found)
    looked = study(asks("path_gap"), replicates=12, looks=(7,))
    at_look = [f for f in compare(frame(rows), looked) if f.family]
    assert {f.p_value for f in at_look} == {None}
    assert all("interim look 1 of 2, n = 7 of 12" in f.reason for f in at_look)
