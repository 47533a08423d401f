"""The test sets of a prediction probe: which texts each of them holds."""

from __future__ import annotations

from collections.abc import Mapping

from retrain_equivalence.data.example import Dataset, Example
from retrain_equivalence.probes.base import choose_items
from retrain_equivalence.probes.generic_text import generic_examples
from retrain_equivalence.recipes.probe import PredictionProbe


def prediction_sets(
    recipe: PredictionProbe, forget: Dataset, retain: Mapping[str, Dataset]
) -> dict[str, tuple[Example, ...]]:
    """Return set name -> at most `recipe.items` texts; a set without texts is absent.

    Args:
        recipe: how many items per set.
        forget: the forget stage's data; `forget` are rows that it trains on, `held_out` rows that nothing trains on.
        retain: stage name -> data of the other stages, in the order of the study file; training rows are taken.

    Returns:
        `forget`, `held_out`, `retain:<stage>` ..., `generic`: never pooled, since contraction on the forget rows is
        mechanical and the other sets are the informative ones.
    """
    sources: dict[str, tuple[Example, ...]] = {"forget": forget.train, "held_out": forget.held_out}
    sources |= {f"retain:{name}": dataset.train for name, dataset in retain.items()}
    sources["generic"] = generic_examples()
    return {name: choose_items(examples, recipe.items) for name, examples in sources.items() if examples}
