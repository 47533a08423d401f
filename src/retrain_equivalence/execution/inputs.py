"""What a study reads from outside, resolved and ingested before the first task; tasks never touch the network.

Design. Everything foreign is read once, checked with all its problems reported together, and put into the store as
objects named by their content. From then on a run sees only the store, so an edit of a source file cannot reach it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from retrain_equivalence.core.errors import InputError, InstrumentError, Problem, StudyError, raise_all, visible
from retrain_equivalence.core.identity import Digest, Key, Plain, canonical_json, key_of
from retrain_equivalence.data.example import Dataset, Provenance, digest_of_rows
from retrain_equivalence.data.ingest import Locations, check_overlap, from_files, ingest, to_files
from retrain_equivalence.data.preferred import answers_from, idk_answers
from retrain_equivalence.execution.layer_range import layer_problems
from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.models.directory import check_model_directory
from retrain_equivalence.recipes.dataset import AnyDataset
from retrain_equivalence.recipes.model import GgufModel, HubModel, LocalModel, TinyModel
from retrain_equivalence.recipes.probe import PredictionProbe, probe_stage
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.study import Study

WITHHELD = "withheld.json"
"""The only file of a sensitive data set's object."""

NO_PROVENANCE = Provenance(source="", revision="", sha256="", licence="", rows_read=0)

MODEL_SUFFIXES = (".safetensors", ".json", ".jinja")
"""Files that a model folder is read from."""

PLACEBO = "placebo"
PREFERRED = "preferred "
"""What the names of preferred answers begin with: the unlearning's follows, or `idk`."""
IDK = f"{PREFERRED}idk"
"""The forget prompts with the package's "I don't know" answers."""
PRETRAINING = "(pretraining)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A study's data and the identity of its foreign weights."""

    datasets: Mapping[str, Dataset]
    """Stage name -> data; `placebo`, `(pretraining)`, `preferred idk` and `preferred UNLEARNING` where the study has
    them."""
    model_source: str
    """SHA-256 over the foreign model's files, or its locked hub revision; empty for a model made here."""
    given_sources: tuple[str, ...]
    """One SHA-256 per given checkpoint, in the study's order."""

    def by_key(self) -> dict[Key, Dataset]:
        """Return each data set under its store key."""
        return {dataset_key(dataset.digest): dataset for dataset in self.datasets.values()}

    def dataset_keys(self) -> dict[str, Key]:
        """Return the store key of each data set."""
        return {name: dataset_key(dataset.digest) for name, dataset in self.datasets.items()}


def dataset_key(digest: Digest) -> Key:
    """Return the key of the object that holds a data set: its content, whatever it was read from."""
    return key_of("dataset", {"rows": digest})


def asked_datasets(study: Study) -> dict[str, AnyDataset]:
    """Return every data set a study asks for, under the name by which it is used."""
    asked: dict[str, AnyDataset] = {stage.name: stage.dataset for stage in study.stages}
    if study.placebo is not None:
        asked[PLACEBO] = study.placebo
    if isinstance(study.model, TinyModel) and study.model.pretraining is not None:
        asked[PRETRAINING] = study.model.pretraining.dataset
    for unlearning in study.unlearnings:
        if unlearning.preferred is not None and unlearning.preferred != "idk":
            asked[f"{PREFERRED}{unlearning.name}"] = unlearning.preferred
    return asked


def _prefer(study: Study, datasets: dict[str, Dataset]) -> None:
    """Bring every preferred set into the form of the forget set, in place.

    Raises:
        InputError: E-DATA-89 with the problems of all of them.
    """
    problems: list[Problem] = []
    forget = datasets[study.forget.name]
    for unlearning in study.unlearnings:
        name = preferred_name(unlearning)
        if name == IDK:
            datasets[IDK] = idk_answers(forget)
        elif name is not None:
            try:
                datasets[name] = answers_from(datasets[name], forget, field_of(name))
            except InputError as error:
                problems += error.problems
    raise_all(InputError, problems)


