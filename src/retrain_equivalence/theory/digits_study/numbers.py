"""The findings of `theory digits` in full precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrain_equivalence.theory.classifier_gap import PAIRS
from retrain_equivalence.theory.digits_study.cell import DigitsCell, drift, monotone


def numbers(cells: Sequence[DigitsCell], stable: Mapping[str, float]) -> dict[str, Any]:
    """Return JSON types; growths are logarithms.

    Args:
        cells: every classifier under every method.
        stable: 2/L of each linear classifier, the smallest over seeds.
    """
    found: dict[str, Any] = {"largest proven stable learning rate": dict(stable), "cells": []}
    for cell in cells:
        first = cell.gaps[0]
        record: dict[str, Any] = {"classifier": cell.model.name, "method": cell.method.name}
        record["log growth, measured"] = {
            space: {pair: cell.factor(space, pair).numbers() for pair in PAIRS}
            for space in first.measured
            if space not in ("off the span", "test √p")
        }
        record["distance of √p on test rows"] = {
            pair: {"start": cell.root_distance(pair, 0).numbers(), "end": cell.root_distance(pair, -1).numbers()}
            for pair in PAIRS
        }
        record["steps near the prediction"] = {
            name: {**until.numbers(), "seeds near to the end": kept}
            for name in ("linear", "along", "twin predicted")
            for until, kept in (cell.holds_until("parameters", name),)
        }
        record["log growth, predicted"] = {
            space: {
                "histories, first variation": cell.factor(space, "along").numbers(),
                "histories, start curvature": cell.factor(space, "linear").numbers(),
                "twin, first variation": cell.factor(space, "twin predicted").numbers(),
            }
            for space in first.predicted
        }
        record["rates of the parameter gap"] = {
            pair: {
                "early": list(g.early), "late": list(g.late), "late minus early": list(g.slowing), "class": str(g.kind)
            }
            for pair, g in ((pair, cell.growing("parameters", pair)) for pair in PAIRS)
        }  # fmt: skip
        record["log ratio of histories to seeds"] = {
            space: {
                "start": cell.ratio_to_seeds(space, 0).numbers(), "end": cell.ratio_to_seeds(space, -1).numbers()
            }
            for space in ("parameters", "test logits")
        }  # fmt: skip
        record["accuracy"] = {
            of: {
                f"forget stage {place}, {when}": cell.accuracy(of, step, history).numbers()
                for history, place in ((0, "last"), (1, "first"))
                for when, step in (("start", 0), ("end", -1))
            }
            for of in ("forget", "test")
        }
        if cell.model.is_linear:
            record["largest relative change off the span"] = drift(cell.gaps, "off the span")
            record["worlds in which no step shrinks a gap"] = monotone(cell.gaps, grows=True)
            record["worlds in which no step expands a gap"] = monotone(cell.gaps, grows=False)
        found["cells"].append(record)
    return found
