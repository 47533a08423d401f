"""The step-up correction of Benjamini and Hochberg, for what is explored and not claimed."""

from __future__ import annotations

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values in the order given: `min over j >= i of min(1, m p_(j) / j)`.

    At most the share alpha of what is at or below alpha is expected to be false (independent or positively dependent
    tests): a weaker promise than a family-wise error rate.

    Source: Benjamini and Hochberg 1995; agrees with `statsmodels.stats.multitest.multipletests(method="fdr_bh")`.

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    found = [0.0] * len(p_values)
    running = 1.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank in range(len(order), 0, -1):
        index = order[rank - 1]
        running = min(running, len(order) * p_values[index] / rank)
        found[index] = running
    return found
