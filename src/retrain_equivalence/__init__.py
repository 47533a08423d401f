"""Does an unlearned language model behave like one that was retrained without the data?

The whole interface for scripts; each name is imported when it is first used, so `import retrain_equivalence` is quick:

    study = load_study("study.yaml")
    planned, inputs = plan(study)
    results = run(study, store=open_store(), out=Path("results/mine"))
    findings = compare(results.frame, study)
    write_report(results.directory)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain_equivalence.equivalence.compare import compare
    from retrain_equivalence.execution.api import Results, Runtime, plan, run
    from retrain_equivalence.report.page import write_report
    from retrain_equivalence.store.local import open_store
    from retrain_equivalence.study.load import load_study
    from retrain_equivalence.study.study import Study

__all__ = ["Results", "Runtime", "Study", "compare", "load_study", "open_store", "plan", "run", "write_report"]

_HOMES = {
    "Results": "execution.api",
    "Runtime": "execution.api",
    "Study": "study.study",
    "compare": "equivalence.compare",
    "load_study": "study.load",
    "open_store": "store.local",
    "plan": "execution.api",
    "run": "execution.api",
    "write_report": "report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
