"""`report`: one self-contained HTML page from a results folder."""

from __future__ import annotations

from retrain_equivalence.cli import options


def report(folder: options.Folder, plugins: options.Plugins = None) -> None:
    """Render report.html and print its path."""
    from retrain_equivalence.execution.results_folder import existing
    from retrain_equivalence.objectives.catalogue import load_plugins
    from retrain_equivalence.report.page import write_report

    load_plugins(plugins or ())
    print(write_report(existing(folder)))
