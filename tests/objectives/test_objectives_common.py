"""The common suite over every entry, and the proof that it can fail."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.objectives.base import POLICY_LOGPS, REFERENCE_LOGPS, Observed, Per, Seen, Terms
from retrain_equivalence.objectives.catalogue import OBJECTIVES, passes_of, resolve
from retrain_equivalence.recipes.passes import ForwardPass, Needs, Split
from retrain_equivalence.testing import check_objective

RETAIN_LOGPS = ForwardPass(split=Split.RETAIN)


REQUIRED = {
    "pdu": {"retain_bound": 1.0},
    "rmu": {"layer": 1},
    "rmu_forget": {"layer": 1},
    "retain_hidden": {"layer": 1},
}
"""Parameters that have no default."""


def made(name, **parameters):
    return OBJECTIVES[name](**REQUIRED.get(name, {}) | parameters)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_passes_the_suite(name):
    assert OBJECTIVES[name].name == name
    check_objective(made(name), seed=1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("npo", {"beta": 10.0}),
        ("simnpo", {"beta": 0.1, "gamma": 2.0}),
        ("simnpo_sequence", {"beta": 5.0}),
        ("dpo", {"beta": 2.0}),
        ("wga", {"beta": 0.0}),
        ("satimp", {"beta1": 0.0, "beta2": 0.5}),
        ("undial", {"beta": 0.5}),
        ("distill", {"beta": 20.0}),
        ("retain_kl", {"direction": "policy_to_reference"}),
        ("rmu_forget", {"layer": 3, "steering": 100.0}),
    ],
)
def test_other_parameters_pass_the_suite(name, parameters):
    check_objective(made(name, **parameters))


def test_what_is_derived_from_the_passes():
    def needing(what):
        derived = {name: Needs.of(passes_of(resolve(name, REQUIRED.get(name, {}), ""))) for name in OBJECTIVES}
        return {name for name, needs in derived.items() if getattr(needs, what)}

    with_retain = {"graddiff", "npo_retain", "simnpo_retain", "pdu", "rmu", "retain_nll", "retain_kl", "retain_hidden"}
    assert needing("retain") >= with_retain
    assert needing("preferred") >= {"dpo", "idk", "idk_dpo"}
    assert needing("teacher") == {"distill"}
    assert needing("hidden") == {"rmu", "rmu_forget", "retain_hidden"}
    assert needing("history") == set()
    assert needing("reference") >= {
        "npo",
        "npo_retain",
        "dpo",
        "idk_dpo",
        "undial",
        "rmu",
        "retain_kl",
        "retain_hidden",
    }
    local = {
        "nll",
        "ga",
        "npo",
        "simnpo",
        "simnpo_sequence",
        "wga",
        "satimp",
        "ce_u",
        "flat_logits",
        "uniform",
        "undial",
    }
    assert needing("is_local") >= local
    assert not needing("is_local") & (needing("retain") | needing("preferred") | needing("teacher"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """Minus the summed negative log-likelihood.

    Source: a loss of this test.

    >>> Ascent().per.value
    'token'
    """

    name: ClassVar[str] = "ascent"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = "@misc{a, title = {A}, year = {2025}}"

    def terms(self, seen: Seen) -> tuple[torch.Tensor, int]:
        policy = seen[POLICY_LOGPS]
        return policy.sequence_sums_B().sum(), int(policy.mask_BT.sum())

    def __call__(self, seen: Seen) -> Terms:
        total, count = self.terms(seen)
        return Terms(total=total, count=count, per=self.per)


def test_a_sound_loss_passes():
    check_objective(Ascent())


class Mutant(Ascent):
    """Minus the summed negative log-likelihood, spoilt in one place.

    Source: a loss of this test.

    >>> Mutant.name
    'ascent'
    """


class MultipliesByTheMask(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        policy = seen[POLICY_LOGPS]
        return (policy.values_BT * policy.mask_BT).sum(), int(policy.mask_BT.sum())


class TakesTheMean(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        total, count = Ascent.terms(self, seen)
        return total / count, count


class CountsPadding(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        return Ascent.terms(self, seen)[0], seen[POLICY_LOGPS].mask_BT.numel()


class LooksAtRowNumbers(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        sums_B = seen[POLICY_LOGPS].sequence_sums_B()
        return (sums_B * torch.arange(1.0, len(sums_B) + 1)).sum(), Ascent.terms(self, seen)[1]


class TakesTheLogarithmOfASigmoid(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        return torch.sigmoid(seen[POLICY_LOGPS].sequence_sums_B()).log().sum(), Ascent.terms(self, seen)[1]


class CountsEmptyRows(Mutant):
    __doc__ = Mutant.__doc__
    per = Per.SEQUENCE

    def terms(self, seen):
        sums_B = seen[POLICY_LOGPS].sequence_sums_B()
        return sums_B.sum(), len(sums_B)


class DividesByAnEmptyRow(Mutant):
    __doc__ = Mutant.__doc__
    per = Per.SEQUENCE

    def terms(self, seen):
        policy = seen[POLICY_LOGPS]
        return (policy.sequence_sums_B() / policy.tokens_B()).sum(), int(policy.mask_BT.any(dim=1).sum())


class DrawsRandomNumbers(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        total, count = Ascent.terms(self, seen)
        torch.rand(1)
        return total, count


class WritesIntoItsInput(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        terms = Ascent.terms(self, seen)
        with torch.no_grad():
            seen[POLICY_LOGPS].values_BT.sub_(1e-3)
        return terms


class ReadsWhatItDoesNotDeclare(Mutant):
    __doc__ = Mutant.__doc__

    def terms(self, seen):
        seen[REFERENCE_LOGPS]
        return Ascent.terms(self, seen)


class DeclaresWhatItDoesNotRead(Mutant):
    __doc__ = Mutant.__doc__
    passes = (POLICY_LOGPS, REFERENCE_LOGPS)


class ReadsRetainDataInVain(Mutant):
    __doc__ = Mutant.__doc__
    passes = (POLICY_LOGPS, RETAIN_LOGPS)

    def terms(self, seen):
        seen[RETAIN_LOGPS]
        return Ascent.terms(self, seen)


class HasNoSource(Mutant):
    """Minus the summed negative log-likelihood.

    >>> 1
    1
    """


class HasNoDoctest(Mutant):
    """Minus the summed negative log-likelihood. Source: here."""


class CitesNothing(Mutant):
    __doc__ = Mutant.__doc__
    cite = "somewhere"


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        (MultipliesByTheMask, "^mask: "),
        (TakesTheMean, "^micro-batches"),
        (CountsPadding, "^padding: count"),
        (LooksAtRowNumbers, "^batch order: total"),
        (TakesTheLogarithmOfASigmoid, "^finite: "),
        (CountsEmptyRows, "^fully masked row: count"),
        (DividesByAnEmptyRow, "^fully masked row: total"),
        (DrawsRandomNumbers, "^purity: torch's global generator"),
        (WritesIntoItsInput, "^purity: "),
        (DeclaresWhatItDoesNotRead, "^passes: .*never read"),
        (ReadsRetainDataInVain, "^locality: another retain batch must move the loss"),
        (HasNoSource, "^declaration: .*Source"),
        (HasNoDoctest, "^doctest: .*none"),
        (CitesNothing, "^declaration: `cite`"),
    ],
)
def test_each_fault_is_found_by_its_property(mutant, found):
    mutant = dataclass(frozen=True, kw_only=True)(mutant)
    with pytest.raises(AssertionError, match=found):
        check_objective(mutant())


def test_a_doctest_that_fails_is_found():
    # Made here and not in the module: the test run collects doctests of module-level classes itself.
    doc = "Minus the summed negative log-likelihood. Source: here.\n\n>>> 1\n2\n"
    mutant = type("HasAWrongDoctest", (Mutant,), {"__doc__": doc, "__module__": __name__})
    with pytest.raises(AssertionError, match=r"^doctest: (.|\n)*Expected"):
        check_objective(dataclass(frozen=True)(mutant)())


def test_an_undeclared_pass_raises_wherever_it_is_read():
    with pytest.raises(RunError, match=r"E-RUN-03.*forget/reference/token_logps"):
        check_objective(dataclass(frozen=True)(ReadsWhatItDoesNotDeclare)())


def test_seen_holds_declared_passes_only():
    observed = Observed(values_BT=torch.zeros(1, 2), mask_BT=torch.ones(1, 2).bool())
    seen = Seen({POLICY_LOGPS: observed, RETAIN_LOGPS: observed}, declared=(POLICY_LOGPS,), name="mine")
    assert list(seen) == [POLICY_LOGPS]
    assert len(seen) == 1
    assert seen[POLICY_LOGPS] is observed
    with pytest.raises(RunError, match="objective mine: reads retain/policy/token_logps"):
        seen[RETAIN_LOGPS]
