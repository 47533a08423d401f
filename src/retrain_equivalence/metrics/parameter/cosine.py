"""Cosine between two changes of weights, for all of them and by module."""

from __future__ import annotations

import math

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.parameter.inner_products import Modules, apart, by_module, inner, same_tensors
from retrain_equivalence.metrics.parameter.modules import Tensors

CARD = Card(
    name="cosine",
    level="parameter",
    row="parameters/cosine",
    what="⟨a - o, b - o⟩ / (‖a - o‖ ‖b - o‖) of two states' changes from a common origin o (the base model), over all "
    "weights and by module; adapters are merged first.",
    unit=Unit.NONE.value,
    range="-1 (opposite) to 1 (same direction)",
    direction="larger: the changes point the same way",
    symmetric=True,
    hilbertian=False,
    lumping="no cells",
    bias="Toward 0: independent seed noise in either change lengthens it and adds nothing to the product.",
    sees="The direction of a change, whatever its length.",
    blind="The length of a change, and what it does: small changes that are mostly noise have a cosine near 0.",
    source="Ilharco et al. 2023 on task vectors; independent implementation: one less scipy.spatial.distance.cosine.",
)


def cosine(a: Tensors, b: Tensors, origin: Tensors, *, modules: Modules) -> dict[str, float | None]:
    """Return the cosine of each module's two changes.

    `Σ (a - o)(b - o) / √(Σ (a - o)² Σ (b - o)²)`, sums over all numbers of the module's tensors.

    Args:
        a: tensors by name, finite; each is read once.
        b: the other side: the same names and shapes.
        origin: where both started, the base model: the same names and shapes.
        modules: module -> names of its tensors, from `modules.modules_of`.

    Returns:
        Module -> the cosine, -1 to 1; None where either side did not move: it has no direction.

    Raises:
        ValueError: if names or shapes differ, or a weight is not finite.

    >>> import numpy as np
    >>> one, two, start = {"w": np.array([2.0, 1.0])}, {"w": np.array([1.0, 2.0])}, {"w": np.array([1.0, 1.0])}
    >>> cosine(one, two, start, modules={"all": ["w"]})
    {'all': 0.0}
    """
    same_tensors(a, b, origin)
    products: dict[str, float] = {}
    of_a: dict[str, float] = {}
    of_b: dict[str, float] = {}
    for name in sorted(origin):
        one, two = apart(a[name], origin[name]), apart(b[name], origin[name])
        products[name], of_a[name], of_b[name] = inner(one, two), inner(one, one), inner(two, two)
    above, left, right = by_module(products, modules), by_module(of_a, modules), by_module(of_b, modules)
    return {
        # Rounding may carry parallel changes past 1.
        module: min(1.0, max(-1.0, above[module] / (math.sqrt(left[module]) * math.sqrt(right[module]))))
        if left[module] > 0 and right[module] > 0
        else None
        for module in modules
    }
