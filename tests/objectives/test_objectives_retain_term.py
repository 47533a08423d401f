"""Compositions of a forget loss and a retain term as whole losses, against one formula each: signs, weights, rows."""

from dataclasses import dataclass

import numpy as np
import pytest

from retrain_equivalence.objectives.base import POLICY_LOGPS, REFERENCE_LOGPS, RETAIN_LOGPS, Per, Terms
from retrain_equivalence.objectives.graddiff import GradDiff
from retrain_equivalence.objectives.npo_retain import NPORetain
from retrain_equivalence.objectives.retain_kl import RETAIN_DISTRIBUTION, RETAIN_REFERENCE
from retrain_equivalence.objectives.simnpo_retain import SimNPORetain
from retrain_equivalence.objectives.weighted_sum import WeightedSum
from retrain_equivalence.recipes.passes import Needs, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A sum as one loss, as the training loop adds it up: every part divided by its own count, then weighted."""

    sum: WeightedSum

    @property
    def passes(self):
        return self.sum.passes

    def __call__(self, seen):
        made = [part.objective(seen) for part in self.sum.parts]
        means = [w * terms.total / terms.count for w, terms in zip(self.sum.weights({}), made, strict=True)]
        return Terms(total=sum(means), count=1, per=Per.SEQUENCE)


def whole(composition):
    return Whole(sum=composition.composed())


def ascent(drawn):
    return np.concatenate(drawn[POLICY_LOGPS]).mean()


def npo(beta):
    def loss(drawn):
        ratios = [y.sum() - r.sum() for y, r in zip(drawn[POLICY_LOGPS], drawn[REFERENCE_LOGPS], strict=True) if len(y)]
        return np.mean([2 / beta * np.logaddexp(0.0, beta * ratio) for ratio in ratios])

    return loss


def simnpo(beta, gamma):
    def loss(drawn):
        rows = [row for row in drawn[POLICY_LOGPS] if len(row)]
        return np.mean([2 / beta * np.logaddexp(0.0, beta * row.sum() / len(row) + gamma) for row in rows])

    return loss


def nll(drawn):
    return -np.concatenate(drawn[RETAIN_LOGPS]).mean()


def kl(drawn):
    theirs, ours = np.concatenate(drawn[RETAIN_REFERENCE]), np.concatenate(drawn[RETAIN_DISTRIBUTION])
    return (np.exp(theirs) * (theirs - ours)).sum(axis=1).mean()


@pytest.mark.parametrize(("retain", "term"), [("nll", nll), ("kl", kl)])
@pytest.mark.parametrize(
    ("kind", "parameters", "forget_weight", "forget"),
    [
        (GradDiff, {}, 1.0, ascent),
        (NPORetain, {"beta": 0.3}, 1.0, npo(0.3)),
        (SimNPORetain, {"beta": 2.0, "gamma": 0.5, "forget_weight": 0.25}, 0.25, simnpo(2.0, 0.5)),
    ],
    ids=["graddiff", "npo_retain", "simnpo_retain"],
)
def test_value_and_gradient_agree_with_the_formula(
    agrees_on_passes, kind, parameters, forget_weight, forget, retain, term
):
    composition = kind(**parameters, retain=retain, retain_weight=1.7)
    agrees_on_passes(whole(composition), lambda drawn, labels: forget_weight * forget(drawn) + 1.7 * term(drawn))


def test_hand_arithmetic(evaluated_on_passes):
    """Forget -1 and -3, retain -5 (one token): ascent -2 + 2 * 5 = 8; each split is a mean over its own tokens."""
    drawn = {POLICY_LOGPS: [np.array([-1.0, -3.0])], RETAIN_LOGPS: [np.array([-5.0])]}
    labels = {Split.FORGET: [np.zeros(2)], Split.RETAIN: [np.zeros(1)]}
    loss, gradients = evaluated_on_passes(whole(GradDiff(retain_weight=2.0)), drawn, labels)
    assert loss == 8.0
    assert list(gradients[POLICY_LOGPS][0]) == [0.5, 0.5]
    assert list(gradients[RETAIN_LOGPS][0]) == [-2.0]


def test_at_the_start_model_npo_has_the_gradient_of_gradient_difference_on_single_tokens(evaluated_on_passes):
    """At a ratio of 1 the weight 2 σ(0) is 1; rows of one token make the mean over rows that over tokens."""
    rows = [np.array([-0.7]), np.array([-2.0])]
    drawn = {POLICY_LOGPS: rows, REFERENCE_LOGPS: rows, RETAIN_LOGPS: [np.array([-5.0])] * 2}
    labels = {Split.FORGET: [np.zeros(1)] * 2, Split.RETAIN: [np.zeros(1)] * 2}
    _, ours = evaluated_on_passes(whole(NPORetain(beta=0.4, retain_weight=3.0)), drawn, labels)
    _, theirs = evaluated_on_passes(whole(GradDiff(retain_weight=3.0)), drawn, labels)
    for asked in (POLICY_LOGPS, RETAIN_LOGPS):
        np.testing.assert_allclose(np.concatenate(ours[asked]), np.concatenate(theirs[asked]), rtol=1e-14)


@pytest.mark.parametrize("kind", [GradDiff, NPORetain, SimNPORetain])
def test_the_word_decides_what_is_read(kind):
    """With a retain term no composition is local; `kl` reads the start model too."""
    for retain, reference in (("nll", kind is NPORetain), ("kl", True)):
        needs = Needs.of(kind(retain=retain).composed().passes)
        assert needs.retain
        assert not needs.is_local
        assert needs.reference is reference


@pytest.mark.parametrize("kind", [GradDiff, NPORetain, SimNPORetain])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"retain": "NLL"}, "retain must be nll or kl, found 'NLL'"),
        ({"retain_weight": -1.0}, "retain_weight must be a finite number above 0, found -1.0"),
        ({"retain_weight": float("inf")}, "retain_weight must be a finite number above 0, found inf"),
    ],
)
def test_a_retain_term_without_meaning_is_refused(kind, wrong, said):
    with pytest.raises(ValueError, match=said):
        kind(**wrong)
