"""A finished run, opened again from its results folder and its store: without its source files.

Design. Keys depend on the data, the foreign weights and the numeric environment of the run, and the provenance records
all three. A plan made from them names the run's own objects even where the sources have moved and the libraries are
newer; a plan made afresh would miss them, and a collection of garbage would take them away.
"""

from __future__ import annotations

import json
from pathlib import Path

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.core.identity import Digest
from retrain_equivalence.data.ingest import Locations
from retrain_equivalence.execution import results_folder
from retrain_equivalence.execution.inputs import Inputs, dataset_key, load_datasets
from retrain_equivalence.execution.keys import Environment
from retrain_equivalence.execution.plan import Plan, plan_study
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.load import load_study


def open_locked(folder: Path, store: Store, where: Locations) -> tuple[Plan, Inputs]:
    """Return the plan of the run whose results are in `folder`, and its inputs as the store holds them.

    Args:
        folder: the results folder.
        store: holds the run's data and states.
        where: where sensitive sets, whose rows no store holds, are read again.

    Raises:
        InputError: E-DATA-80 if the folder has no readable `study.lock.yaml` and `provenance.json`, E-DATA-81 if the
            provenance is not what this release writes, and what `load_datasets` raises.
        StoreError: E-STORE-04 if this store does not hold the run's data.
    """
    lock, path = (
        results_folder.existing_file(folder / name, "no such file", "name a results folder that `run` printed")
        for name in (results_folder.LOCK, results_folder.PROVENANCE)
    )
    study = load_study(lock)
    try:
        known = json.loads(path.read_bytes())
        digests: dict[str, Digest] = {str(name): Digest(entry["digest"]) for name, entry in known["datasets"].items()}
        environment = Environment(settings=dict(known["environment"]["settings"]))
        model_source, given_sources = str(known["model"]["source"]), tuple(map(str, known["model"]["given"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError.of(
            "E-DATA-81", str(path), "is not what this release writes", "run the study again: nothing is trained anew"
        ) from None
    inputs = Inputs(
        datasets=load_datasets(store, {name: dataset_key(digest) for name, digest in digests.items()}, study, where),
        model_source=model_source,
        given_sources=given_sources,
    )
    return plan_study(study, inputs, environment), inputs
