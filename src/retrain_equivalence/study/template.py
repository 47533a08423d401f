"""The commented study that `init` writes."""

from __future__ import annotations

from importlib.resources import files


def template() -> str:
    """Return the commented study that `init` writes."""
    return (files("retrain_equivalence.study") / "template.yaml").read_text(encoding="utf-8")
