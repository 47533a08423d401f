"""The theory's page: answers with their figures in the same shell as a study's report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from retrain_equivalence.figures.elements import Section
from retrain_equivalence.figures.page import render_page, write_page
from retrain_equivalence.theory.answer import Answer

_TEMPLATE = """{% extends "shell.html.j2" %}
{% block title %}{{ title }}{% endblock %}
{% block header %}
<p class="kicker">The theory of retrain equivalence</p>
<h1>{{ title }}</h1>
{% endblock %}
{% block footer %}
<p>Computed by retrain-equivalence theory in linear and small worlds; nothing here was measured on a language model.</p>
{% endblock %}
"""


def render(answers: Sequence[Answer]) -> str:
    """Return the page's text: a pure function of the answers."""
    from altair.utils.schemapi import debug_mode

    # Altair would check every part of every chart against its schema; the charts' own tests do that.
    with debug_mode(False):
        sections = [_section(answer, is_alone=len(answers) == 1) for answer in answers]
    title = answers[0].question if len(answers) == 1 else "What can be unlearned, and what cannot"
    return render_page(_TEMPLATE, sections=sections, everything_is_in="--json has every number", title=title)


def write(answers: Sequence[Answer], path: Path) -> Path:
    """Write the page of some answers, whole or not at all.

    Raises:
        MachineError: E-ENV-41 if it cannot be written.
    """
    return write_page(path, render(answers))


def _section(answer: Answer, *, is_alone: bool) -> Section:
    return Section(
        name=answer.name,
        title=answer.title,
        # Alone on its page, the question stands above it already.
        says=answer.says if is_alone else (answer.question, *answer.says),
        figures=answer.draw(),
        tables=answer.tables,
        text=json.dumps(dict(answer.settings), indent=1, sort_keys=True, ensure_ascii=False),
        file="What the numbers depend on",
    )
