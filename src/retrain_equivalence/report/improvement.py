"""Did unlearning bring the model nearer to the oracle than doing nothing did?"""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.forest import LOOKS, forest_panel
from retrain_equivalence.figures.legend import MARGIN_LINE, Entry
from retrain_equivalence.figures.palette import ORACLE
from retrain_equivalence.figures.panel import common_domain
from retrain_equivalence.histories.history import Role
from retrain_equivalence.report.distances import farthest_by_position, in_test_set_order, measure_words, primary
from retrain_equivalence.report.material import INTERVAL, JACKKNIFE, Material, column, id_column, mean_columns
from retrain_equivalence.report.words import MOST_LOOKS, NOTHING, number, test_set, upper_first

MEANINGS = {
    "EQUIVALENT": "equivalent: changed by less than the margin",
    "INCONCLUSIVE": "inconclusive",
    "DIFFERENT": "different: changed by more than the margin",
    "": "estimate; no margin declared",
}
NOTHING_DONE = Entry(label="0: as near as before unlearning", mark="rule", colour=ORACLE.light)


def improvement(material: Material) -> Section:
    """Return the forest of changes of the distance, and what later stages had made the model forget before."""
    records = primary(list(material.tables["improvements"]))
    figures = (_forest(material, records),) if any(r["mean"] is not None for r in records) else ()
    natural = [
        r for r in material.tables["stage_losses"]
        if r["role"] == str(Role.FORGET) and r["history"] in material.unlearned
    ]  # fmt: skip
    return Section(
        name="improvement",
        title="Did unlearning help?",
        says=(
            "Distance to the oracle after unlearning minus before, over the same pairs of runs. Later training may "
            "already have made a model forget (natural forgetting): then it starts near its oracle, and unlearning can "
            "only take it away. Below 0 unlearning came nearer to the oracle, above 0 it went away from it.",
        ),
        figures=figures,
        tables=(_natural(material, natural),) if figures and natural else (),
    )


def _forest(material: Material, records: list[Record]) -> Figure:
    drawn = [r for r in records if r["mean"] is not None]
    unit, measure = records[0]["unit"], measure_words(records[0]["measure"])
    margins = sorted({f.margin for f in _declared(material) if f.margin is not None})
    both = [side for margin in margins for side in (-margin, margin)]
    domain = common_domain([0.0, *both, *(r[k] for r in drawn for k in ("mean", "low", "high"))])
    is_many = len(material.unlearned) > MOST_LOOKS
    panels: list[str] = []
    for name in in_test_set_order(drawn):
        own = [r for r in drawn if r["test_set"] == name]
        if is_many:
            own = farthest_by_position(own, "mean")
        rows = [
            {"label": f"{r['unlearning']} · {material.short(r['history'])}", "estimate": r["mean"], "low": r["low"],
             "high": r["high"], "verdict": r["verdict"] or ""}
            for r in own
        ]  # fmt: skip
        frame = pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})
        chart = forest_panel(
            frame, title=test_set(name), x_title=f"change of the distance ({unit})", domain=domain, nothing=0.0,
            margins=both,
        )  # fmt: skip
        words = "; ".join(f"{row['label']} {number(row['estimate'])} {row['verdict']}".strip() for row in rows)
        panels.append(to_svg(chart, name=f"improvement-{len(panels)}", label=f"Change on {test_set(name)}: {words}"))
    found = {r["verdict"] or "" for r in drawn}
    marks = [
        Entry(label=MEANINGS[word], mark="point", colour=colour, shape=shape)
        for word, colour, shape in LOOKS
        if word in found
    ]
    return Figure(
        name="improvement-forest",
        title="Is the model nearer to its oracle after unlearning than before?",
        panels=tuple(panels),
        legend=(*marks, NOTHING_DONE, *([MARGIN_LINE] if margins else [])),
        caption=material.caption(
            f"{upper_first(measure)} to independent oracles ({unit}), after the last step minus before the first; left "
            "of 0 unlearning came nearer"
            + (f"; of {len(material.unlearned)} histories the worst of each position is drawn" if is_many else ""),
            [r["n"] for r in drawn],
            JACKKNIFE,
        ),
        table=Table.of(
            f"Change of the distance to the oracle ({unit})",
            (
                column("test set", "test_set", test_set),
                column("unlearning", "unlearning"),
                column("history", "history", material.short),
                *_before_and_after(material),
                *mean_columns("change"),
                column("verdict", "verdict", lambda verdict: str(verdict or NOTHING)),
                id_column(
                    "improvement", "D_ho(end)-D_ho(0)", alignment="at_end", step=lambda r: _last(material, r),
                    other=lambda r: _oracle(material, r),
                ),
            ),
            records,
        ),
    )  # fmt: skip


def _before_and_after(material: Material) -> tuple[Column, ...]:
    """Columns of the distances themselves, from the table of distances."""
    known = {
        (r["probe"], r["test_set"], r["unlearning"], r["history"], "after" if r["last"] else "before"): r["mean"]
        for r in material.tables["distances"]
        if r["last"] or r["step"] == 0
    }

    def at(when: str) -> Column:
        return Column(
            head=when,
            text=lambda r: number(known.get((r["probe"], r["test_set"], r["unlearning"], r["history"], when))),
            numeric=True,
        )

    return at("before"), at("after")


def _declared(material: Material) -> list[Finding]:
    return [f for f in material.findings if f.contrast == "improvement" and f.margin_kind == "value"]


def _last(material: Material, record: Record) -> int:
    return next(max(u.steps) for u in material.study.unlearnings if u.name == record["unlearning"])


def _oracle(material: Material, record: Record) -> str:
    return material.names[record["history"]].history.oracle().name


def _natural(material: Material, records: list[Record]) -> Table:
    moments = {"after": "after its stage", "end": "at the end of training", "oracle": "oracle, which never saw them"}
    cells = {(r["history"], r["when"]): r for r in records}
    histories = [name for name in material.unlearned if any(r["history"] == name for r in records)]

    def at(when: str) -> Column:
        return Column(
            head=moments[when],
            text=lambda name: number(cells[name, when]["mean"]) if (name, when) in cells else NOTHING,
            numeric=True,
        )

    return Table.of(
        material.caption(
            "Natural forgetting: loss on the forget rows in nats/token, before any unlearning. Where the second number "
            "is near the third, later stages have done the work already",
            [r["n"] for r in records],
            f"{INTERVAL} under stage losses",
        ),
        (Column(head="history", text=material.short), *map(at, moments)),
        histories,
    )
