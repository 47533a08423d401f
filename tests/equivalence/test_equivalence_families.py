from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
from planted import asks, distance_rows, frame, still, study, vectors

from retrain_equivalence.equivalence import benjamini_hochberg, max_t, permutation, sign_flip
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.families import corrected
from retrain_equivalence.equivalence.finding import Finding, from_json, to_json
from retrain_equivalence.equivalence.holm import holm
from retrain_equivalence.equivalence.tost import PAIRED_T
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study


def one_test(
    p_value: float, *, family: str = "primary", sample: list[float] | None = None, method: str = PAIRED_T, n: int = 8
) -> Finding:
    return Finding(
        contrast="difference", quantity="q", probe="forget_loss", estimate=0.1, low=None, high=None, n=n, unit="u",
        method="m", reason="r", p_value=p_value, p_method=method, family=family,
        sample_R=None if sample is None else tuple(sample),
    )  # fmt: skip


def samples(K: int, R: int = 8, seed: int = 0) -> list[list[float]]:
    return np.random.default_rng(seed).normal(0.8, 1, size=(K, R)).tolist()  # type: ignore[no-any-return]


def test_paired_tests_of_the_same_replicates_are_corrected_by_max_t() -> None:
    values = samples(3)
    found = corrected([one_test(0.01 * (k + 1), sample=row) for k, row in enumerate(values)], seed=5)
    assert [f.p_adjusted for f in found] == pytest.approx(max_t.adjusted(np.array(values).T, seed=5).tolist())
    assert {f.p_adjustment for f in found} == {"maxT"}
    assert [f.p_value for f in found] == [0.01, 0.02, 0.03]


def test_a_replicate_that_is_absent_everywhere_is_left_out() -> None:
    values = np.array(samples(3))
    values[:, 2] = np.nan
    found = corrected([one_test(0.01, sample=row) for row in values.tolist()], seed=0)
    assert [f.p_adjusted for f in found] == pytest.approx(max_t.adjusted(np.delete(values, 2, axis=1).T).tolist())


@pytest.mark.parametrize("why", ["another test", "no sample", "other replicates", "few replicates", "alone"])
def test_any_other_family_is_corrected_by_holm(why: str) -> None:
    members = [one_test(0.01, sample=row) for row in samples(2)]
    if why == "another test":
        members.append(one_test(0.02, sample=samples(1)[0], method=permutation.METHOD))
    elif why == "no sample":
        members.append(one_test(0.02, method=sign_flip.METHOD))
    elif why == "other replicates":
        members.append(one_test(0.02, sample=[np.nan, *samples(1)[0][1:]]))
    elif why == "few replicates":
        members = [one_test(0.01, sample=row, n=5) for row in samples(2, R=5)]
    else:
        members = members[:1]
    found = corrected(members, seed=0)
    assert [f.p_adjusted for f in found] == pytest.approx(holm([f.p_value or 0.0 for f in members]))
    assert {f.p_adjustment for f in found} == {"Holm"}


def test_what_is_explored_is_corrected_by_benjamini_and_hochberg() -> None:
    members = [
        one_test(p, family="exploratory", sample=row) for p, row in zip((0.01, 0.04, 0.03), samples(3), strict=True)
    ]
    found = corrected(members, seed=0)
    assert [f.p_adjusted for f in found] == pytest.approx(benjamini_hochberg.adjusted([0.01, 0.04, 0.03]))
    assert {f.p_adjustment for f in found} == {"BH"}


def test_families_are_corrected_apart_and_what_has_none_is_left_alone() -> None:
    found = corrected(
        [one_test(0.01), one_test(0.02, family="other"), one_test(0.03), replace(one_test(0.04), family="")], seed=0
    )
    assert [f.p_adjusted for f in found] == [0.02, 0.02, 0.03, None]
    assert [f.p_adjustment for f in found] == ["Holm", "Holm", "Holm", ""]


def test_an_exact_test_says_how_many_replicates_its_correction_needs() -> None:
    twelve = [one_test(0.01, method=sign_flip.METHOD, n=8) for _ in range(12)]
    assert {f.n_needed for f in corrected(twelve, seed=0)} == {9}
    assert {f.n_needed for f in corrected(twelve, seed=0, alpha=0.01)} == {12}
    assert {f.n_needed for f in corrected([replace(f, n=9) for f in twelve], seed=0)} == {None}
    explored = [replace(f, family="exploratory", n=5) for f in twelve]
    assert {f.n_needed for f in corrected(explored, seed=0)} == {6}
    # More tests than drawn flips can serve: no n is promised.
    assert {f.n_needed for f in corrected(twelve * 50, seed=0)} == {None}


def test_a_permutation_says_how_many_runs_its_correction_needs() -> None:
    three = [replace(one_test(0.03, method=permutation.METHOD, n=4), n_oracles=4) for _ in range(3)]
    assert {f.n_needed for f in corrected(three, seed=0)} == {permutation.needed(4, 4, 0.05 / 3)} == {5}


def recorded(given: Study, effect: float, seed: int = 0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    rows = []
    for r in range(given.replicates):
        for history in (*given.all_histories(), *given.oracles()):
            places = [("", 0)] if history in given.oracles() else [("", 0), ("ga", 8)]
            for method, step in places:
                value = 1.0 + (effect if method else 0.0) + 0.1 * rng.normal()
                state = StateName(history=history.name, replicate=r, unlearning=method, step=step)
                rows.append(planted.row(state, "forget_loss", "i0", value, "nats/token"))
                rows.append(planted.row(state, "answer_logprob:instruct", "i0", -value, "nats/token"))
    return rows


def test_a_study_of_paired_scalars_is_corrected_by_max_t_and_writes_no_samples() -> None:
    given = study(asks("difference", "forget_loss"), asks("difference", "answer_logprob"), replicates=7)
    found = compare(frame(recorded(given, effect=2.0)), given)
    judged = [f for f in found if f.family]
    assert len(judged) == 4
    assert {(f.p_adjustment, f.p_adjusted) for f in judged} == {("maxT", 2.0**-6)}
    assert all(f.sample_R is None for f in found)
    assert b"sample_R" not in to_json(found)
    assert from_json(to_json(found)) == found


def test_distances_and_scalars_of_one_family_are_corrected_by_holm() -> None:
    given = study(asks("difference", "forget_loss"), asks("path_gap"), replicates=7)
    rows = [*recorded(given, effect=2.0), *distance_rows(given, vectors(given, still(1.0), seed=1))]
    assert {f.p_adjustment for f in compare(frame(rows), given) if f.p_adjusted is not None} == {"Holm"}


def test_family_wise_error_of_a_study_without_an_effect() -> None:
    given = study(asks("difference", "forget_loss"), asks("difference", "answer_logprob"), replicates=6)
    wrong = [
        min(f.p_adjusted for f in compare(frame(recorded(given, 0.0, seed)), given) if f.p_adjusted is not None) <= 0.05
        for seed in range(200)
    ]
    # At most 3.1 % can be attained with 6 replicates; Monte-Carlo sd 1.2 points.
    assert np.mean(wrong) <= 0.03125 + 3.3 * 0.0123
