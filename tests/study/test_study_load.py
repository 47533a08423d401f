"""Loading: bundled studies, configurations, files in parts, overrides, Python."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.histories.history import Role
from retrain_equivalence.recipes.model import HubModel, LoraTuning
from retrain_equivalence.study.bundled import BUNDLED, bundled_text
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.load import load_study, read_study
from retrain_equivalence.study.sources import study_directory
from retrain_equivalence.study.study import ACKNOWLEDGEMENT
from retrain_equivalence.study.template import template

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "configs/finetune.yaml", ROOT / "configs/unlearn.yaml")


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_studies_load(name: str) -> None:
    """Each is valid without a warning, begins with a comment, and states margins with reasons."""
    loaded = read_study(name)
    assert not loaded.warnings
    assert bundled_text(name).startswith(f"# {name}: ")
    assert loaded.study.name == name.replace(".", "-")
    judged = [comparison for comparison in loaded.study.comparisons if comparison.margin is not None]
    assert judged
    assert all(comparison.margin is not None and comparison.margin.rationale for comparison in judged)


def test_every_bundled_file_is_listed() -> None:
    """The list and the folder agree."""
    folder = ROOT / "src/retrain_equivalence/study/bundled"
    assert {path.stem for path in folder.glob("*.yaml")} == set(BUNDLED)


TABLE_2 = {
    "paper-llama32-1b": ("meta-llama/Llama-3.2-1B", 1e-5, 1e-5, 128, 64, 128),
    "paper-llama31-8b": ("meta-llama/Llama-3.1-8B", 1e-5, 1e-5, 128, 8, 16),
    "paper-llama2-13b": ("meta-llama/Llama-2-13b-hf", 1e-5, 5e-6, 256, 8, 16),
    "paper-qwen25-1.5b": ("Qwen/Qwen2.5-1.5B", 1e-5, 1e-5, 128, 32, 64),
    "paper-qwen25-14b": ("Qwen/Qwen2.5-14B", 1e-5, 5e-6, 256, 8, 16),
}
"""Yu et al. 2025, Table 2: base, fine-tuning and unlearning rate, fine-tuning batch, rank, alpha."""


@pytest.mark.parametrize("name", TABLE_2)
def test_paper_studies_hold_table_2(name: str) -> None:
    """Hyper-parameters, epochs, orders and losses of the paper."""
    study = load_study(name)
    hub, rate, unlearning_rate, batch, rank, alpha = TABLE_2[name]
    assert isinstance(study.model, HubModel)
    assert isinstance(study.model.tuning, LoraTuning)
    lora = study.model.tuning.lora
    assert (study.model.hub, lora.rank, lora.alpha, lora.dropout) == (hub, rank, alpha, 0)
    assert [stage.training.num_train_epochs for stage in study.stages] == [10, 4, 2, 2]
    for training in [stage.training for stage in study.stages]:
        assert (training.learning_rate, training.global_batch_size) == (rate, batch)
        assert (training.lr_scheduler_type, training.warmup_ratio, training.decay_ratio) == ("wsd", 0.02, 0.02)
        assert (training.adam_beta1, training.adam_beta2, training.weight_decay) == (0.9, 0.999, 0)
        assert training.max_grad_norm is None
    for unlearning in study.unlearnings:
        training = unlearning.phases[0].training
        assert (training.learning_rate, training.global_batch_size) == (unlearning_rate, 128)
    losses = [(u.phases[0].objective.name, u.phases[0].objective.parameters.get("beta")) for u in study.unlearnings]
    assert losses == [("ga", None), ("npo", 0.5), ("simnpo_sequence", 1.0)]
    assert [history.position() for history in study.all_histories()] == [1, 2, 3, 4]
    assert study.acknowledge == ACKNOWLEDGEMENT


def test_quickstart_shape() -> None:
    """4 positions, 3 objectives, 8 replicates and 8 oracle seeds."""
    study = load_study("quickstart")
    assert len(study.all_histories()) == 4
    assert len(study.oracles()) == 1
    assert [u.phases[0].objective.name for u in study.unlearnings] == ["ga", "npo", "simnpo"]
    assert (study.replicates, study.oracle_replicates) == (8, 8)


def test_template_loads(write: Callable[..., str]) -> None:
    """What `init` writes is valid."""
    assert load_study(write(template())).name == "my-study"


def test_configurations_are_one_study() -> None:
    """Both files together, in either order, with each position."""
    study = load_study(*CONFIGS)
    assert study == load_study(*reversed(CONFIGS))
    assert {u.phases[0].objective.name for u in study.unlearnings} == {"ga", "npo", "simnpo"}
    for position in (1, 2, 3, 4):
        (history,) = load_study(*CONFIGS, overrides=[f"position={position}"]).all_histories()
        assert history.position() == position
    with pytest.raises(StudyError, match="position: must be 1 to 4"):
        load_study(*CONFIGS, overrides=["position=5"])


def test_one_part_alone_lacks_the_other() -> None:
    """Half of a study is none."""
    with pytest.raises(StudyError, match="'unlearnings' is missing"):
        load_study(CONFIGS[0])


def test_a_key_in_two_files(write: Callable[..., str], study_text: str) -> None:
    """Both places are named."""
    write("replicates: 3\n", "b.yaml")
    with pytest.raises(StudyError) as caught:
        load_study(write(study_text, "a.yaml"), "b.yaml")
    assert caught.value.lines() == [
        "error[E-CFG-32]: b.yaml:1:1: replicates: also given at a.yaml:20:1: a top-level key stands in one file only. "
        "Fix: keep one of the two"
    ]


def test_places_name_the_right_file(write: Callable[..., str], study_text: str) -> None:
    """A fault in the second file is shown there."""
    head, tail = study_text.split("unlearnings:")
    write("# a comment\nunlearnings:" + tail.replace("beta: 0.1", "beta: -1"), "b.yaml")
    with pytest.raises(StudyError, match=r"b\.yaml:4:33: unlearnings\.1\.beta"):
        load_study(write(head, "a.yaml"), "b.yaml")


def test_defaults_of_blocks(write: Callable[..., str], study_text: str) -> None:
    """Entries win over blocks; an entry's duration displaces the block's; unlearnings do not take the stages' block."""
    text = study_text.replace("arithmetic, rows: 100}", "arithmetic, rows: 100}, max_steps: 7, learning_rate: 0.5")
    text += "unlearning_training: {global_batch_size: 4, learning_rate: 0.25}\n"
    study = load_study(write(text))
    tofu, math, safety = (stage.training for stage in study.stages)
    assert (tofu.num_train_epochs, tofu.learning_rate) == (2, 1e-3)
    assert (math.num_train_epochs, math.max_steps, math.learning_rate) == (None, 7, 0.5)
    assert safety == tofu
    ga = study.unlearnings[0].phases[0].training
    assert (ga.global_batch_size, ga.learning_rate, ga.num_train_epochs) == (4, 1e-4, None)
    assert study.stages[2].role is Role.FORGET


