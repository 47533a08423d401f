"""Cards: what `list objectives` and docs/objectives.md say, read from a class."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from retrain_equivalence.objectives.base import POLICY_LOGPS, REFERENCE_LOGPS
from retrain_equivalence.objectives.card import bibtex_field, card_of, cited_as, formula_of, source_of
from retrain_equivalence.objectives.catalogue import OBJECTIVES
from retrain_equivalence.objectives.cost import Cost
from retrain_equivalence.recipes.passes import Needs


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_has_a_whole_card(name):
    card = card_of(OBJECTIVES[name])
    assert card.name == name
    assert card.what.endswith(".")
    assert card.formula.startswith("`L = ")
    assert len(card.source) > 20
    assert card.needs is not None
    assert card.cost is not None and card.cost.forward >= card.cost.backward >= 1
    assert card.cited[-4:].isdigit()
    assert card.cite_key


def test_names_of_others_are_those_of_one_objective_only():
    listed = [(name, other.lower()) for name, kind in OBJECTIVES.items() for other in card_of(kind).also_called]
    assert len({other for _, other in listed}) == len(listed)
    assert all(other not in OBJECTIVES for _, other in listed)
    assert ("ga", "gradascent") in listed


def test_a_given_value_decides_and_a_wrong_one_is_refused():
    assert card_of(OBJECTIVES["graddiff"]).needs == Needs(retain=True)
    assert card_of(OBJECTIVES["graddiff"], {"retain": "kl"}).needs == Needs(retain=True, reference=True)
    assert card_of(OBJECTIVES["rmu"]).defaults == "layer, steering=2.0, retain_weight=1.0"
    with pytest.raises(ValueError, match="retain must be"):
        card_of(OBJECTIVES["graddiff"], {"retain": "nothing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Picky:
    """Ascent of an order.

    Source: a test.
    """

    name: ClassVar[str] = "picky"
    cite: ClassVar[str] = "none"
    order: str

    def __post_init__(self):
        if self.order not in ("first", "second"):
            raise ValueError(f"order must be first or second, found {self.order!r}")

    @property
    def passes(self):
        return (POLICY_LOGPS,) if self.order == "first" else (POLICY_LOGPS, REFERENCE_LOGPS)


def test_what_a_parameter_without_default_decides_is_not_guessed():
    card = card_of(Picky)
    assert (card.needs, card.cost, card.formula, card.cited, card.cite_key) == (None, None, "", "", "")
    assert card_of(Picky, {"order": "second"}).needs == Needs(reference=True)
    assert card_of(Picky, {"order": "second"}).cost == Cost(forward=1, backward=1, once=1)


def test_paragraphs_after_a_heading_are_no_formula():
    assert formula_of("A loss.\n\nArgs of `__call__`:\n    seen: it.\n\n`L = 1`") == ""
    assert formula_of("A loss.\n\nIn words.\n\n`L = 1`\nand more.") == "`L = 1` and more."


def test_a_source_ends_where_its_section_does():
    assert source_of("A.\n\nSource:\n    One.\n\n    Two.\n\nAfter.") == "One. Two."
    assert source_of("A.\n\nSource: One,\ntwo.\n\nAfter.") == "One, two."
    assert source_of("A loss without one.") == ""


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("@article{a,\n author = {Yang, Bo},\n year = {2025}\n}", "Yang 2025"),
        ("@article{a, author = {Yang, Bo and Li, Ann and Wu, Cy}, year = {2025}}", "Yang et al. 2025"),
        ("@article{a, author = {Yang, Bo and others}, year = {2025}}", "Yang et al. 2025"),
        ("@article{a, author = {Ducharme, R{\\'e}jean}, year = {2003}}", "Ducharme 2003"),
        ("@misc{key, title = {T}, year = {2025}}", "key"),
        ("somewhere", ""),
    ],
)
def test_short_citations(entry, said):
    assert cited_as(entry) == said


def test_a_field_that_never_closes_ends_with_the_entry():
    assert bibtex_field("@misc{a, title = {The {WMDP} Benchmark}", "title") == "The WMDP Benchmark"
    assert bibtex_field("@misc{a, title = {The", "title") == "The"
