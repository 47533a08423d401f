"""Sums of objectives: weights, dual variables, the parts' state; and every named composition as the sum it is."""

import math

import pytest
import torch

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.objectives.catalogue import answers_of, build, citations_of, needs, resolve, resolve_sum
from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.graddiff import GradDiff
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.objectives.npo_retain import NPORetain
from retrain_equivalence.objectives.pdu import PDU
from retrain_equivalence.objectives.retain_kl import RetainKL
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.objectives.rmu import RMU
from retrain_equivalence.objectives.rmu_forget import RMUForget
from retrain_equivalence.objectives.simnpo import SimNPO
from retrain_equivalence.objectives.simnpo_retain import SimNPORetain
from retrain_equivalence.objectives.weighted_sum import Dual, Part, WeightedSum, as_sum
from retrain_equivalence.recipes.objective import Term


def parts(composition):
    return [(part.objective, part.weight) for part in composition.composed().parts]


def test_every_composition_is_the_sum_of_its_terms():
    assert parts(GradDiff()) == [(GradientAscent(), 1.0), (RetainNLL(), 1.0)]
    assert parts(GradDiff(retain="kl", retain_weight=0.3)) == [(GradientAscent(), 1.0), (RetainKL(), 0.3)]
    assert parts(NPORetain(beta=0.2, retain="kl")) == [(NPO(beta=0.2), 1.0), (RetainKL(), 1.0)]
    assert parts(SimNPORetain(gamma=0.5)) == [(SimNPO(gamma=0.5), 0.125), (RetainNLL(), 1.0)]
    assert [weight for _, weight in parts(RMU(layer=2, retain_weight=4.0))] == [1.0, 4.0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GradDiff(retain="l2"), "retain must be nll or kl, found 'l2'"),
        (lambda: GradDiff(retain_weight=0.0), "retain_weight must be a finite number above 0"),
        (lambda: NPORetain(beta=0.0), "beta must be"),
        (lambda: SimNPORetain(forget_weight=-1.0), "forget_weight must be"),
        (lambda: SimNPORetain(gamma=float("nan")), "gamma must be finite"),
        (lambda: RMU(layer=-1), "layer must be at least 0"),
        (lambda: RMU(layer=1, steering=0.0), "steering must be"),
        (lambda: RMU(layer=1, retain_weight=0.0), "retain_weight must be"),
        (lambda: PDU(retain_bound=float("inf")), "bound must be finite"),
        (lambda: PDU(retain_bound=1.0, dual_rate=0.0), "rate must be"),
        (lambda: PDU(retain_bound=1.0, dual_start=-1.0), "start must be a finite number of at least 0"),
        (lambda: Part(objective=NPO(), weight=0.0), "weight must be a finite number above 0"),
    ],
)
def test_parameters_without_meaning_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_dual_variable_climbs_while_its_loss_is_above_the_bound():
    """λ = 1, η = 0.5, ε = 2: losses 3, 2, 0, -9 give 1.5, 1.5, 0.5 and then no less than 0."""
    found = PDU(dual_start=1.0, dual_rate=0.5, retain_bound=2.0).composed()
    memory = found.init(seed=0, width=4)
    assert memory["1/dual"].dtype is torch.float64
    seen = []
    for loss in (3.0, 2.0, 0.0, -9.0):
        memory = found.after_step(memory, (100.0, loss))
        seen.append(found.weights(memory))
    assert seen == [(1.0, 1.5), (1.0, 1.5), (1.0, 0.5), (1.0, 0.0)]


def test_the_dual_settles_where_the_bound_is_met():
    """Primal-dual on a scalar: minimise x^2 subject to (x - 3)^2 <= 1; the answer is x = 2, λ = 2."""
    dual, x, value = Dual(start=0.0, rate=0.01, bound=1.0), 0.0, 0.0
    for _ in range(20_000):
        x -= 0.01 * (2 * x + value * 2 * (x - 3))
        value = dual.after(value, (x - 3) ** 2)
    assert x == pytest.approx(2.0, abs=1e-6)
    assert value == pytest.approx(2.0, abs=1e-6)


def test_memories_of_parts_stay_apart():
    both = WeightedSum((Part(objective=RMUForget(layer=1)), Part(objective=RMUForget(layer=2))))
    memory = both.init(seed=3, width=5)
    assert set(memory) == {"0/direction", "1/direction"}
    assert set(both.memory_of(1, memory)) == {"direction"}
    assert float(both.memory_of(0, memory)["direction"].norm()) == pytest.approx(1.0, rel=1e-6)


def test_a_single_objective_is_a_sum_of_itself():
    one = as_sum(NPO())
    assert [(part.objective, part.weight) for part in one.parts] == [(NPO(), 1.0)]
    assert as_sum(one) is one


def test_a_study_may_add_up_objectives_and_compositions():
    terms = (
        Term(objective=resolve("npo", {"beta": 0.5}, ""), weight=2.0),
        Term(objective=resolve("graddiff", {"retain_weight": 3.0}, ""), weight=0.5),
    )
    recipe = resolve_sum(terms, "u")
    built = build(recipe)
    found = [(part.objective, part.weight) for part in built.parts]
    assert found == [(NPO(beta=0.5), 2.0), (GradientAscent(), 0.5), (RetainNLL(), 1.5)]
    assert needs(recipe).names() == ("forget", "reference", "retain")
    assert len(citations_of(recipe)) == 2
    assert answers_of(recipe) == ""
    assert answers_of(resolve_sum((Term(objective=resolve("idk", {}, "")),), "u")) == "idk"


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ((), "a weighted sum needs a term"),
        ((Term(objective=resolve("ga", {}, ""), weight=-1.0),), "the weight must be > 0, found -1"),
        ((Term(objective=resolve("ga", {}, ""), weight=math.nan),), "the weight must be > 0, found nan"),
        ((Term(objective=resolve_sum((Term(objective=resolve("ga", {}, "")),), "")),), "cannot be a term of another"),
    ],
)
def test_a_sum_that_is_none_is_refused(terms, said):
    with pytest.raises(StudyError, match=f"E-CFG-43.*{said}"):
        resolve_sum(terms, "unlearnings.x.objective")


def test_a_dual_part_takes_no_further_weight():
    pdu = resolve("pdu", {"retain_bound": 1.0}, "")
    assert len(build(resolve_sum((Term(objective=pdu),), "")).parts) == 2
    with pytest.raises(StudyError, match="a dual variable takes no further weight"):
        build(resolve_sum((Term(objective=pdu, weight=2.0),), ""))
