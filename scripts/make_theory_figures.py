"""Draw the figures of docs/theory.md into docs/images, from the defaults of `retrain-equivalence theory`.

Usage: python scripts/make_theory_figures.py [question ...]
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from retrain_equivalence.cli.theory import QUESTIONS
from retrain_equivalence.figures.sheet import sheet

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    """Draw the figures of the named questions, or of all."""
    for question in sys.argv[1:] or QUESTIONS:
        answer = import_module(f"retrain_equivalence.theory.questions.{question}").answer()
        for figure in answer.draw():
            path = IMAGES / f"theory-{figure.name.removeprefix('theory-')}.svg"
            path.write_text(sheet(figure), encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
