"""The page of a judgement: the verdict, one picture, and the tables."""

from __future__ import annotations

import json
from pathlib import Path

from retrain_equivalence.core.identity import plain
from retrain_equivalence.equivalence.verdict import Rule
from retrain_equivalence.figures.elements import Figure, Section
from retrain_equivalence.figures.page import render_page, write_page
from retrain_equivalence.judging.judgement import Judgement
from retrain_equivalence.judging.tables import interval, sentences, shown, tables

_TEMPLATE = """{% extends "shell.html.j2" %}
{% block title %}{{ title }}{% endblock %}
{% block header %}
<p class="kicker">Others' results, judged</p>
<h1>{{ title }}</h1>
{% endblock %}
{% block footer %}
<p>Made by retrain-equivalence judge from logs that somebody else wrote; nothing was trained or measured here.</p>
{% endblock %}
"""


def render(said: Judgement) -> str:
    """Return the page's text: a pure function of the judgement."""
    from altair.utils.schemapi import debug_mode

    # Altair would check every part of every chart against its schema; the charts' own tests do that.
    with debug_mode(False):
        figures = (_figure(said),) if said.judged.estimate is not None else ()
    answer = Section(
        name="answer",
        title=f"{said.verdict}: {said.reason}",
        says=sentences(said),
        figures=figures,
    )
    measured = Section(name="numbers", title="What was measured", tables=tables(said))
    title = f"Does {said.metric} after unlearning agree with retraining?"
    return render_page(_TEMPLATE, sections=(answer, measured), everything_is_in="--json has every number", title=title)


def write(said: Judgement, path: Path) -> Path:
    """Write the page of a judgement, whole or not at all.

    Raises:
        MachineError: E-ENV-41 if it cannot be written.
    """
    return write_page(path, render(said))


def write_numbers(said: Judgement, path: Path) -> Path:
    """Write the judgement as one JSON document, as `--json` prints it.

    Raises:
        MachineError: E-ENV-41 if it cannot be written.
    """
    return write_page(
        path, json.dumps(plain(said), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    )


def _figure(said: Judgement) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.forest import forest_panel

    frame = pd.DataFrame(
        [
            {
                "label": said.metric,
                "estimate": said.judged.estimate,
                "low": said.judged.low,
                "high": said.judged.high,
                "verdict": str(said.verdict),
            }
        ]
    )
    panel = forest_panel(
        frame,
        title=said.judged.quantity,
        x_title=said.judged.quantity,
        nothing=0.0,
        margins=(-said.margin, said.margin) if said.rule is Rule.SIGNED else (said.margin,),
    )
    label = f"{said.judged.quantity}: {shown(said.judged.estimate)}, {interval(said.judged.low, said.judged.high)}"
    return Figure(
        name="difference",
        title="Does the difference stay within the margin?",
        panels=(to_svg(panel, name="difference", label=label),),
        caption=(
            f"{said.judged.quantity} with its 95 % interval over runs ({said.judged.method}), n = "
            f"{said.judged.n.unlearned} + {said.judged.n.retrained} runs; thin line: no difference; dashed: the margin "
            f"{said.margin:g}."
        ),
        table=tables(said)[1],
    )
