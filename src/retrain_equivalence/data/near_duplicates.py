"""Which prompts are near duplicates of each other, so that none is held out while its twin is trained on.

Method. A prompt is reduced to its words without case, digits and punctuation; equal ones are one template. Templates
are joined where the Jaccard index of their word 3-shingles is at least `THRESHOLD`. Candidates come from minhash bands
(Broder 1997; banding as in Leskovec et al., *Mining of Massive Datasets*, 3.4) and each is checked exactly, so banding
can miss a pair but never joins a wrong one; joined pairs make groups by union-find.

With 32 bands of 2 rows, a pair of Jaccard index s becomes a candidate with probability 1 - (1 - s^2)^32: 0.9999 at 0.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_equivalence.data.normal import name_of, template_words

THRESHOLD = 0.5
SHINGLE_WORDS = 3
BANDS, ROWS_PER_BAND = 32, 2

_PRIME = np.uint64((1 << 31) - 1)


def shingles(words: Sequence[str]) -> frozenset[int]:
    """Return the 31-bit hashes of the runs of 3 words; of the whole, if there are fewer words."""
    runs = [words[start : start + SHINGLE_WORDS] for start in range(max(1, len(words) - SHINGLE_WORDS + 1))]
    texts = (" ".join(run).encode() for run in runs)
    return frozenset(int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1 for text in texts)


def near_duplicate_groups(prompts: Sequence[str]) -> list[str]:
    """Return the name of each prompt's group, in order; names say nothing of the texts and do not depend on order."""
    templates = [" ".join(template_words(prompt)) or f"\0{prompt}" for prompt in prompts]
    distinct = sorted(set(templates))
    sets = [shingles(template.split(" ")) for template in distinct]
    parents = list(range(len(distinct)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for one, two in _candidates(sets):
        first, second = root(one), root(two)
        if first != second and _jaccard(sets[one], sets[two]) >= THRESHOLD:
            parents[max(first, second)] = min(first, second)
    # The first template in sorted order names its group: the same for any order of the rows.
    names = {template: name_of(distinct[root(index)]) for index, template in enumerate(distinct)}
    return [names[template] for template in templates]


def _jaccard(one: frozenset[int], two: frozenset[int]) -> float:
    return len(one & two) / len(one | two)


def _signatures(sets: Sequence[frozenset[int]]) -> npt.NDArray[np.uint64]:
    """Return the minhashes, [sets, BANDS * ROWS_PER_BAND]; h(x) = (a x + b) mod (2^31 - 1), which fits 64 bits."""
    generator = np.random.Generator(np.random.Philox(key=np.array([2, 31], dtype=np.uint64)))
    factors = generator.integers(1, int(_PRIME), BANDS * ROWS_PER_BAND, dtype=np.uint64)
    offsets = generator.integers(0, int(_PRIME), BANDS * ROWS_PER_BAND, dtype=np.uint64)
    signatures = np.empty((len(sets), len(factors)), dtype=np.uint64)
    for index, members in enumerate(sets):
        values = np.fromiter(members, dtype=np.uint64, count=len(members))
        signatures[index] = ((values[:, None] * factors + offsets) % _PRIME).min(axis=0)
    return signatures


def _candidates(sets: Sequence[frozenset[int]]) -> list[tuple[int, int]]:
    signatures = _signatures(sets)
    found: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, int] = {}
        for index, row in enumerate(signatures[:, band * ROWS_PER_BAND : (band + 1) * ROWS_PER_BAND]):
            # Pairs with the bucket's first member are enough: what is near its neighbours is met in other bands, and a
            # bucket of many equals stays linear.
            first = buckets.setdefault(row.tobytes(), index)
            if first != index:
                found.add((first, index))
    return sorted(found)
