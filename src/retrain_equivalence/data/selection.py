"""Which rows are taken and which are held out, by whole clusters.

Both orders of clusters are fixed random orders keyed by the recipe's seed and the clusters' names, so they depend
neither on the order of the rows nor on where the file lies.

1. *Taken:* whole clusters in the first order until `rows` rows are reached; the last cluster is cut to its first rows.
2. *Held out:* of what was taken, whole clusters in the second order until the share is reached. A cluster that would
   bring more than twice the share is passed over; if only such clusters exist, the smallest one is held out. The last
   remaining cluster is never held out, so at least one row is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrain_equivalence.data.example import Example
from retrain_equivalence.data.normal import draw


def take(rows: Sequence[Example], n_rows: int, seed: int) -> tuple[Example, ...]:
    """Return `n_rows` rows, in the order of `rows`; all of them if there are no more."""
    sizes = cluster_sizes(rows)
    left: dict[str, int] = {}
    room = n_rows
    for cluster in sorted(sizes, key=lambda name: draw(seed, "take", name)):
        if room <= 0:
            break
        left[cluster] = min(room, sizes[cluster])
        room -= left[cluster]
    taken = []
    for row in rows:
        if left.get(row.cluster, 0) > 0:
            left[row.cluster] -= 1
            taken.append(row)
    return tuple(taken)


def split(rows: Sequence[Example], share: float, seed: int) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return (trained on, held out), both in the order of `rows`; `share` in [0, 1)."""
    sizes = cluster_sizes(rows)
    wanted = share * len(rows)
    out: set[str] = set()
    count = 0
    for cluster in sorted(sizes, key=lambda name: draw(seed, "held out", name)):
        if count >= wanted or len(out) + 1 >= len(sizes):
            break
        if count + sizes[cluster] <= 2 * wanted:
            out.add(cluster)
            count += sizes[cluster]
    if wanted > 0 and not out and len(sizes) > 1:
        out.add(min(sizes, key=lambda name: (sizes[name], draw(seed, "held out", name))))
    return tuple(row for row in rows if row.cluster not in out), tuple(row for row in rows if row.cluster in out)


def cluster_sizes(rows: Sequence[Example]) -> dict[str, int]:
    """Return how many rows each cluster has."""
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row.cluster] = sizes.get(row.cluster, 0) + 1
    return sizes
