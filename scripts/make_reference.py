#!/usr/bin/env python3
"""Write the parts of the documentation that the code already says: the fields of a study, and the error codes.

    python scripts/make_reference.py            writes docs/studies.md (between its marks) and docs/errors.md
    python scripts/make_reference.py --check    writes nothing; exit 1 if a page is not what would be written

Fields come from the dataclasses: type, default, and the docstring beneath the field. `tests/docs/test_docs.py` runs the
check, so a page cannot drift from the code.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from retrain_equivalence.core.codes import CODES
from retrain_equivalence.core.errors import FAMILIES
from retrain_equivalence.histories.history import Stage
from retrain_equivalence.histories.orders import ORDERINGS, placebo_of
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.metrics.catalogue import DISTANCES
from retrain_equivalence.recipes.dataset import DATASET_KINDS, DatasetRecipe
from retrain_equivalence.recipes.model import MODEL_KINDS, Lora, ModelRecipe, Pretraining
from retrain_equivalence.recipes.probe import PROBE_KINDS, ProbeRecipe
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.study.bundled import BUNDLED, bundled_text
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Comparison, Given, Margin, Study

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"

SIMPLE = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
PARTS = {
    "AnyDataset": "[data set](#data-sets)",
    "AnyModel": "[model](#model)",
    "AnyProbe": "[probe](#probes)",
    "Stage": "[stage](#stages)",
    "Unlearning": "[unlearning](#unlearnings)",
    "Comparison": "[comparison](#comparisons)",
    "Given": "[given checkpoint](#given-checkpoints)",
    "Margin": "[margin](#comparisons)",
    "Lora": "[adapter](#adapters)",
    "LoraTuning": "`{lora: ...}`, an [adapter](#adapters)",
    "Pretraining": "[pretraining](#model)",
    "TrainingRecipe": "[training](#training)",
    "TextDataset": "[text data set](#data-sets)",
    "Role": "`forget` or `retain`",
}
"""How a part of a study is called, by the name of its type."""

HISTORIES = "name of an ordering, or list of such names, `placebo` and orders; see [histories](#histories)"


# --- from dataclasses to words ------------------------------------------------------------------------------------


def field_docs(kind: type) -> dict[str, str]:
    """Return field -> the docstring beneath it, of a class and of those it inherits from."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for one, two in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and isinstance(two, ast.Expr)
                and isinstance(two.value, ast.Constant)
            ):
                found[one.target.id] = " ".join(inspect.cleandoc(str(two.value.value)).split())
    return found


def type_words(hint: Any) -> str:
    """Return a type in the words of a study file."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    if hint is type(None):
        return "`null`"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list: {type_words(arguments[0])}"
    if origin in (Union, types.UnionType):
        names = {getattr(argument, "__name__", "") for argument in arguments}
        for alias, member in (("AnyDataset", "TofuDataset"), ("AnyModel", "HubModel"), ("AnyProbe", "AccuracyProbe")):
            if member in names:
                return PARTS[alias] + (" or `null`" if type(None) in arguments else "")
        return " or ".join(type_words(argument) for argument in arguments)
    return PARTS[hint.__name__]


def default_words(field: Field[Any]) -> str:
    """Return a field's default as YAML, or `required`."""
    if field.default_factory is not MISSING:
        return f"`{field.default_factory()}`"
    value = field.default
    if value is MISSING:
        return "required"
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if value == "":
        return "empty"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table(kind: type, *, without: Iterable[str] = (), instead: dict[str, tuple[str, str]] | None = None) -> str:
    """Return the table of a dataclass's fields.

    Args:
        kind: the dataclass.
        without: fields that are left out.
        instead: field -> (type, default) where the file's form differs from the dataclass.
    """
    docs, hints = field_docs(kind), get_type_hints(kind)
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field in fields(kind):
        if field.name in without:
            continue
        if field.name not in docs:
            raise SystemExit(f"{kind.__name__}.{field.name} has no docstring beneath it")
        kind_words, default = (instead or {}).get(field.name) or (type_words(hints[field.name]), default_words(field))
        cells = (f"`{field.name}`", kind_words, default, docs[field.name])
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def first_paragraph(kind: Any) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def kinds(listed: dict[str, Any], shared: type) -> str:
    """Return one heading and one table for each kind of a part, without the fields that all kinds share."""
    common = [field.name for field in fields(shared)]
    return "\n\n".join(
        f"**`{name}`**. {first_paragraph(kind)}\n\n{table(kind, without=common)}" for name, kind in listed.items()
    )


# --- the pages ----------------------------------------------------------------------------------------------------


def orderings() -> str:
    """Return one row per ordering."""
    lines = ["| ordering | histories |", "|---|---|"]
    lines += [f"| `{name}` | {first_paragraph(function)} |" for name, function in ORDERINGS.items()]
    lines.append(f"| `placebo` (only in a list, beside others) | {first_paragraph(placebo_of)} |")
    return "\n".join(lines)


def distances() -> str:
    """Return one row per distance."""
    lines = ["| name | unit | squared norm | with lumped cells |", "|---|---|---|---|"]
    for name, distance in DISTANCES.items():
        bound = "a lower bound" if distance.lumping_is_a_lower_bound else "neither bound"
        lines.append(f"| `{name}` | {distance.unit.value} | {'yes' if distance.hilbertian else 'no'} | {bound} |")
    return "\n".join(lines)


