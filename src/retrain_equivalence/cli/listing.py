"""`list`: what can be named in a study."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from retrain_equivalence.cli import options

Kind = Literal["objectives", "datasets", "models", "probes", "orderings", "contrasts", "studies", "distances"]


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = "studies",
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """List objectives, data sets, models, probes, orderings, contrasts, distances or bundled studies."""
    from retrain_equivalence.cli import common

    entries = _entries(kind, tuple(plugins or ()))
    if as_json:
        common.print_json(entries)
        return
    from rich.table import Table

    columns = list(next(iter(entries.values()), {"": ""}))
    table = Table("name", *columns)
    for name, entry in entries.items():
        table.add_row(name, *(str(entry[column]) for column in columns))
    common.answer().print(table)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _entries(kind: Kind, plugins: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    match kind:
        case "objectives":
            return _objectives(plugins)
        case "datasets":
            from retrain_equivalence.recipes.dataset import DATASET_KINDS

            return {name: {"what": _first_line(k.__doc__)} for name, k in DATASET_KINDS.items()}
        case "models":
            from retrain_equivalence.models.directory import MODEL_TYPES
            from retrain_equivalence.models.tiny import SIZES
            from retrain_equivalence.recipes.model import MODEL_KINDS

            allowed = {"tiny": ", ".join(SIZES)}
            types = ", ".join(MODEL_TYPES)
            return {
                name: {"what": _first_line(k.__doc__), "sizes or model types": allowed.get(name, types)}
                for name, k in MODEL_KINDS.items()
            }
        case "probes":
            from retrain_equivalence.recipes.probe import PROBE_KINDS

            return {name: {"what": _first_line(k.__doc__)} for name, k in PROBE_KINDS.items()}
        case "orderings":
            from retrain_equivalence.histories.orders import ORDERINGS, placebo_of

            listed = {name: {"what": _first_line(f.__doc__)} for name, f in ORDERINGS.items()}
            return listed | {"placebo": {"what": _first_line(placebo_of.__doc__)}}
        case "contrasts":
            from retrain_equivalence.study.study import CONTRASTS

            return {name: {"what": what} for name, what in CONTRASTS.items()}
        case "distances":
            from retrain_equivalence.metrics.catalogue import DISTANCES

            return {name: {"unit": str(d.unit.value)} for name, d in DISTANCES.items()}
        case _:
            from retrain_equivalence.study.bundled import BUNDLED
            from retrain_equivalence.study.load import load_study

            return {name: {"question": load_study(name).question} for name in BUNDLED}


def _objectives(plugins: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    from retrain_equivalence.objectives.catalogue import entries, load_plugins
    from retrain_equivalence.recipes.passes import Needs

    load_plugins(plugins)
    listed = {}
    for name, entry in entries().items():
        objective = entry.kind
        needs = Needs.of(objective.passes)
        wants = [word for word in ("reference", "retain", "preferred", "hidden") if getattr(needs, word)]
        listed[name] = {
            "what": _first_line(objective.__doc__),
            "needs": ", ".join(["forget", *wants]),
            "local": "yes" if needs.is_local else "no",
            "defaults": ", ".join(_parameter(f) for f in fields(cast("Any", objective))),
        }
    return listed


def _parameter(parameter: Field[Any]) -> str:
    """`beta=0.1`; a parameter that a study must give has no default."""
    return parameter.name if parameter.default is MISSING else f"{parameter.name}={parameter.default}"
