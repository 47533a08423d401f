"""`schema`: the JSON schema of a study file, for editors."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON schema of a study file."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.study.schema import schema as study_schema

    common.print_json(study_schema())
