"""Relative L2 distance of weights, for all of them and by module."""

from __future__ import annotations

import math

from retrain_equivalence.core.units import Unit
from retrain_equivalence.metrics.card import Card
from retrain_equivalence.metrics.parameter.inner_products import Modules, apart, by_module, inner, same_tensors
from retrain_equivalence.metrics.parameter.modules import Tensors

MERGED = Card(
    name="relative_l2",
    level="parameter",
    row="parameters/relative_l2",
    what="‖θ_u - θ_o‖ / ‖θ_o‖ of a state and an oracle, over all weights and by module; adapters are merged first.",
    unit=Unit.RATIO.value,
    range="0 to ∞",
    direction="smaller: closer weights; 0 only for equal weights",
    symmetric=False,
    hilbertian=False,
    lumping="no cells",
    bias="Between two single runs it holds the seed noise of both, which dominates: independent runs are far apart "
    "even where they predict alike. The yardstick is oracle against oracle.",
    sees="Every change of a weight, also where no text shows it.",
    blind="What a change does. Exchanged neurons are far apart and the same function; large tensors weigh most.",
    source="The usual relative error; independent implementation: numpy.linalg.norm of the concatenated tensors.",
)

ADAPTER = Card(
    name="relative_l2_lora",
    level="parameter",
    row="parameters/relative_l2_lora",
    what="‖(A, B) - (A', B')‖ / ‖(A', B')‖ of raw adapters, over all their tensors and by module.",
    unit=Unit.RATIO.value,
    range="0 to ∞",
    direction="smaller: closer adapter tensors, which need not be closer models",
    symmetric=False,
    hilbertian=False,
    lumping="no cells",
    bias="Depends on the gauge: B R⁻¹ and R A are the same model for every invertible R. Described only, between runs "
    "that started from the same draw of A.",
    sees="How far the adapter's tensors moved.",
    blind="Whether the models differ: equal models can be any distance apart. `relative_l2` of merged weights tells.",
    source="The usual relative error, on the factors of Hu et al. 2021; independent implementation: numpy.linalg.norm "
    "of the concatenated tensors.",
)


def relative_l2(a: Tensors, b: Tensors, *, modules: Modules) -> dict[str, float | None]:
    """Return the distance of each module, relative to the second side.

    `√(Σ (a - b)²) / √(Σ b²)`, sums over all numbers of the module's tensors.

    Args:
        a: tensors by name, finite; each is read once.
        b: the other side, the oracle where there is one: the same names and shapes.
        modules: module -> names of its tensors, from `modules.modules_of`.

    Returns:
        Module -> the ratio, >= 0; None where all of the second side is 0 (a fresh adapter's B): nothing to relate to.

    Raises:
        ValueError: if names or shapes differ, or a weight is not finite.

    >>> import numpy as np
    >>> relative_l2({"w": np.array([3.0, 4.0])}, {"w": np.array([4.0, 0.0])}, modules={"all": ["w"]})
    {'all': 1.0307764064044151}
    """
    same_tensors(a, b)
    squares: dict[str, float] = {}
    differences: dict[str, float] = {}
    for name in sorted(b):
        difference = apart(a[name], b[name])
        differences[name], squares[name] = inner(difference, difference), inner(b[name], b[name])
    above, below = by_module(differences, modules), by_module(squares, modules)
    return {module: math.sqrt(above[module] / below[module]) if below[module] > 0 else None for module in modules}
