"""What each stage taught and what the later ones took back."""

from __future__ import annotations

from retrain_equivalence.figures.elements import Column, Section, Table
from retrain_equivalence.report.material import INTERVAL, Material, column
from retrain_equivalence.report.words import interval, number, replicates

WHEN = (("before", "before it"), ("after", "after it"), ("end", "at the end"), ("oracle", "at the oracle"))


def stage_losses(material: Material) -> Section:
    """Return one row per history and stage: the loss on its rows before it, after it, at the end, and at the oracle."""
    records = list(material.tables["stage_losses"])
    cells = {(r["history"], r["stage"], r["when"]): r for r in records}
    rows = list(dict.fromkeys((r["history"], r["stage"], r["role"]) for r in records))

    def at(when: str) -> Column:
        def text(row: tuple[str, str, str]) -> str:
            cell = cells.get((row[0], row[1], when))
            if cell is None or cell["mean"] is None:
                return number(None)
            spread = interval(cell["low"], cell["high"])
            return number(cell["mean"]) + ("" if spread == number(None) else f" ({spread})")

        return Column(head=dict(WHEN)[when], text=text, numeric=True)

    unit = records[0]["unit"] if records else ""
    table = Table.of(
        f"Loss on each stage's own rows ({unit}); {replicates(r['n'] for r in records)}; {INTERVAL}",
        (
            Column(head="history", text=lambda row: material.short(row[0])),
            Column(head="stage", text=lambda row: row[1]),
            Column(head="role", text=lambda row: row[2]),
            *(at(when) for when, _ in WHEN),
        ),
        rows,
    )
    return Section(
        name="stage-losses",
        title="Stage losses",
        says=(
            "How much each stage taught (before it against after it), how much of it later stages took back (at the "
            "end), and where a model stands that was retrained without the forget stage.",
        ),
        tables=(table,) if rows else (),
    )


def runs(material: Material) -> Section:
    """Return how many runs of each kind there are: registered, finished, censored, failed, missing."""
    table = Table.of(
        "Runs by history and unlearning",
        (
            column("history", "history", material.short),
            column("unlearning", "unlearning", lambda name: name or "trained"),
            column("registered", "registered", number, numeric=True),
            column("ok", "ok", number, numeric=True),
            column("censored", "censored", number, numeric=True),
            column("failed", "failed", number, numeric=True),
            column("unscored", "unscored", number, numeric=True),
            column("missing", "missing", number, numeric=True),
            column("first censored step", "first_censored_step", number, numeric=True),
        ),
        material.tables["runs"],
    )
    return Section(
        name="runs",
        title="Runs",
        says=(
            "A censored run stopped being finite while it was unlearned; its later steps have no value and are never "
            "filled in. A failed one raised an error in a probe. Missing ones are registered by the study but not in "
            "the table.",
        ),
        tables=(table,),
    )
