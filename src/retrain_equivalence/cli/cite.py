"""`cite`: BibTeX of everything a study uses."""

from __future__ import annotations

from retrain_equivalence.cli import options


def cite(sources: options.Sources, overrides: options.Overrides = None, plugins: options.Plugins = None) -> None:
    """Print the BibTeX entries of the methods and data that a study uses."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.report.citations import bibtex

    print(bibtex(common.open_study(sources, overrides, plugins)))
