"""What theory predicts that a method does to the gap between two histories on the forget items, by objective.

The list is here because two wings need it that may not see each other: `theory` derives it (the rows of
`theory.method_table` carry the conditions), and the report puts it beside what was measured. A test holds the two
together.
"""

from __future__ import annotations

from enum import StrEnum


class Prediction(StrEnum):
    """What happens to the difference on the span of the forget inputs."""

    EXPANDING = "expanding"
    CONTRACTING = "contracting"
    FROZEN = "frozen"
    ONE_EXPANSION = "one bounded expansion"
    SHRINKS_THEN_EXPANDS = "shrinks, then expands"
    TURNS = "expands, then contracts"
    RETURNS = "expands, then returns to the first gap in loss"
    REMOVED = "nothing left against the own oracle"


PREDICTED: dict[str, Prediction] = {
    "nll": Prediction.CONTRACTING,
    "ga": Prediction.EXPANDING,
    "graddiff": Prediction.EXPANDING,
    "npo": Prediction.RETURNS,
    "simnpo": Prediction.TURNS,
    "simnpo_sequence": Prediction.TURNS,
    "simnpo_as_in_open_unlearning": Prediction.TURNS,
    "dpo": Prediction.FROZEN,
    "idk_dpo": Prediction.FROZEN,
    "dpo_as_in_tofu": Prediction.FROZEN,
    "idk": Prediction.CONTRACTING,
    "uniform": Prediction.CONTRACTING,
    "distill": Prediction.CONTRACTING,
    "undial": Prediction.FROZEN,
    "rmu": Prediction.CONTRACTING,
    "rmu_forget": Prediction.CONTRACTING,
    "wga": Prediction.TURNS,
    "satimp": Prediction.TURNS,
}
"""Objective -> prediction, under the conditions of `theory.method_table`; an objective that is absent has none.

With a retain term (`graddiff`) the expansion holds only where the retain rows do not span the forget inputs, or where
their term is weak enough; of `npo` and `simnpo` with a retain term nothing was derived. With an own reference (`dpo`,
`undial`) frozen means that every history moves by the same amount. `nll` is descent to one answer for all histories, as
`idk` is. `satimp` follows `wga`, whose weight it multiplies by another.
"""