def preferred_name(unlearning: Unlearning) -> str | None:
    """Return the name under which an unlearning's preferred answers are kept; None if it has none."""
    if unlearning.preferred is None:
        return None
    return IDK if unlearning.preferred == "idk" else f"{PREFERRED}{unlearning.name}"


def field_of(name: str) -> str:
    """Return the field of the study that asks for a data set.

    >>> field_of("math"), field_of("preferred dpo")
    ('stages.math.dataset', 'unlearnings.dpo.preferred')
    """
    if name.startswith(PREFERRED):
        return f"unlearnings.{name.removeprefix(PREFERRED)}.preferred"
    return {PLACEBO: "placebo", PRETRAINING: "model.pretraining.dataset"}.get(name, f"stages.{name}.dataset")


def read_inputs(study: Study, where: Locations) -> Inputs:
    """Read and check everything foreign; raise with the problems of all sets together."""
    problems: list[Problem] = []
    family: type[InstrumentError] = InputError
    datasets: dict[str, Dataset] = {}
    for name, recipe in asked_datasets(study).items():
        try:
            datasets[name] = ingest(recipe, where, place=field_of(name))
        except InstrumentError as error:
            problems += error.problems
            family = type(error)
    problems += _model_problems(study, where)
    if not problems:
        problems += _placebo_problems(study, datasets) + _probe_problems(study, datasets)
        # Preferred answers share their prompts with the forget set by design.
        staged = {n: dataset for n, dataset in datasets.items() if n != PRETRAINING and not n.startswith(PREFERRED)}
        problems += check_overlap(staged, study.forget.name)
    if problems:
        raise family(*(problem for problem in problems if problem.code.startswith(family.prefix + "-")))
    if PLACEBO in datasets:
        datasets[PLACEBO] = _as_many(datasets[PLACEBO], datasets[study.forget.name])
    _prefer(study, datasets)
    raise_all(StudyError, layer_problems(study, where.study_dir))
    return Inputs(
        datasets=datasets,
        model_source=_model_source(study, where),
        given_sources=tuple(folder_digest(_resolved(given.path, where)) for given in study.given),
    )


def put_datasets(inputs: Inputs, store: Store) -> None:
    """Commit every data set to the store, where tasks read it.

    Where rows were read from is not part of the object: equal rows are one object, whatever their source. The rows of
    a sensitive set are never written; workers read them again from where they are.
    """
    for dataset in inputs.datasets.values():
        key = dataset_key(dataset.digest)
        if not store.has(key):
            files: dict[str, bytes | Path]
            if dataset.sensitive:
                files = {WITHHELD: canonical_json({"rows": dataset.digest, "sensitive": True}).encode()}
            else:
                files = dict(to_files(replace(dataset, provenance=NO_PROVENANCE)))
            recipe: Plain = {"rows": dataset.digest}
            store.put(key, kind="dataset", recipe=recipe, parents={}, files=files)


def load_datasets(store: Store, keys: Mapping[str, Key], study: Study, where: Locations) -> dict[str, Dataset]:
    """Read a study's data sets back from the store, or from their sources again if their rows are in no store.

    Args:
        store: holds them.
        keys: name -> key.
        study: says where withheld rows come from.
        where: where data may come from.

    Raises:
        InputError: E-DATA-31 if a source no longer holds the rows that were planned with.
    """
    loaded: dict[str, Dataset] = {}
    for name, recipe in asked_datasets(study).items():
        artifact = store.get(keys[name])
        if WITHHELD not in artifact.manifest.files:
            loaded[name] = from_files(artifact.read)
            continue
        dataset = ingest(recipe, where)
        if name == PLACEBO:
            dataset = _as_many(dataset, loaded[study.forget.name])
        elif name.startswith(PREFERRED):
            dataset = answers_from(dataset, loaded[study.forget.name], field_of(name))
        loaded[name] = dataset
        if dataset_key(dataset.digest) != keys[name]:
            raise InputError.of("E-DATA-31", dataset.provenance.source, "changed since the run began", "run again")
    if IDK in keys:
        loaded[IDK] = idk_answers(loaded[study.forget.name])
    return loaded


