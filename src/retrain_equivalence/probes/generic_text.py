"""Generic text: neutral paragraphs that belong to no stage, written for this package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from retrain_equivalence.data.example import Example


@cache
def generic_examples() -> tuple[Example, ...]:
    """Return the paragraphs of `generic_text.txt` as plain text: no prompt, every token scored."""
    text = files("retrain_equivalence.probes").joinpath("generic_text.txt").read_text(encoding="utf-8")
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    return tuple(
        Example(id=f"generic-{number:02d}", prompt="", response=paragraph, cluster=f"generic-{number:02d}")
        for number, paragraph in enumerate(paragraphs, start=1)
    )
