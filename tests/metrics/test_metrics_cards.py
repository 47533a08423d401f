"""Every distance has a card that says all there is to know, and the list of cards is what the files hold."""

import importlib
import pkgutil
from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

from retrain_equivalence import metrics
from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card, Level, Lumping
from retrain_equivalence.metrics.catalogue import CARDS, DISTANCES


def found_in_the_files() -> dict[str, str]:
    """Return card -> the folder that its file stands in."""
    found = {}
    for module in pkgutil.walk_packages(metrics.__path__, "retrain_equivalence.metrics."):
        if module.ispkg or module.name.count(".") < 3:
            continue
        loaded = importlib.import_module(module.name)
        for value in vars(loaded).values():
            if isinstance(value, Card):
                found[value.name] = module.name.split(".")[2]
    return found


def test_the_catalogue_lists_every_card_by_its_level() -> None:
    assert {name: card.level for name, card in CARDS.items()} == found_in_the_files()
    levels = [card.level for card in CARDS.values()]
    assert levels == sorted(levels, key=get_args(Level).index)
    assert set(levels) == set(get_args(Level))


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_card_says_everything_in_a_line(card: Card) -> None:
    for field in fields(card):
        text = getattr(card, field.name)
        if isinstance(text, str):
            assert text or field.name in ("unit", "row"), field.name
            assert "\n" not in text
            assert "  " not in text
            assert text == text.strip()
    assert card.lumping in get_args(Lumping)
    assert all(text.endswith(".") for text in (card.what, card.bias, card.sees, card.blind, card.source))
    if card.level != "parameter" and "predictions' unit" not in card.unit and card.unit != "unit of the distances":
        assert Unit(card.unit)


def test_snapshot_distances_are_named_as_their_rows() -> None:
    assert next(iter(DISTANCES)) == "hellinger"
    for name, distance in DISTANCES.items():
        assert distance.card is CARDS[name]
        assert distance.card.row == f"prediction:<stage>/{name}"


@pytest.mark.parametrize("name", DISTANCES)
def test_symmetry_is_as_the_card_says(name: str) -> None:
    listed = DISTANCES[name]
    p, q = np.random.Generator(np.random.Philox(3)).dirichlet(np.ones(6), size=(2, 4))
    same = np.allclose(listed.per_position(p, q), listed.per_position(q, p), atol=1e-12)
    assert same == listed.card.symmetric
