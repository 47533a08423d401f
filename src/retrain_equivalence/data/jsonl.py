"""A user's own rows: JSON Lines, or by suffix a JSON array, Parquet or CSV.

The recipe names the fields. If prompt and response name the same field, it holds a list of messages, of which there are
two: the user's and the assistant's. An empty `prompt` name makes rows of plain text.
"""

from __future__ import annotations

import os
from pathlib import Path

from retrain_equivalence.data.example import Example, Provenance
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.normal import name_of, same_text
from retrain_equivalence.data.problems import Problems
from retrain_equivalence.data.row_rules import Field, RowRules
from retrain_equivalence.data.rows import read_table
from retrain_equivalence.data.source import refuse
from retrain_equivalence.recipes.dataset import JsonlDataset


def load(recipe: JsonlDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return all rows of the file; clusters are the named field, else equal prompts (case and blanks apart).

    Raises:
        InputError: for rows that are refused; E-DATA-41 if the recipe takes an id from the prompt or the response.
    """
    if recipe.row_id is not None and recipe.row_id in (recipe.prompt, recipe.response):
        message = f"row_id '{recipe.row_id}' is also a text field: ids are shown, texts are not"
        raise refuse(41, place, message, "name a field that holds ids, or leave row_id out")
    path, root = find(recipe.jsonl, where)
    found = Problems()
    rules = RowRules(fields=tuple(_fields(recipe)), sensitive=recipe.sensitive)
    table = read_table(path, root=root, shown=_shown(path, root), rules=rules, found=found, sha256=sha256)
    found.raise_errors()
    chat = recipe.prompt == recipe.response
    prompt_key = f"{recipe.prompt}.user" if chat else recipe.prompt
    response_key = f"{recipe.response}.assistant" if chat else recipe.response
    rows = []
    for number, row in enumerate(table.rows, start=1):
        prompt = row.fields[prompt_key] if recipe.prompt else ""
        response = row.fields[response_key]
        rows.append(
            Example(
                id=row.fields[recipe.row_id] if recipe.row_id else str(number),
                prompt=prompt,
                response=response,
                cluster=row.fields[recipe.cluster] if recipe.cluster else name_of(same_text(prompt or response)),
                label=row.fields[recipe.label] if recipe.label else "",
            )
        )
    provenance = Provenance(
        source=_shown(path, root),
        revision="",
        sha256=table.sha256,
        licence="not stated",
        rows_read=len(rows),
        warnings=tuple(found.warnings),
    )
    places = tuple(row.place for row in table.rows)
    return Loaded(rows=tuple(rows), places=places, provenance=provenance, sensitive=recipe.sensitive)


def _fields(recipe: JsonlDataset) -> list[Field]:
    if recipe.prompt == recipe.response:
        texts = [Field(name=recipe.prompt, kind="chat")]
    else:
        texts = [Field(name=name) for name in (recipe.prompt, recipe.response) if name]
    if recipe.row_id:
        texts.append(Field(name=recipe.row_id, kind="id", unique=True))
    if recipe.cluster and recipe.cluster not in {field.name for field in texts}:
        texts.append(Field(name=recipe.cluster, kind="id"))
    if recipe.label and recipe.label not in {field.name for field in texts}:
        texts.append(Field(name=recipe.label))
    return texts


def find(asked: str, where: Locations) -> tuple[Path, Path]:
    """Return the path that `asked` means and the folder that links may not lead out of.

    An absolute path is itself; a relative one is looked for beside the study, then in the data directory. A file that
    is nowhere is returned as beside the study, so that the message names that place.
    """
    folders = [where.study_dir] + ([where.data_dir] if where.data_dir is not None else [])
    for folder in folders:
        path = Path(os.path.normpath(folder / asked))
        if path.exists() or path.is_symlink():
            break
    else:
        path, folder = Path(os.path.normpath(where.study_dir / asked)), where.study_dir
    inside = path.is_relative_to(os.path.normpath(folder))
    return path, folder if inside else path.parent


def _shown(path: Path, root: Path) -> str:
    """The file's name below its root: without the machine's folders, so that provenance is the same everywhere."""
    return Path(os.path.relpath(path, root)).as_posix()
