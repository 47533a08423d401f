"""A look: a registered study's first replicates alone, as a study of their own.

Keys of replicates know nothing of how many there will be, so whatever a look computes the whole run finds done.
"""

from __future__ import annotations

from dataclasses import replace

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.study.study import Given, Study


def at_look(study: Study, look: int) -> Study:
    """Return the study with its first `look` replicates and as many oracle-only ones as it has.

    Args:
        study: as it was registered.
        look: one of its `looks`.

    Raises:
        StudyError: E-CFG-39 if the study declares no look there: the error rate is spent over the declared ones.
    """
    if look not in study.looks:
        declared = ", ".join(map(str, study.looks))
        raise StudyError.of(
            "E-CFG-39", "--look", f"found {look}, the study's looks are {declared or 'none'}",
            f"write one of {declared}" if declared else "leave --look out, or declare looks before the first run",
        )  # fmt: skip
    given = tuple(one for one in study.given if _stands(one, study, look))
    return replace(study, replicates=look, looks=(), given=given)


def _stands(given: Given, study: Study, look: int) -> bool:
    """Whether a given checkpoint is a state of the look: of an oracle also beyond the replicates."""
    oracle_only = study.oracle_replicates if study.forget.name not in given.history else 0
    return given.replicate < look + oracle_only
