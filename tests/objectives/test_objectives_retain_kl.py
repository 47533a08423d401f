import numpy as np
import pytest
from scipy.special import rel_entr

from retrain_equivalence.objectives.retain_kl import RETAIN_DISTRIBUTION, RETAIN_REFERENCE, RetainKL


def divergence(one, two):
    """Mean over all retain tokens of KL(one || two), by scipy's elementwise relative entropy."""
    terms = [rel_entr(np.exp(a), np.exp(b)).sum(axis=1) for a, b in zip(one, two, strict=True) if len(a)]
    return float(np.concatenate(terms).mean())


def written_out(one, two):
    """The same with free log-probabilities, as the gradient sees them: sum of e^a (a - b)."""
    terms = [(np.exp(a) * (a - b)).sum(axis=1) for a, b in zip(one, two, strict=True)]
    return float(np.concatenate(terms).mean())


def test_value_and_gradient_agree_with_the_formula(agrees_on_passes):
    agrees_on_passes(
        RetainKL(),
        lambda drawn, labels: divergence(drawn[RETAIN_REFERENCE], drawn[RETAIN_DISTRIBUTION]),
        surrogate=lambda drawn, labels, base: written_out(drawn[RETAIN_REFERENCE], drawn[RETAIN_DISTRIBUTION]),
    )
    agrees_on_passes(
        RetainKL(direction="policy_to_reference"),
        lambda drawn, labels: divergence(drawn[RETAIN_DISTRIBUTION], drawn[RETAIN_REFERENCE]),
        surrogate=lambda drawn, labels, base: written_out(drawn[RETAIN_DISTRIBUTION], drawn[RETAIN_REFERENCE]),
    )


def test_it_is_zero_at_the_start_model_and_positive_elsewhere(evaluated_on_passes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = [rng.normal(size=(3, 5)) for _ in range(2)]
        one, two = (values - np.logaddexp.reduce(values, axis=1, keepdims=True) for values in drawn)
        for direction in ("reference_to_policy", "policy_to_reference"):
            loss = RetainKL(direction=direction)
            labels = {RETAIN_DISTRIBUTION.split: [np.zeros(3)]}
            same, _ = evaluated_on_passes(loss, {RETAIN_DISTRIBUTION: [one], RETAIN_REFERENCE: [one]}, labels)
            other, _ = evaluated_on_passes(loss, {RETAIN_DISTRIBUTION: [one], RETAIN_REFERENCE: [two]}, labels)
            assert same == 0.0
            assert other > 0.0


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="direction must be reference_to_policy or policy_to_reference, found 'both'"):
        RetainKL(direction="both")


def test_hand_arithmetic(evaluated_on_passes):
    # r = (1/2, 1/2), p = (1/4, 3/4): KL(r || p) = 1/2 ln(4/3), KL(p || r) = 1/4 ln(1/2) + 3/4 ln(3/2).
    drawn = {RETAIN_REFERENCE: [np.log([[0.5, 0.5]])], RETAIN_DISTRIBUTION: [np.log([[0.25, 0.75]])]}
    labels = {RETAIN_DISTRIBUTION.split: [np.zeros(1)]}
    loss, gradients = evaluated_on_passes(RetainKL(), drawn, labels)
    assert loss == pytest.approx(0.5 * np.log(4 / 3), rel=1e-13)
    assert gradients[RETAIN_DISTRIBUTION][0][0] == pytest.approx([-0.5, -0.5], rel=1e-14)
    loss, _ = evaluated_on_passes(RetainKL(direction="policy_to_reference"), drawn, labels)
    assert loss == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5), rel=1e-13)


def test_extreme_ratios_are_exact(evaluated_on_passes):
    # At log-probabilities (0, -1e4, -1e4) two probabilities are 0 in float64; their logarithms are not.
    flat, sharp = [np.full((1, 3), -np.log(3))], [np.array([[0.0, -1e4, -1e4]])]
    drawn = {RETAIN_DISTRIBUTION: sharp, RETAIN_REFERENCE: flat}
    labels = {RETAIN_DISTRIBUTION.split: [np.zeros(1)]}
    loss, gradients = evaluated_on_passes(RetainKL(), drawn, labels)
    assert loss == pytest.approx(2e4 / 3 - np.log(3), rel=1e-14)
    assert gradients[RETAIN_DISTRIBUTION][0][0] == pytest.approx([-1 / 3] * 3, rel=1e-14)
    loss, gradients = evaluated_on_passes(RetainKL(direction="policy_to_reference"), drawn, labels)
    assert loss == pytest.approx(np.log(3), rel=1e-14)
    assert gradients[RETAIN_DISTRIBUTION][0][0] == pytest.approx([1 + np.log(3), 0.0, 0.0], rel=1e-14)