def test_objective_parameters_are_written_out(write: Callable[..., str], study_text: str) -> None:
    """A default is the same study as its value written out, integers are floats."""
    given = load_study(write(study_text))
    implied = load_study(write(study_text.replace("beta: 0.1, ", "")))
    assert given == implied
    assert given.unlearnings[1].phases[0].objective.parameters == {"beta": 0.1}
    one = load_study(write(study_text.replace("beta: 0.1, ", "beta: 1, ")))
    assert type(one.unlearnings[1].phases[0].objective.parameters["beta"]) is float


OVERRIDES = [
    ("replicates=3", lambda study: study.replicates == 3),
    ("unlearnings.0.learning_rate=2e-5", lambda study: study.unlearnings[0].phases[0].training.learning_rate == 2e-5),
    ("unlearnings.npo.beta=0.5", lambda study: study.unlearnings[1].phases[0].objective.parameters["beta"] == 0.5),
    ("stages.tofu.dataset.rows=null", lambda study: study.stages[0].dataset.rows is None),
    ("stages.1.num_train_epochs=5", lambda study: study.stages[1].training.num_train_epochs == 5),
    ("training.learning_rate=0.5", lambda study: study.stages[0].training.learning_rate == 0.5),
    ("unlearning_training.max_length=64", lambda study: study.unlearnings[0].phases[0].training.max_length == 64),
    ("histories=[[safety, tofu, math]]", lambda study: study.all_histories()[0].name == "safety>tofu>math"),
    ("model={hub: a/b}", lambda study: study.model.hub == "a/b"),
    ("notes=a=b", lambda study: study.notes == "a=b"),
    ("notes='12'", lambda study: study.notes == "12"),
]


