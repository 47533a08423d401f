"""The package is light: importing it, and what plans and compares, loads no machine-learning library."""

import subprocess
import sys
import time

LIGHT = (
    "retrain_equivalence.study.study",
    "retrain_equivalence.histories.orders",
    "retrain_equivalence.histories.prefix_tree",
    "retrain_equivalence.records.table",
    "retrain_equivalence.recipes.model",
    "retrain_equivalence.recipes.probe",
    "retrain_equivalence.metrics.catalogue",
    "retrain_equivalence.probes.catalogue",
)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_is_fast() -> None:
    bare, ours = [], []
    for _ in range(3):
        for found, code in ((bare, "pass"), (ours, "import retrain_equivalence")):
            start = time.perf_counter()
            run(code)
            found.append(time.perf_counter() - start)
    assert min(ours) - min(bare) < 0.3


def test_what_plans_and_compares_loads_no_torch() -> None:
    imports = "; ".join(f"import {name}" for name in LIGHT)
    heavy = "[n for n in ('torch', 'transformers', 'peft', 'datasets', 'pyarrow', 'pandas') if n in sys.modules]"
    assert run(f"import sys; {imports}; print({heavy})") == "[]"
