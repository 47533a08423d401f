"""A table is judged at the end and at declared looks; anything else is interim."""

from __future__ import annotations

import planted
import pytest
from planted import asks, study

from retrain_equivalence.equivalence import spending
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import ALPHA, Finding, Verdict

REGISTERED, LOOKS = 10, (6,)


def judged(present: int, *, looks: tuple[int, ...] = LOOKS, oracles: int = 0) -> tuple[Case, list[Finding]]:
    """Compare the first `present` replicates of a study whose histories lie far from their oracle."""
    given = study(
        asks("oracle_distance", times_band=1.5), replicates=REGISTERED, oracle_replicates=oracles, looks=looks
    )
    taken = study(*given.comparisons, replicates=present, oracle_replicates=oracles)
    states = planted.vectors(taken, planted.still(4.0), seed=5)
    frame = planted.frame(planted.distance_rows(taken, states))
    found = [f for f in compare(frame, given) if f.verdict is not None and f.test_set == "forget"]
    assert found
    return Case(frame, given), found


def test_a_declared_look_is_judged_at_its_own_level() -> None:
    case, found = judged(6)
    level = spending.levels(LOOKS, REGISTERED, ALPHA)[0]
    assert case.look is not None
    assert (case.look.number, case.look.of, case.look.n, case.look.registered) == (1, 2, 6, 10)
    assert case.alpha == level < ALPHA
    assert {f.n for f in found} == {6}
    assert {f.verdict for f in found} == {Verdict.DIFFERENT}
    assert all("interim look 1 of 2, n = 6 of 10" in f.reason for f in found)


def test_an_undeclared_number_of_replicates_is_interim() -> None:
    for looks in (LOOKS, ()):
        case, found = judged(7, looks=looks)
        assert case.look is None
        assert case.alpha == ALPHA
        assert {f.verdict for f in found} == {Verdict.INCONCLUSIVE}
        assert all(f.reason.startswith("interim: 3 of 10 registered runs") for f in found)


def test_the_end_spends_what_is_left() -> None:
    case, found = judged(REGISTERED)
    assert case.look is not None
    assert case.look.is_last
    assert case.alpha == spending.levels(LOOKS, REGISTERED, ALPHA)[1] < ALPHA
    assert all("the registered end, n = 10 of 10" in f.reason for f in found)
    wide, _ = judged(REGISTERED, looks=())
    assert wide.look is None
    assert wide.alpha == ALPHA


def test_the_bounds_of_a_look_are_wider() -> None:
    (early, *_), (plain, *_) = judged(6)[1], judged(6, looks=())[1]
    assert plain.verdict is Verdict.INCONCLUSIVE
    assert early.decision_low is not None
    assert early.low is not None
    assert early.decision_low < early.low


def test_oracles_of_a_look_are_those_of_its_table() -> None:
    case, found = judged(6, oracles=3)
    assert case.study.replicates == 6
    assert case.table.N == 9
    assert {f.missing for f in found} == {0}


def test_chosen_replicates_are_no_look() -> None:
    given = study(asks("oracle_distance", times_band=1.5), replicates=REGISTERED, looks=LOOKS)
    states = planted.vectors(given, planted.still(4.0), seed=5)
    rows = [row for row in planted.distance_rows(given, states) if not row["unlearning"] or row["replicate"] >= 4]
    assert Case(planted.frame(rows), given).look is None


def test_names_of_rows_that_were_cut_out_count_for_nothing() -> None:
    given = study(asks("oracle_distance", times_band=1.5), replicates=REGISTERED, looks=LOOKS)
    whole = planted.frame(planted.distance_rows(given, planted.vectors(given, planted.still(4.0), seed=5)))
    later = whole["against"].astype(str).str.extract(r"#(\d+)")[0].astype(int)
    cut = whole[(whole["replicate"] < 6) & (later < 6)]
    assert len(cut["against"].cat.categories) > cut["against"].nunique()
    look = Case(cut, given).look
    assert look is not None
    assert (look.n, look.oracle_replicates) == (6, 0)


@pytest.mark.parametrize("looks", [(5,), (5, 8), (3, 4, 6, 9)])
def test_every_table_before_the_end_is_a_look_or_interim(looks: tuple[int, ...]) -> None:
    for present in range(2, REGISTERED):
        case, _ = judged(present, looks=looks)
        assert (case.look is not None) is (present in looks)