def _as_many(placebo: Dataset, forget: Dataset) -> Dataset:
    """Return the placebo with its first training rows only, as many as the forget stage's: size must not differ."""
    train = placebo.train[: len(forget.train)]
    return replace(placebo, train=train, digest=digest_of_rows(train, placebo.held_out))


def _placebo_problems(study: Study, datasets: Mapping[str, Dataset]) -> list[Problem]:
    if PLACEBO not in datasets:
        return []
    found, wanted = len(datasets[PLACEBO].train), len(datasets[study.forget.name].train)
    if found >= wanted:
        return []
    message = f"{found:,} training rows, but the forget stage '{study.forget.name}' has {wanted:,}"
    fix = "give at least as many, so that the two differ in content alone"
    return [Problem(code="E-DATA-88", place=PLACEBO, message=message, fix=fix)]


def _probe_problems(study: Study, datasets: Mapping[str, Dataset]) -> list[Problem]:
    """Make every probe that is measured row by row on its data: what it refuses, it would refuse hours later."""
    from retrain_equivalence.probes.catalogue import build

    found: list[Problem] = []
    for i, probe in enumerate(study.probes):
        if isinstance(probe, PredictionProbe):
            continue
        try:
            build(probe, datasets[probe_stage(probe)])
        except InputError as error:
            found += [replace(problem, place=f"probes.{i} {problem.place}") for problem in error.problems]
    return found


def _model_problems(study: Study, where: Locations) -> list[Problem]:
    """Check every model folder by its names and headers, which loads no torch; the run reads the numbers too."""
    found: list[Problem] = []
    folders = [(f"given.{i}.path", given.path) for i, given in enumerate(study.given)]
    match study.model:
        case LocalModel(path=path):
            folders.insert(0, ("model.path", path))
        case GgufModel(gguf=path) if not _resolved(path, where).is_file():
            found.append(_absent("model.gguf", path, "file"))
    for field, path in folders:
        if not (folder := _resolved(path, where)).is_dir():
            found.append(_absent(field, path, "folder"))
            continue
        problems = check_model_directory(folder, numbers=False)
        found += [replace(p, place=f"{field} {p.place}") for p in problems if p.severity == "error"]
    return found


def _absent(field: str, path: str, what: str) -> Problem:
    message = f"there is no {what} '{visible(path, limit=80)}'"
    fix = "correct the path; relative ones start at the study's folder"
    return Problem(code="E-DATA-85", place=field, message=message, fix=fix)


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a model folder's files (a single file is allowed).

    Only what a model is read from counts: weights, configuration, tokenizer. A read-me beside them moves nothing.

    Raises:
        InputError: E-DATA-85 if there is nothing to read at that path.
    """
    files = (
        [folder]
        if folder.is_file()
        else sorted(p for p in folder.glob("*") if p.suffix in MODEL_SUFFIXES and p.is_file())
    )
    if not files:
        raise InputError.of("E-DATA-85", str(folder), "no such model file or folder", "correct the path in the study")
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name}\0".encode())
        with path.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def _resolved(path: str, where: Locations) -> Path:
    return (where.study_dir / path).expanduser()


def _model_source(study: Study, where: Locations) -> str:
    match study.model:
        case LocalModel(path=path):
            return folder_digest(_resolved(path, where))
        case GgufModel(gguf=file):
            return folder_digest(_resolved(file, where))
        case HubModel(hub=name, revision=None):
            from retrain_equivalence.models.hub import locked_revision

            return locked_revision(name, None, offline=where.offline)
        case HubModel(revision=revision):
            return str(revision)
        case _:
            return ""
