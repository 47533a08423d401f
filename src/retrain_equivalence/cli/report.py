"""`report`: one self-contained HTML page from a results folder."""

from __future__ import annotations

from retrain_equivalence.cli import options


def report(folder: options.Folder) -> None:
    """Render report.html and print its path."""
    from retrain_equivalence.execution.api import report as render

    print(render(folder))
