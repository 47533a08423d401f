#!/usr/bin/env python3
"""Write docs/distances.md, the page that helps to choose a distance, from the cards of the distances.

    python scripts/make_distances.py            writes the page
    python scripts/make_distances.py --check    writes nothing; exit 1 if the page is not what would be written

`tests/docs/test_docs_distances.py` compares the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from retrain_equivalence.metrics.card import Card, Level, Lumping
from retrain_equivalence.metrics.catalogue import CARDS
from retrain_equivalence.metrics.distributional.margin_law import gaussian_kl_of_equal_laws

PAGE = Path(__file__).resolve().parents[1] / "docs" / "distances.md"

LEVELS: dict[Level, tuple[str, str]] = {
    "pointwise": (
        "Pointwise: one state against one state",
        "Both states read the same fixed texts, and are compared position by position. A single pair of runs holds the "
        "seed noise of both; that of a *squared norm* can be subtracted with pairs of different runs, and only such a "
        "distance has a bias-corrected form.",
    ),
    "distributional": (
        "Distributional: one set of runs against another",
        "The question here is whether the *laws* agree over seeds, not two models. The sets must be independent runs, "
        "and a divergence of fitted laws is read beside the same number between two oracle sets of the same sizes.",
    ),
    "parameter": (
        "Parameter: weights against weights",
        "No text is needed, and none is seen: equal functions can have far-apart weights. Given over all weights and "
        "by module (`embed`, `layers.<k>.attention`, `layers.<k>.mlp`, `norms`, `head`, `other`). With LoRA, only the "
        "merged weights are a model: the adapter's B R⁻¹ and R A are the same model for every invertible R, so a "
        "number on raw adapters depends on that choice.",
    ),
}

LUMPING: dict[Lumping, str] = {
    "lower bound": "a lower bound",
    "neither bound": "neither bound",
    "exact": "exact",
    "no cells": "not concerned",
}

HEAD = """# Distances: what each measures, and what it cannot see

Written by `scripts/make_distances.py` from the package; `retrain-equivalence list distances` prints the short form.

No single distance answers whether a model was unlearned. Choose by what must not be missed, read *cannot see* first,
and name the margin in the distance's own unit, or as a multiple of the null band between retrained models. Where a
large vocabulary is sorted into cells, or cut off with a rest cell, some distances become lower bounds: a small number
then shows little. Definitions of words are in the [glossary](glossary.md), rows and findings in
[results](results.md)."""


def yes(flag: bool) -> str:
    """Return a flag in words."""
    return "yes" if flag else "no"


def overview() -> str:
    """Return one row per distance."""
    lines = [
        "| name | level | unit | range | symmetric | squared norm | lumped cells |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in CARDS.values():
        cells = (
            f"[`{card.name}`](#{card.name})", card.level, card.unit or "none", card.range, yes(card.symmetric),
            yes(card.hilbertian), LUMPING[card.lumping],
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def section(card: Card) -> str:
    """Return everything about one distance."""
    words = {
        "unit": card.unit or "none, a pure number",
        "range": card.range,
        "direction": card.direction,
        "symmetric": yes(card.symmetric),
        "squared norm": yes(card.hilbertian),
        "lumped cells": LUMPING[card.lumping],
        "bias": card.bias,
        "sees": card.sees,
        "cannot see": card.blind,
        "source": card.source,
        "rows of a study": f"`{card.row}`" if card.row else "",
    }
    listed = "\n".join(f"- **{name}**: {text}" for name, text in words.items() if text)
    return f"### `{card.name}`\n\n{card.what}\n\n{listed}"


def null_means() -> str:
    """Return the table of what the normal divergence is where there is nothing to see."""
    sizes = (4, 5, 8, 10, 20, 50, 100)
    means = " | ".join(f"{gaussian_kl_of_equal_laws(n, n):.3f}" for n in sizes)
    return (
        "Mean of `margin_law_gaussian_kl` between two independent sets of n runs of *one* normal law, exact:\n\n"
        f"| runs a side | {' | '.join(map(str, sizes))} |\n|---|{'---|' * len(sizes)}\n| nats | {means} |"
    )


def page() -> str:
    """Return docs/distances.md."""
    parts = [HEAD, "## Overview", overview()]
    for level, (title, text) in LEVELS.items():
        parts += [f"## {title}", text, *(section(card) for card in CARDS.values() if card.level == level)]
        if level == "distributional":
            parts.append(null_means())
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it; return the exit code."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in arguments:
        print(f"{PAGE.name} is not up to date. Fix: python scripts/make_distances.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
