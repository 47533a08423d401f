"""Where data may come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA_DIRECTORY_VARIABLE = "RETRAIN_EQUIVALENCE_DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locations:
    """The places that are searched, in this order: an explicit path, the data directory, the hub."""

    study_dir: Path
    """Folder of the study file: paths in it are relative to this."""
    data_dir: Path | None
    """`--data-dir`, else `RETRAIN_EQUIVALENCE_DATA` of the environment, else None. `data/README.md` has its layout."""
    offline: bool
    """Whether the hub is forbidden."""

    @classmethod
    def of(
        cls,
        study_dir: Path,
        *,
        data_dir: Path | None = None,
        offline: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> Locations:
        """Return the locations, with the data directory from the environment where none is given."""
        named = environment.get(DATA_DIRECTORY_VARIABLE, "")
        return cls(study_dir=study_dir, data_dir=data_dir or (Path(named) if named else None), offline=offline)