@pytest.mark.parametrize(("override", "holds"), OVERRIDES, ids=[text for text, _ in OVERRIDES])
def test_overrides(override: str, holds: Callable[..., bool], write: Callable[..., str], study_text: str) -> None:
    """Indices, names, YAML values; nothing else moves."""
    assert holds(load_study(write(study_text), overrides=[override]))


@pytest.mark.parametrize(
    ("override", "code", "says"),
    [
        ("replicates", "E-CFG-31", "expected field.field=value"),
        ("=3", "E-CFG-31", "expected field.field=value"),
        ("stages..rows=3", "E-CFG-31", "expected field.field=value"),
        ("stages.7.role=forget", "E-CFG-31", "--set stages.7.role: 'stages' has 3 entries and no '7'"),
        ("stages.toffu.role=forget", "E-CFG-31", "did you mean 'tofu'?"),
        ("seed.x=3", "E-CFG-31", "'seed' holds a single value"),
        ("seed=yes", "E-CFG-12", "--set seed: seed: expected a whole number, found the text 'yes'"),
        ("replicats=3", "E-CFG-10", "--set replicats: replicats: unknown key. Fix: did you mean 'replicates'?"),
        ("notes=${HF_TOKEN}", "E-CFG-06", "interpolation"),
        ("notes=&a x", "E-CFG-05", "anchors"),
        ("unlearnings.npo.beta=-1", "E-CFG-43", "--set unlearnings.npo.beta: unlearnings.1.beta"),
    ],
)
def test_wrong_overrides(override: str, code: str, says: str, write: Callable[..., str], study_text: str) -> None:
    """The override is the place."""
    with pytest.raises(StudyError) as caught:
        load_study(write(study_text), overrides=[override])
    (line,) = caught.value.lines()
    assert line.startswith(f"error[{code}]")
    assert says in line


PYTHON = """
from dataclasses import replace
from retrain_equivalence.study.load import load_study

def study():
    return replace(load_study("base.yaml"), replicates=3)

def wrong():
    return replace(load_study("base.yaml"), replicates=0)

def wrong_type():
    return replace(load_study("base.yaml"), replicates="3")

def foreign():
    return replace(load_study("base.yaml"), model=object())

def nothing():
    return None

def broken():
    return 1 / 0
"""


def test_python_source(write: Callable[..., str], study_text: str) -> None:
    """A function gives the same frozen value, and overrides apply to it."""
    base = load_study(write(study_text, "base.yaml"))
    write(PYTHON, "mine.py")
    assert load_study("mine.py:study") == replace(base, replicates=3)
    assert load_study("mine.py:study", overrides=["seed=5"]) == replace(base, replicates=3, seed=5)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("mine.py:wrong", "error[E-CFG-15]: mine.py:wrong: replicates: must be >= 1, found 0"),
        (
            "mine.py:wrong_type",
            "error[E-CFG-12]: mine.py:wrong_type: replicates: expected a whole number, found the text '3'",
        ),
        ("mine.py:foreign", "error[E-CFG-33]: mine.py:foreign: this study cannot be written down"),
        ("mine.py:nothing", "error[E-CFG-33]: mine.py:nothing: the function returned NoneType, expected Study"),
        ("mine.py:broken", "error[E-CFG-33]: mine.py:21: the file raised ZeroDivisionError: division by zero"),
        (
            "mine.py:studdy",
            "error[E-CFG-33]: mine.py:studdy: the file has no function 'studdy'. Fix: did you mean 'study'?",
        ),
        ("gone.py:study", "error[E-CFG-33]: gone.py: there is no such file"),
    ],
)
def test_wrong_python_source(source: str, says: str, write: Callable[..., str], study_text: str) -> None:
    """One line, without a traceback."""
    write(study_text, "base.yaml")
    write(PYTHON, "mine.py")
    with pytest.raises(StudyError) as caught:
        load_study(source)
    assert caught.value.lines()[0].startswith(says)


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, sequence_terms

@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    name: ClassVar[str] = "mine_of_the_study_tests"
    passes: ClassVar = (POLICY_LOGPS,)
    per: ClassVar = Per.SEQUENCE
    cite: ClassVar[str] = "@misc{mine}"
    strength: float = 2.0

    def __call__(self, seen):
        return sequence_terms(seen[POLICY_LOGPS].sequence_sums_B() * self.strength, seen[POLICY_LOGPS])

