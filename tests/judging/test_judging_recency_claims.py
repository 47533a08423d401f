"""What published single runs can carry: hand cases, scipy's binomial test, and the null that chance makes."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from judging_runs import written
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.judging import recency_claims
from retrain_equivalence.judging.recency_claims import Cell

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def published() -> tuple[Cell, ...]:
    return recency_claims.read_cells(DOCS / "published-table-1.csv")


def cells_of(lowest: dict[tuple[str, str], int], family: str = "f") -> list[Cell]:
    """Four positions for each (model, method), the given one lowest."""
    return [
        Cell(outcome="forget_score", model=model, family=family, method=method, position=p, value=float(p != position))
        for (model, method), position in lowest.items()
        for p in range(1, 5)
    ]


@pytest.mark.parametrize(("hits", "units", "positions"), [(5, 5, 4), (3, 5, 4), (0, 5, 4), (13, 15, 4), (2, 7, 3)])
def test_the_chance_is_the_binomial_tests(hits: int, units: int, positions: int) -> None:
    reference = stats.binomtest(hits, units, 1 / positions, alternative="greater").pvalue
    assert recency_claims.chance_of(hits, units, positions) == pytest.approx(reference, abs=1e-12)


def test_the_chance_is_the_share_of_all_outcomes() -> None:
    outcomes = list(product(range(4), repeat=5))
    for hits in range(6):
        share = sum(outcome.count(3) >= hits for outcome in outcomes) / len(outcomes)
        assert recency_claims.chance_of(hits, 5, 4) == pytest.approx(share, abs=1e-12)


def test_the_published_table_is_whole(published: tuple[Cell, ...]) -> None:
    assert len(published) == 3 * 5 * 3 * 4
    series = recency_claims.series_of(published, "forget_score")
    assert len(series) == 15
    assert series["Llama3.1-8B", "GA"] == (14.851, 7.203, 8.217, 2.920)
    assert series["Qwen2.5-14B", "NPO"] == (0.117, 1.021, 2.313, -0.855)
    assert recency_claims.series_of(published, "tofu_utility")["Llama2-13B", "SimNPO"] == (0.993, 0.977, 0.911, 0.978)
    assert recency_claims.series_of(published, "gsm8k_change")["Qwen2.5-1.5B", "NPO"] == (-0.161, -0.326, 0.292, -0.540)


def test_models_are_the_unit_of_the_published_claims(published: tuple[Cell, ...]) -> None:
    found = {(claim.unit, claim.method): claim for claim in recency_claims.claims(published)}
    for method in ("GA", "NPO"):
        claim = found["model", method]
        assert (claim.hits, claim.units) == (5, 5)
        assert claim.p_value == 0.25**5
        assert claim.p_any == 4 * 0.25**5
        assert claim.p_holm == pytest.approx(3 * 0.25**5)
    assert (found["model", "SimNPO"].hits, found["model", "SimNPO"].units) == (3, 5)
    assert found["model", "SimNPO"].p_value == pytest.approx(0.1035, abs=5e-5)
    assert {claim.units for (unit, _), claim in found.items() if unit == "family"} == {2}
    assert {claim.smallest_p for (unit, _), claim in found.items() if unit == "family"} == {0.0625}
    assert (found["cell", "all"].hits, found["cell", "all"].units) == (13, 15)


def test_the_exceptions_and_the_copies(published: tuple[Cell, ...]) -> None:
    odd = {(model, method) for model, method, _ in recency_claims.exceptions(published)}
    assert odd == {("Qwen2.5-1.5B", "SimNPO"), ("Qwen2.5-14B", "SimNPO")}
    one, two, alike, models, rho = recency_claims.agreement(published)[0]
    assert (one, two, alike, models) == ("GA", "NPO", 4, 5)
    assert rho == pytest.approx(0.88)


def test_start_levels(published: tuple[Cell, ...]) -> None:
    starts = {start.model: start for start in recency_claims.read_starts(DOCS / "published-figure-1.csv")}
    assert starts["Llama2-13B"].last_above == pytest.approx(-1.3 + (3.2 + 2.2 + 1.9) / 3)
    assert abs(starts["Llama3.2-1B"].last_above) < 0.1
    assert [start.last_is_highest for start in starts.values()] == [False, True, True, True]
    assert set(starts) < {cell.model for cell in published}


def test_a_family_is_a_hit_only_as_a_whole() -> None:
    cells = cells_of({("a", "ga"): 4, ("b", "ga"): 2}, "f") + cells_of({("c", "ga"): 4}, "g")
    found = {claim.unit: claim for claim in recency_claims.claims(cells)}
    assert (found["model"].hits, found["model"].units) == (2, 3)
    assert (found["family"].hits, found["family"].units) == (1, 2)


def test_a_tie_is_no_hit() -> None:
    assert not recency_claims.last_is_lowest((1.0, 2.0, 1.0))


def test_without_an_effect_the_count_over_models_keeps_its_level_and_over_cells_does_not() -> None:
    """Methods of one model are copies of one draw: 15 cells are 5 observations."""
    random = np.random.default_rng(1)
    by_model, by_cell, studies = 0, 0, 2000
    for _ in range(studies):
        scores = random.normal(size=(5, 4))
        hits = int((scores.argmin(axis=1) == 3).sum())
        by_model += recency_claims.chance_of(hits, 5, 4) <= 0.05
        by_cell += recency_claims.chance_of(3 * hits, 15, 4) <= 0.05
    attainable = 5 * 0.25**4 * 0.75 + 0.25**5
    assert by_model / studies == pytest.approx(attainable, abs=4 * math.sqrt(attainable / studies))
    assert by_cell / studies > 0.08


def test_the_expected_range_is_simulated() -> None:
    random = np.random.default_rng(2)
    drawn = random.normal(size=(200_000, 4))
    assert recency_claims.expected_range(4) == pytest.approx(np.ptp(drawn, axis=1).mean(), abs=0.01)
    ranges = recency_claims.path_ranges(cells_of({("a", "ga"): 1}), "forget_score")
    assert ranges[0].value == 1.0
    assert ranges[0].sd_by_chance == pytest.approx(1 / 2.0588, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "code"),
    [("model,position\na,1\n", "E-DATA-146"), ("model,position,start\na,1,high\n", "E-DATA-144")],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        recency_claims.read_starts(written(tmp_path / "f.csv", content))
    assert caught.value.problems[0].code == code
    with pytest.raises(InputError):
        recency_claims.read_cells(tmp_path / "none.csv")
