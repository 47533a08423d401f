"""Recency: does the stage learned last take longest to unlearn, and is it a head start or a lower speed?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from retrain_equivalence.equivalence.finding import id_of
from retrain_equivalence.equivalence.measurements import FORGET_LOSS
from retrain_equivalence.figures.beside import beside_panel
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.legend import Entry, of_kinds
from retrain_equivalence.figures.palette import INK, MUTED, Series
from retrain_equivalence.figures.panel import common_domain, line_panel
from retrain_equivalence.figures.recency import PARTS, position_panel
from retrain_equivalence.report.material import Material, column, mean_columns
from retrain_equivalence.report.recency_words import LEVELS, sentence
from retrain_equivalence.report.words import counted, interval, listed, number

PART_WORDS = {part.name: part.label for part in PARTS}
PARTLY = Entry(label="hollow: not every run reached the level", mark="hollow", colour=INK.light)
BEYOND = Entry(label="triangle: no run reached it by that step", mark="hollow", colour=MUTED.light, shape="triangle-up")


def recency(material: Material) -> Section:
    """Return steps to each level by position, the decomposition of the contrast, and the phase portrait."""
    records = list(material.tables["recency"])
    contrasts = list(material.tables["recency_contrast"])
    phase = list(material.tables["phase"])
    levels = list(dict.fromkeys(r["level_name"] for r in records))
    figures: list[Figure] = [_by_position(material, [r for r in records if r["level_name"] == n], n) for n in levels]
    drawn = [r for r in contrasts if r["mean"] is not None]
    figures += [_parts(material, [r for r in contrasts if r["level_name"] == name], name) for name in levels
                if any(r["level_name"] == name for r in drawn)]  # fmt: skip
    if phase:
        figures.append(_phase(material, phase))
    undefined = [r for r in contrasts if r["mean"] is None]
    return Section(
        name="recency",
        title="Recency",
        says=(
            "How many unlearning steps each history needs until the loss on the forget items reaches the level of "
            "the oracle, which never saw them. A run that does not reach it counts with all its steps (restricted "
            "mean). The difference between the last position and an earlier one is a head start (the last one begins "
            "with a lower loss) plus a speed (it moves more slowly from the same loss); this split exists only in "
            "replicates in which every run reached the level.",
        ),
        points=tuple(
            (unlearning.name, said)
            for unlearning in material.study.unlearnings
            if (said := sentence(contrasts, unlearning.name))
        ),
        figures=tuple(figures),
        tables=(_undefined(material, undefined),) if undefined else (),
    )


def _by_position(material: Material, records: list[Record], level: str) -> Figure:
    ticks = [_ticked(material, name) for name in sorted(material.unlearned, key=lambda n: _place(material, n))]
    beyond = {(r["unlearning"], r["history"]): r["horizon"] for r in records if r["mean"] is None and r["not_reached"]}
    domain = common_domain([*(r[k] for r in records for k in ("mean", "low", "high")), *beyond.values()])
    panels: list[str] = []
    for unlearning in material.unlearnings(records):
        own = [r for r in records if r["unlearning"] == unlearning]
        frame = pd.DataFrame(
            {"series": r["history"], "y": r["mean"], "low": r["low"], "high": r["high"],
             "whole": not (r["not_reached"] or r["censored"]), "beyond": beyond.get((unlearning, r["history"]))}
            for r in own
        ).astype({"y": float, "low": float, "high": float, "beyond": float})  # fmt: skip
        chart = position_panel(frame, ticks, title=unlearning, y_title="steps", y_domain=domain,
                               x_title="history, by position of the forget stage")  # fmt: skip
        label = f"Steps of {unlearning} to {LEVELS.get(level, level)}: " + "; ".join(
            f"{material.short(r['history'])} {'not reached' if r['mean'] is None else number(r['mean'])}" for r in own
        )
        panels.append(to_svg(chart, name=f"recency-{level}-{len(panels)}", label=label))
    return Figure(
        name=f"recency-{level}",
        title=f"Steps to {LEVELS.get(level, level)}",
        panels=tuple(panels),
        legend=(*(replace(entry, mark="point") for entry in material.legend()), *_marks(records, beyond)),
        caption=material.caption(
            "Restricted mean of the unlearning steps until the loss on the forget items reaches "
            f"{LEVELS.get(level, level)}",
            [r["n"] for r in records if r["n"]],
        ),
        table=Table.of(
            f"Steps to {LEVELS.get(level, level)}",
            (
                column("unlearning", "unlearning"),
                column("history", "history", material.short),
                column("level (nats/token)", "level", number, numeric=True),
                *mean_columns("steps"),
                column("reached", "reached", numeric=True),
                column("at the start", "at_start", numeric=True),
                column("not reached", "not_reached", numeric=True),
                column("censored", "censored", numeric=True),
                column("of steps", "horizon", number, numeric=True),
            ),
            records,
        ),
    )


def _marks(records: list[Record], beyond: Mapping[tuple[str, str], int]) -> list[Entry]:
    partly = any(r["mean"] is not None and (r["not_reached"] or r["censored"]) for r in records)
    return [*([PARTLY] if partly else []), *([BEYOND] if beyond else [])]


def _place(material: Material, name: str) -> int:
    return material.names[name].history.position() or 0


def _ticked(material: Material, name: str) -> Series:
    entry = material.names[name]
    return replace(entry.series, label=entry.short)


def _against(record: Record) -> str:
    earlier = record["earlier"]
    return f"p{record['position']} − {'mean of earlier' if earlier is None else f'p{earlier}'}"


def _id(record: Record) -> str:
    against = "mean of earlier" if record["earlier"] is None else f"position {record['earlier']}"
    return id_of(
        contrast="recency",
        quantity=f"{record['part']}({record['level_name']})",
        probe=FORGET_LOSS,
        unlearning=record["unlearning"],
        history=f"position {record['position']}",
        other=against,
        alignment="at_forget_level",
    )


def _parts(material: Material, records: list[Record], level: str) -> Figure:
    # Parts over two or three replicates have intervals that would leave nothing else to see.
    totals = [r[k] for r in records if r["part"] == "total" for k in ("low", "high")]
    domain = common_domain([0.0, *totals, *(r["mean"] for r in records)])
    panels: list[str] = []
    for unlearning in material.unlearnings(r for r in records if r["mean"] is not None):
        own = [r for r in records if r["unlearning"] == unlearning]
        frame = pd.DataFrame(
            {"label": _against(r), "series": r["part"], "estimate": r["mean"], "low": r["low"], "high": r["high"]}
            for r in own
        ).astype({"estimate": float, "low": float, "high": float})
        chart = beside_panel(
            frame, PARTS, title=unlearning, x_title="steps more than the earlier position", domain=domain
        )
        label = f"Recency of {unlearning} at {LEVELS.get(level, level)}: " + "; ".join(
            f"{_against(r)} {r['part'].replace('_', ' ')} {number(r['mean'])}" for r in own
        )
        panels.append(to_svg(chart, name=f"parts-{level}-{len(panels)}", label=label))
    return Figure(
        name=f"parts-{level}",
        title=f"Head start and speed, at {LEVELS.get(level, level)}",
        panels=tuple(panels),
        legend=of_kinds(PARTS),
        caption=material.caption(
            "Unlearning steps that the last position needs more than an earlier one, paired by replicate. In "
            "replicates in which every run reached the level, total = head start + speed; the total counts a run that "
            "did not reach it with all its steps, and is then over more replicates than its parts. Wide intervals are "
            "cut at the edge",
            [r["n"] for r in records if r["n"]],
        ),
        table=Table.of(
            f"Head start and speed, in steps, at {LEVELS.get(level, level)}",
            (
                column("unlearning", "unlearning"),
                Column(head="contrast", text=_against),
                column("part", "part", lambda part: PART_WORDS.get(part, part)),
                *mean_columns("steps"),
                column("every run reached", "reached", number, numeric=True),
                column("runs not there", "not_reached", number, numeric=True),
                column("of runs", "runs", number, numeric=True),
                Column(head="id", text=_id),
            ),
            records,
        ),
    )


def _undefined(material: Material, records: list[Record]) -> Table:
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for r in records:
        groups.setdefault((r["unlearning"], r["level_name"], r["reason"]), []).append(r)

    def parts(key: tuple[str, str, str]) -> str:
        return listed(list(dict.fromkeys(PART_WORDS[r["part"]] for r in groups[key])))

    def against(key: tuple[str, str, str]) -> str:
        return listed(list(dict.fromkeys(_against(r) for r in groups[key])))

    return Table.of(
        "Contrasts that are undefined, and why",
        (
            Column(head="unlearning", text=lambda key: key[0]),
            Column(head="level", text=lambda key: LEVELS.get(key[1], key[1])),
            Column(head="part", text=parts),
            Column(head="contrast", text=against),
            Column(head="reason", text=lambda key: key[2].removeprefix("undefined: ")),
        ),
        groups,
    )


def _phase(material: Material, records: list[Record]) -> Figure:
    series = material.series
    unlearnings = material.unlearnings(records)
    panels: list[str] = []
    for unlearning in unlearnings:
        own = [r for r in records if r["unlearning"] == unlearning]
        frame = pd.DataFrame({"series": r["history"], "x": r["loss"], "y": r["speed"]} for r in own).astype(
            {"x": float, "y": float}
        )
        chart = line_panel(
            frame, series, title=unlearning, x_title="loss on forget items (nats/token)",
            y_title="speed (nats/token per step)", arrows=True,
        )  # fmt: skip
        label = f"Phase portrait of {unlearning}: speed of the forget loss against the forget loss; " + "; ".join(
            f"{material.short(h)} over losses {_span(own, h)}" for h in dict.fromkeys(r["history"] for r in own)
        )
        panels.append(to_svg(chart, name=f"phase-{len(panels)}", label=label))
    last = {name: max(r["step"] for r in records if r["unlearning"] == name) for name in unlearnings}
    every = {name: max(1, int(last[name]) // 10) for name in unlearnings}
    return Figure(
        name="phase",
        title="Phase portrait",
        panels=tuple(panels),
        legend=material.legend(),
        caption=material.caption(
            "Change of the loss on the forget items per step (nats/token per step) against that loss (nats/token), "
            "mean over replicates; lines that lie on one another mean that the speed depends on the loss alone, not "
            "on the history",
            [r["n"] for r in records],
            "no interval: description only",
        ),
        table=Table.of(
            "Phase portrait, some ten steps of each line",
            (
                column("unlearning", "unlearning"),
                column("history", "history", material.short),
                column("step", "step", number, numeric=True),
                column("loss", "loss", number, numeric=True),
                column("speed", "speed", number, numeric=True),
                column("n", "n", number, numeric=True),
            ),
            [r for r in records if int(r["step"]) % every[r["unlearning"]] == 0],
        ),
    )


def _span(records: list[Record], history: str) -> str:
    losses = [r["loss"] for r in records if r["history"] == history and r["loss"] is not None]
    return interval(min(losses), max(losses)) if losses else counted(0, "point")
