"""Label margins at both ends of their range, and expected losses."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logit, logsumexp

from retrain_equivalence.metrics.distributional import expected_loss, label_margin
from retrain_equivalence.metrics.reduction import item_means, mean_over_items


@given(st.floats(1e-9, 1 - 1e-9))
def test_it_is_the_logit(p: float) -> None:
    # logit takes 1 - p from a rounded p: both lose 1e-16/(1 - p) there.
    slack = 1e-15 / (1 - p) + 1e-12
    assert label_margin.of_logps(math.log(p)) == pytest.approx(logit(p), abs=slack, rel=1e-12)


def test_it_is_the_published_margin_of_the_logits() -> None:
    logits = 4 * np.random.Generator(np.random.Philox(1)).normal(size=(50, 7))
    published = logits[:, 2] - logsumexp(np.delete(logits, 2, axis=1), axis=1)
    assert label_margin.of_logps(log_softmax(logits, axis=1)[:, 2]) == pytest.approx(published, abs=1e-10)


@pytest.mark.parametrize("exponent", [-2, -10, -18, -200])
def test_no_digit_is_lost_near_one(exponent: int) -> None:
    """For log p = -e the rest is e - e²/2 + ..., in exact fractions; `log(1 - exp(log p))` has nothing at 1e-18."""
    e = Fraction(10) ** exponent
    rest = e - e**2 / 2 + e**3 / 6 - e**4 / 24 + e**5 / 120 - e**6 / 720
    assert label_margin.of_logps(-float(e)) == pytest.approx(-float(e) - math.log(rest), rel=1e-12)


@pytest.mark.parametrize("logp", [-40.0, -300.0, -5000.0])
def test_far_from_one_it_is_the_log_probability(logp: float) -> None:
    assert label_margin.of_logps(logp) == pytest.approx(logp, abs=1e-15)


def test_the_ends_are_infinite_and_the_middle_is_smooth() -> None:
    assert label_margin.of_logps([0.0, -math.inf]).tolist() == [math.inf, -math.inf]
    around = label_margin.of_logps(-math.log(2) + np.array([-1e-9, 0.0, 1e-9]))
    assert around == pytest.approx([-2e-9, 0.0, 2e-9], abs=1e-15)


@given(st.lists(st.floats(-500, -1e-12), min_size=2, max_size=9))
def test_it_never_falls_when_the_label_gets_likelier(values: list[float]) -> None:
    margins = label_margin.of_logps(sorted(values))
    assert (np.diff(margins) >= 0).all()


@pytest.mark.parametrize("wrong", [1e-9, math.nan])
def test_what_is_no_log_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="at most 0"):
        label_margin.of_logps([-1.0, wrong])


def test_losses_are_means_within_items_first() -> None:
    assert expected_loss.of_items([-1.0, -2.0, -6.0, -3.0], [5, 5, 2, 5]).tolist() == [6.0, 2.0]
    assert expected_loss.difference([[1.0, 3.0], [2.0, 2.0]], [[0.0, 1.0]]) == 1.5


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-9, 9)), min_size=1, max_size=12))
def test_item_means_are_what_a_loop_finds(pairs: list[tuple[int, float]]) -> None:
    items, values = zip(*pairs, strict=True)
    loop = [np.mean([v for i, v in pairs if i == item]) for item in sorted(set(items))]
    assert item_means(values, items) == pytest.approx(loop, abs=1e-12)
    assert mean_over_items(values, items) == pytest.approx(np.mean(loop), abs=1e-12)


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ([[1.0]], [[1.0, 2.0]], "same items"),
        (np.zeros((0, 2)), [[1.0, 2.0]], "same items"),
        ([1.0], [[1.0]], "same items"),
        ([[math.inf]], [[1.0]], "finite"),
    ],
)
def test_wrong_losses_are_refused(one: object, two: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        expected_loss.difference(np.asarray(one), np.asarray(two))


def test_wrong_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        item_means([], [])
    with pytest.raises(ValueError, match="positions"):
        item_means([1.0], [0, 1])