OBJECTIVES = [Mine]
"""


def test_plugin_objective(write: Callable[..., str], study_text: str) -> None:
    """A user's own objective by name, locked to its source."""
    write(PLUGIN, "plugin.py")
    text = study_text.replace("objective: npo, beta: 0.1", "objective: mine_of_the_study_tests, strength: 3")
    study = load_study(write(text), plugins=["plugin.py"])
    objective = study.unlearnings[1].phases[0].objective
    assert objective.parameters == {"strength": 3.0}
    assert objective.source.startswith("mine_of_the_study_tests@")
    locked = text.replace("mine_of_the_study_tests,", "{name: mine_of_the_study_tests, source: other@00},")
    with pytest.raises(StudyError, match=r"E-CFG-47.*study\.yaml:12:17.*locked with the source 'other@00'"):
        load_study(write(locked), plugins=["plugin.py"])


def test_plugin_objective_in_a_sum_and_in_a_step(write: Callable[..., str], study_text: str) -> None:
    """Locked to its source there too, and read back from the lock file."""
    write(PLUGIN, "plugin.py")
    entry = (
        "procedure: [{objective: mine_of_the_study_tests, strength: 3}, "
        "{objective: {weighted_sum: [{objective: mine_of_the_study_tests, weight: 2}, {objective: ga}]}}]"
    )
    study = load_study(write(study_text.replace("objective: npo, beta: 0.1", entry)), plugins=["plugin.py"])
    first, second = (phase.objective for phase in study.unlearnings[1].phases)
    assert first.source == second.terms[0].objective.source != ""
    locked = dump_study(study)
    assert locked.count(first.source) == 2
    assert load_study(write(locked, "study.lock.yaml"), plugins=["plugin.py"]) == study


def test_acknowledged_sensitive_data_load(write: Callable[..., str], study_text: str) -> None:
    """The exact line is enough."""
    text = study_text.replace("{generated: refusals, rows: 100}", "{refusals: prompts}")
    assert load_study(write(text + f"acknowledge: {ACKNOWLEDGEMENT}\n")).acknowledge == ACKNOWLEDGEMENT


def test_study_directory(write: Callable[..., str], tmp_path: Path) -> None:
    """Relative paths start at the first file's folder."""
    write("", "a.yaml")
    assert study_directory(["a.yaml"]) == tmp_path.resolve()
    assert study_directory(["a.py:study"]) == tmp_path.resolve()
    assert study_directory(["quickstart"]) == Path.cwd()


def test_no_sources() -> None:
    """A call without any is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one source"):
        load_study()


def test_loading_is_light_and_quick(write: Callable[..., str], study_text: str) -> None:
    """No torch, no transformers, no network library; under two seconds with Python's own start."""
    code = (
        "import sys\n"
        "import retrain_equivalence.study.load as load\n"
        "assert 'pydantic' not in sys.modules, 'pydantic is imported before a study is read'\n"
        "load.load_study(sys.argv[1])\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'pandas', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, write(study_text)], check=True, timeout=60)
    assert time.perf_counter() - start < 10  # about 0.5 s; the bound leaves room for a busy machine


CANARY = "canary-3f9a1c"


@pytest.mark.parametrize(
    "line",
    ["notes: ${oc.env:HF_TOKEN}", "notes: '{{ env.HF_TOKEN }}'", "notes: $(echo $HF_TOKEN)", "notes: $HF_TOKEN",
     "notes: !env HF_TOKEN", "seed: $HF_TOKEN", "HF_TOKEN: x"],
)  # fmt: skip
def test_environment_is_never_shown(line: str, write: Callable[..., str], study_text: str) -> None:
    """Whatever a study says, no value of the environment comes out."""
    name = write(study_text.replace("seed: 0", line))
    code = (
        "import sys\nfrom retrain_equivalence.study.load import load_study\n"
        "from retrain_equivalence.core.errors import StudyError\n"
        "try:\n    print(load_study(sys.argv[1]))\n"
        "except StudyError as error:\n    print(*error.lines(), repr(error))\n"
    )
    secrets = {"HF_TOKEN": CANARY, "AWS_SECRET_ACCESS_KEY": CANARY}
    done = subprocess.run(
        [sys.executable, "-c", code, name], env={**os.environ, **secrets}, capture_output=True, timeout=60, check=True
    )
    assert CANARY.encode() not in done.stdout + done.stderr
    assert b"E-CFG" in done.stdout or line == "notes: $HF_TOKEN"
