"""Finding a named data set: in the data directory, else on the hub.

Design. Each set says where it lies in the data directory and where on the hub; the fields are the same for both. The
data directory comes first, because what a user put there is what the user wants.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from retrain_equivalence.core.errors import MachineError
from retrain_equivalence.data import hub
from retrain_equivalence.data.example import Provenance
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.problems import Problems
from retrain_equivalence.data.row_rules import RowRules
from retrain_equivalence.data.rows import Row, read_table
from retrain_equivalence.data.source import refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSet:
    """Where a named set is found, and what its rows look like."""

    name: str
    """As in the study: `tofu: full`."""
    rules: RowRules
    licence: str
    file: str | None = None
    """Below the data directory, or None if it is only on the hub."""
    on_hub: hub.HubSet | None = None
    hub_rules: RowRules | None = None
    """Where the hub's fields differ from the data directory's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRows:
    """The rows of a named set and where they came from."""

    rows: tuple[Row, ...]
    source: str
    revision: str
    sha256: str
    licence: str
    found: Problems = field(default_factory=Problems)

    def provenance(self) -> Provenance:
        """Return the provenance of all rows."""
        return Provenance(
            source=self.source,
            revision=self.revision,
            sha256=self.sha256,
            licence=self.licence,
            rows_read=len(self.rows),
            warnings=tuple(self.found.warnings),
        )


def read_named(named: NamedSet, where: Locations, *, place: str, sha256: str | None = None) -> NamedRows:
    """Return the checked rows of a named set.

    Raises:
        InputError: for rows that are refused, and E-DATA-30 if the data directory itself is missing.
        MachineError: E-ENV-08 if the set is neither in the data directory nor can be fetched.
    """
    found = Problems()
    if where.data_dir is not None:
        if not where.data_dir.is_dir():
            raise refuse(30, place, f"data directory {where.data_dir.name} is missing", "correct --data-dir")
        if named.file is not None and _is_there(where, named.file):
            table = read_table(
                where.data_dir / named.file, root=where.data_dir, shown=named.file, rules=named.rules, found=found,
                sha256=sha256,
            )  # fmt: skip
            found.raise_errors()
            return NamedRows(
                rows=table.rows, source=named.file, revision="", sha256=table.sha256, licence=named.licence, found=found
            )
    if named.on_hub is None or where.offline:
        raise MachineError.of("E-ENV-08", place, *_not_at_hand(named, where))
    snapshot = hub.fetch(named.on_hub, place=place)
    table = hub.read_snapshot(snapshot.folder, named.on_hub, rules=named.hub_rules or named.rules, found=found)
    found.raise_errors()
    return NamedRows(
        rows=table.rows, source=f"hub:{named.on_hub.repository}", revision=snapshot.revision, sha256=table.sha256,
        licence=named.licence, found=found,
    )  # fmt: skip


def _is_there(where: Locations, file: str) -> bool:
    assert where.data_dir is not None
    path = where.data_dir / file
    # A dangling link is there, and is refused by name rather than passed over for the hub.
    return path.exists() or path.is_symlink()


def _not_at_hand(named: NamedSet, where: Locations) -> tuple[str, str]:
    folder = where.data_dir.name if where.data_dir is not None else None
    looked = f"no {named.file} in data directory {folder}" if folder and named.file else "no data directory has it"
    message = f"data set '{named.name}' is not at hand: {looked}"
    put = f"put {named.file} below --data-dir" if named.file else ""
    if named.on_hub is None:
        return message, f"{put} (data/README.md says how to make it)"
    return f"{message}, and --offline forbids the hub", " or ".join(filter(None, (put, "run once without --offline")))