def bundled() -> str:
    """Return one row per bundled study."""
    lines = ["| name | what it is | question |", "|---|---|---|"]
    for name in BUNDLED:
        comment = " ".join(line.lstrip("# ") for line in takewhile(str.strip, bundled_text(name).splitlines()))
        remark = comment.partition(": ")[2].partition(". ")[0].rstrip(".")
        lines.append(f"| `{name}` | {remark} | {load_study(name).question} |")
    return "\n".join(lines)


def studies_reference() -> str:
    """Return the generated part of docs/studies.md."""
    comparison = {"probe": (type_words(str), "required")}
    inherited = "Training fields come from the step, then from the entry, then from `unlearning_training`."
    unlearning = {
        "procedure": ("list of steps", "this or `objective`"),
        "preferred": ("`idk`, a [data set](#data-sets) or `null`", "`null`"),
    }
    return f"""
### Top level

{table(Study, instead={"histories": (HISTORIES, "this or `position`")})}
| `training` | [training](#training) | empty | Defaults of every stage; a stage's own fields come first. |
| `unlearning_training` | [training](#training) | empty | Defaults of every unlearning. |

### Model

Exactly one of {", ".join(f"`{name}`" for name in MODEL_KINDS)} says what the base model is. Fields of every kind:

{table(ModelRecipe)}

{kinds(MODEL_KINDS, ModelRecipe)}

**`pretraining`**. {first_paragraph(Pretraining)}

{table(Pretraining)}

### Adapters

{first_paragraph(Lora)}

{table(Lora)}

### Training

These fields stand in `training`, in `unlearning_training`, in `pretraining.training`, and flat in each stage and each
unlearning. {first_paragraph(TrainingRecipe)}

{table(TrainingRecipe)}

### Stages

A stage has these fields and, beside them, those of [training](#training). {first_paragraph(Stage)}

{table(Stage, without=["training"])}

### Data sets

Exactly one of {", ".join(f"`{name}`" for name in DATASET_KINDS)} says what the rows are. Fields of every kind:

{table(DatasetRecipe)}

{kinds(DATASET_KINDS, DatasetRecipe)}

### Histories

{orderings()}

### Unlearnings

An unlearning is either one phase, written flat: `objective`, its parameters and the fields of [training](#training)
stand in the entry itself; or a `procedure`, a list of steps. {first_paragraph(Unlearning)}

{table(Unlearning, instead=unlearning)}
| `objective` | name of an objective, or `{{weighted_sum: [...]}}` | this or `procedure` | The loss that is minimised. |

An objective is a name of [objectives](objectives.md), which has formula, parameters, needs and source of each; or a
sum, `{{weighted_sum: [{{objective: npo, beta: 0.1}}, {{objective: retain_nll, weight: 2}}]}}`, whose terms have their
parameters beside them and a `weight` (1 if none is given). A step of a procedure is one of:

| step | what it does |
|---|---|
| `{{objective: ..., max_steps: ...}}` | {first_paragraph(Phase)} {inherited} |
| `{{task_vector: α}}` | {first_paragraph(WeightEdit)} |
| `{{replay: since_forget}}`, `{{replay: k}}` | {first_paragraph(ReplayFrom)} |

`save_at` counts the steps of the whole procedure: optimizer steps of its phases one after another, one for a task
vector or a replay.

### Probes

Exactly one of {", ".join(f"`{name}`" for name in PROBE_KINDS)} says what is measured. Fields of every kind:

{table(ProbeRecipe)}

{kinds(PROBE_KINDS, ProbeRecipe)}

Distances between prediction snapshots, the primary one first:

{distances()}

### Comparisons

{table(Comparison, instead=comparison)}

**`margin`**. {first_paragraph(Margin)}

{table(Margin)}

### Given checkpoints

{first_paragraph(Given)}

{table(Given)}

### Bundled studies

{bundled()}
"""


def errors_page() -> str:
    """Return docs/errors.md."""
    lines = [
        "# Error codes",
        "",
        "Written by `scripts/make_reference.py` from the package; `retrain-equivalence explain CODE` prints the same.",
        "",
        "Every problem is one line: `error[CODE]: place: what was found and expected. Fix: what to do`. A command",
        "reports up to 20 problems at once. The family of the code gives the exit code; `--debug` adds the traceback.",
        "",
        "| family | exit code | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{family.prefix}` | {family.exit_code} | {first_paragraph(family)} |" for family in FAMILIES]
    prefixes = [family.prefix for family in FAMILIES]
    others = sorted(code for code in CODES if code.rpartition("-")[0] not in prefixes)
    for prefix in (*prefixes, ""):
        listed = sorted(code for code in CODES if code.rpartition("-")[0] == prefix) if prefix else others
        if not listed:
            continue
        lines += ["", f"## {prefix or 'Others'}", ""]
        for code in listed:
            lines += [f"**{code}**. {' '.join(CODES[code].split())}", ""]
        lines.pop()
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return path -> the whole text that each generated page should have."""
    studies = ROOT / "docs" / "studies.md"
    before, _, rest = studies.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        studies: f"{before}{BEGIN}\n{studies_reference()}\n{END}{after}",
        ROOT / "docs" / "errors.md": errors_page(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; return the exit code."""
    stale = 0
    for path, text in pages().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            stale += 1
            print(f"{path.relative_to(ROOT)} is not up to date. Fix: python scripts/make_reference.py", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
