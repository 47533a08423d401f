"""The names that may stand in a study file, from the dataclasses, and what other tools call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, WeightEdit
from retrain_equivalence.recipes.dataset import DATASET_KINDS
from retrain_equivalence.recipes.model import MODEL_KINDS
from retrain_equivalence.recipes.probe import PROBE_KINDS
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.study.study import Study


def names_of(kind: Any) -> tuple[str, ...]:
    """Return the names of a dataclass's fields."""
    return tuple(item.name for item in fields(kind))


DURATIONS = ("num_train_epochs", "max_steps", "max_tokens")
TRAINING_FIELDS = names_of(TrainingRecipe)
STAGE_FIELDS = ("name", "role", "dataset")
UNLEARNING_FIELDS = ("name", "objective", "procedure", "retain_stages", "preferred", "tuning", "save_at")
STEP_KINDS: dict[str, type] = {"objective": Phase, "task_vector": WeightEdit, "replay": ReplayFrom}
"""The steps of a procedure, told apart by the key that each of them alone has."""
BLOCKS = ("training", "unlearning_training")
STUDY_FIELDS = (*names_of(Study), *BLOCKS)

KINDS: dict[str, Mapping[str, type]] = {
    "data set": DATASET_KINDS,
    "model": MODEL_KINDS,
    "probe": PROBE_KINDS,
    "step": STEP_KINDS,
    "preferred": DATASET_KINDS,
}

# Names that other tools use for our fields: too far from ours for a search by spelling.
OTHER_NAMES = {
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "steps": "max_steps",
    "batch_size": "global_batch_size",
    "batch": "global_batch_size",
    "warmup": "warmup_ratio",
    "warmup_steps": "warmup_ratio",
    "scheduler": "lr_scheduler_type",
    "schedule": "lr_scheduler_type",
    "grad_clip": "max_grad_norm",
    "micro_batch": "micro_batch_size",
    "r": "rank",
    "seeds": "replicates",
    "orders": "histories",
    "order": "histories",
    "loss": "objective",
    "algorithm": "objective",
    "data": "dataset",
    "retain": "retain_stages",
    "retain_set": "retain_stages",
}
UNNEEDED = {
    "reference": "leave it out: the reference is always the history's own end model",
    "training": "write the training fields directly into the entry",
    "parameters": "write the objective's parameters directly into the entry",
    "task_vector": "it is a step: procedure: [{objective: nll, …}, {task_vector: 1.0}]",
    "replay": "it is a step: procedure: [{replay: since_forget}]",
    "weighted_sum": "write objective: {weighted_sum: [{objective: …, weight: 1}, …]}",
}
