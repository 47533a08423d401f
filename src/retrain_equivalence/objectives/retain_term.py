"""The retain term of a named composition: which one, by the word that a study writes."""

from __future__ import annotations

from retrain_equivalence.objectives.base import check_positive
from retrain_equivalence.objectives.retain_kl import RetainKL
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.objectives.weighted_sum import Part

RETAIN_TERMS: dict[str, RetainNLL | RetainKL] = {"nll": RetainNLL(), "kl": RetainKL()}


def check_retain(retain: str, retain_weight: float) -> None:
    """Raise `ValueError` unless `retain` is `nll` or `kl` and the weight is above 0."""
    if retain not in RETAIN_TERMS:
        raise ValueError(f"retain must be {' or '.join(RETAIN_TERMS)}, found {retain!r}")
    check_positive("retain_weight", retain_weight)


def retain_part(retain: str, retain_weight: float) -> Part:
    """Return the retain term of a composition.

    >>> retain_part("nll", 2.0).weight
    2.0
    """
    return Part(objective=RETAIN_TERMS[retain], weight=retain_weight)
