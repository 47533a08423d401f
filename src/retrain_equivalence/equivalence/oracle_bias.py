"""Distance of a history to its oracle without seed noise: 0 if unlearned and retrained models have one law.

Absolute margins belong to this number. The raw distance of equal laws is the band, not 0; this one is 0 then, and for
that it must be free to be negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.declared import measure_of
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.oracle_distance import SQUARED_MEASURES, everywhere
from retrain_equivalence.equivalence.verdict import Rule, by_band, conclude, each

NOT_BAND = (
    "a multiple of the band belongs to the raw distance (oracle_distance); this one needs a margin in its own unit"
)
DESCRIBES = "that distance without seed noise; 0 if unlearned and retrained have one law, may be negative"


def findings(case: Case) -> Iterator[Finding]:
    """`B_h = D_ho - D_hh/2 - D_oo/2` wherever the distance is a squared norm, and where a comparison asks for it."""
    for found in everywhere(case, "oracle_bias"):
        if measure_of(found.place.probe) not in SQUARED_MEASURES and not found.comparisons:
            continue
        for comparison in each(found.comparisons):
            yield conclude(
                replace(found.place, quantity="B_h"),
                found.number.bias,
                found.number.bias_counts,
                rule=Rule.DISTANCE,
                alpha=case.alpha,
                asked=comparison,
                refusal=NOT_BAND if by_band(comparison) else "",
                describes=DESCRIBES,
            )
