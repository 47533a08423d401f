"""What tasks do: one body per kind of spec, each reading and writing the store and nothing else.

A worker opens its bodies once from the locked study and the keys of its data, so tasks cross process borders as keys.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrain_equivalence.core.errors import InputError, RunError, raise_all
from retrain_equivalence.core.identity import Digest, Key, canonical_json, digest_of_bytes
from retrain_equivalence.execution.distances import distance_values
from retrain_equivalence.execution.gaps import gap_values
from retrain_equivalence.execution.labels import label_values
from retrain_equivalence.execution.parameters import parameter_values
from retrain_equivalence.execution.plan import Plan, Planned
from retrain_equivalence.execution.signals import Interrupted, StopFlag
from retrain_equivalence.execution.specs import (
    BaseSpec,
    CellsSpec,
    DistanceSpec,
    GapSpec,
    GivenSpec,
    LabelSpec,
    ParameterSpec,
    ProbeSpec,
    StageLossSpec,
    StageSpec,
    UnlearnSpec,
)
from retrain_equivalence.execution.states import ADAPTER, FULL, States, step_file
from retrain_equivalence.execution.task import Task
from retrain_equivalence.execution.unlearning_material import UnlearningMaterial
from retrain_equivalence.execution.values import Values
from retrain_equivalence.histories.unlearning import WeightEdit
from retrain_equivalence.models.base import base_files, open_files
from retrain_equivalence.models.lora import adapter_weights, attach, load_adapter, merge, unmoved
from retrain_equivalence.models.weights import from_safetensors, load_weights, to_safetensors, weights_of
from retrain_equivalence.objectives.catalogue import build as build_objective
from retrain_equivalence.probes import prediction
from retrain_equivalence.probes.base import Probe, Subject
from retrain_equivalence.probes.catalogue import build as build_probe
from retrain_equivalence.probes.catalogue import forget_loss, stage_loss
from retrain_equivalence.probes.prediction_sets import prediction_sets
from retrain_equivalence.probes.scoring import encode_answer, mean_logps
from retrain_equivalence.recipes.model import LoraTuning, TinyModel, Tuning
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.probe import PredictionProbe
from retrain_equivalence.store.base import Store
from retrain_equivalence.store.checkpoints import Checkpoints, discard_checkpoints
from retrain_equivalence.training import checkpoint
from retrain_equivalence.training.duration import n_steps
from retrain_equivalence.training.loop import LoopState, LoopStep, NonFinite, train
from retrain_equivalence.training.weight_edit import subtract_task_vector, trainable

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from retrain_equivalence.data.example import Dataset, Example
    from retrain_equivalence.models.codec import Codec, Encoded

CHECKPOINT_SECONDS = 600.0
"""In-stage checkpoints at least this often, and on SIGINT and SIGTERM."""

EXTRA = "extra."
"""Marks the files of a checkpoint that the body has gathered beside the loop's state."""

NLL = ObjectiveRecipe(name="nll")


@dataclass(slots=True, kw_only=True)
class Bodies:
    """The bodies of one plan over one store."""

    plan: Plan
    store: Store
    states: States
    stop: StopFlag
    study_dir: Path
    _checkpoints: Checkpoints | None = None
    """Those of the task at hand."""
    _kept_cells: dict[Key, prediction.Cells] = field(default_factory=dict)
    _saved_at: float = field(default_factory=time.monotonic)

    def __call__(self, task: Task) -> None:
        """Do a task; afterwards its key is in the store."""
        if self.store.has(task.key):
            # A worker died between committing and pruning, and its task was given out again.
            discard_checkpoints(self.store, [task.key])
            return
        planned = self.plan.planned[task.key]
        started = self._saved_at = time.monotonic()
        try:
            files, made = self._do(planned)
        except BaseException:
            # The models are shared by the tasks of a worker, and this one may have left an adapter on its own: a
            # failure costs the task alone, and its checkpoints are no business of the next.
            self.states.forget_models()
            self._checkpoints = None
            raise
        seconds = round(time.monotonic() - started, 3)
        self.store.put(
            task.key,
            kind=planned.named.kind,
            recipe=planned.named.recipe,
            parents=self.digests(planned.named.parents),
            files=files,
            made={"seconds": seconds, **made},
        )
        if self._checkpoints is not None:
            self._checkpoints.clear()
            self._checkpoints = None

    def _do(self, planned: Planned) -> tuple[Mapping[str, bytes | Path], Made]:
        match planned.spec:
            case BaseSpec() as spec:
                return self.base(planned, spec)
            case GivenSpec() as spec:
                return self.given(spec)
            case StageSpec() as spec:
                return self.stage(planned, spec)
            case UnlearnSpec() as spec:
                return self.unlearn(planned, spec)
            case CellsSpec() as spec:
                return self.cells(spec)
            case ProbeSpec() as spec:
                return self.probe(spec)
            case StageLossSpec() as spec:
                return self.stage_losses(spec)
            case DistanceSpec() as spec:
                return self.distance(spec)
            case GapSpec() as spec:
                return self.gap(spec)
            case LabelSpec() as spec:
                return self.labels(spec)
            case ParameterSpec() as spec:
                return self.parameters(spec)

    def digests(self, parents: tuple[Key, ...]) -> dict[Key, Digest]:
        """Return the digests under which the parents lie in the store."""
        return {parent: self.store.get(parent).manifest.digest for parent in parents}

    # -- training ------------------------------------------------------------------------------------------------

    def base(self, planned: Planned, spec: BaseSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Make the base; a pretrained tiny model is initialised, then trained on its text like a stage."""
        text = None
        if spec.pretraining_data is not None:
            text = "\n".join(row.response for row in self.states.datasets[spec.pretraining_data].train)
        # Offline: what is foreign was fetched before the first task, and tasks never touch the network.
        files = base_files(spec.model, seed=spec.init_seed, tokenizer_text=text, study_dir=self.study_dir, offline=True)
        model, codec = open_files(files, spec.model)
        # Before pretraining, which may take long: a row that cannot be encoded is refused here.
        tokenizer = files["tokenizer.json"]
        self.states.encode_all(
            Key(digest_of_bytes(tokenizer if isinstance(tokenizer, bytes) else tokenizer.read_bytes())), codec
        )
        if not isinstance(spec.model, TinyModel):
            # One layout for every base: shards are joined, a tied tensor stands once, names are the module's own.
            files = {name: data for name, data in files.items() if not name.startswith("model")}
            return {**files, FULL: to_safetensors(weights_of(model))}, {}
        if spec.model.pretraining is None or spec.pretraining_data is None:
            return files, {}
        training = spec.model.pretraining.training
        rows = truncated_rows(codec, self.states.datasets[spec.pretraining_data], training.max_length)
        log, made = self._train(planned.task.key, model, codec, rows, NLL, training, spec.order_seed)
        return {**files, FULL: to_safetensors(weights_of(model)), "log.json": log}, made

    def given(self, spec: GivenSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Take a foreign checkpoint's weights onto the base's architecture; names and shapes must agree."""
        from retrain_equivalence.models.directory import check_model_directory, weight_files

        folder = self.study_dir / spec.path
        raise_all(InputError, (problem for problem in check_model_directory(folder) if problem.severity == "error"))
        model, _ = self.states.base(spec.base)
        weights: dict[str, Tensor] = {}
        for name in weight_files(folder):
            weights |= from_safetensors(folder / name)
        own = weights_of(model)
        if differing := [n for n in own if n not in weights or weights[n].shape != own[n].shape]:
            raise InputError.of(
                "E-DATA-86", spec.path, f"tensor '{differing[0]}' is missing or has another shape than the base's",
                "give a checkpoint of the study's own base model",
            )  # fmt: skip
        load_weights(model, {name: weights[name].to(own[name].dtype) for name in own})
        return {FULL: to_safetensors(weights_of(model))}, {}

    def stage(self, planned: Planned, spec: StageSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Train one stage with the negative log-likelihood; the optimizer starts afresh.

        Raises:
            RunError: E-RUN-07 if the stage is trained by an adapter and none of its tensors moved.
        """
        model, codec = self._start(spec)
        rows = self.states.rows(spec.data, spec.base, codec, max_length=spec.training.max_length, on_long=spec.on_long)
        before = _adapter(model, spec.tuning)
        log, made = self._train(planned.task.key, model, codec, rows, NLL, spec.training, spec.order_seed)
        if before is not None and not _moved(before, model):
            raise RunError.of(
                "E-RUN-07", planned.task.label, "the stage's training moved no tensor of the adapter",
                "check the learning rate and its schedule, and model.tuning.lora",
            )  # fmt: skip
        files = {**_weight_files(model, spec.tuning), "log.json": log}
        self.states.restore(spec.base, model)
        return files, made

    def _start(self, spec: StageSpec) -> tuple[PreTrainedModel, Codec]:
        if not isinstance(spec.tuning, LoraTuning):
            return self.states.merged(spec.parent, spec.base)
        lora = spec.tuning.lora
        if lora.across_stages == "merged" or spec.parent == spec.base:
            model, codec = self.states.merged(spec.parent, spec.base)
            return attach(model, lora, spec.adapter_seed), codec
        model, codec = self.states.base(spec.base)
        adapted = attach(model, lora, spec.adapter_seed)
        load_adapter(adapted, from_safetensors(self.store.get(spec.parent).path(ADAPTER)))
        return adapted, codec

    def _train(
        self,
        key: Key,
        model: PreTrainedModel,
        codec: Codec,
        rows: list[Encoded],
        objective: ObjectiveRecipe,
        training: Any,
        order_seed: int,
    ) -> tuple[bytes, Made]:
        """Run the loop to its end with checkpoints; return the loss log and what it took."""
        kept = self._resume(key, n_steps(training, len(rows), [len(row.ids) for row in rows]))
        losses: list[list[float]] = json.loads(kept.extra["log.json"])["steps"] if kept else []
        steps = train(
            model, rows, recipe=training, objective=build_objective(objective), order_seed=order_seed,
            pad_id=codec.pad_id, start=kept.state if kept else None, place=self.plan.planned[key].task.label,
        )  # fmt: skip
        tokens, at = 0, kept.state.step if kept else 0
        for done in steps:
            losses.append([done.step, done.loss, done.gradient_norm, done.learning_rate])
            tokens, at = done.tokens, done.step
            self._offer(at, done, lambda: {"log.json": _log(losses)}, last=at == done.n_steps)
        return _log(losses), {"tokens": tokens, "steps": at}

    def unlearn(self, planned: Planned, spec: UnlearnSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Unlearn from the end model; a non-finite loss is an outcome, later steps are censored."""
        model, codec = self.states.merged(spec.end, spec.base)
        material = UnlearningMaterial.gather(self.states, spec, model, codec)
        if isinstance(spec.tuning, LoraTuning):
            model = attach(model, spec.tuning.lora, spec.adapter_seed)
        dataset = self.states.datasets[spec.data]
        level = forget_loss(dataset, spec.level_items, max_length=spec.level_max_length).examples
        level_rows = [encode_answer(codec, example, spec.level_max_length) for example in level]
        kept = self._resume(planned.task.key, spec.n_steps)
        record = _Record.of(kept, level_rows)
        before = _adapter(model, spec.tuning)
        # Only an edit looks back at the start; a copy of all weights for nothing would double the memory.
        start = trainable(model) if any(isinstance(part, WeightEdit) for part in spec.procedure) else {}
        outcome = "finished"

        def reached(step: int, tokens: int) -> bool:
            """Note a state: its loss on the forget items, and its weights if they are to be kept; False if it left."""
            measured = mean_logps(Subject(model=model, codec=codec), level_rows)
            if not np.isfinite(measured).all():
                return False
            record.losses.append([-value for value in measured])
            record.step, record.tokens = step, tokens
            if step in spec.save_at:
                record.saved.update((step_file(step, n), d) for n, d in _state_files(model, spec.tuning).items())
            return True

        begin, resumed = 0, record.part
        for number, part in enumerate(spec.procedure):
            first, begin = begin, begin + part.n_steps
            if number < resumed:
                continue
            tokens = record.tokens if number > resumed else record.tokens_before
            if isinstance(part, WeightEdit):
                subtract_task_vector(model, start, part.task_vector)
                if not reached(begin, tokens):
                    outcome = "diverged"
                    break
                continue
            record.part, record.tokens_before = number, tokens
            steps = train(
                model, material.rows(number), recipe=part.training, objective=build_objective(part.objective),
                order_seed=spec.order_seeds[number], pad_id=codec.pad_id, companions=material.companions(number),
                start=kept.state if kept and number == resumed else None, place=planned.task.label,
            )  # fmt: skip
            try:
                for done in steps:
                    record.log.append([first + done.step, done.loss, done.gradient_norm, done.learning_rate])
                    if not reached(first + done.step, tokens + done.tokens):
                        outcome = "diverged"
                        break
                    last = first + done.step == spec.n_steps
                    self._offer(first + done.step, done, record.files, last=last)
            except NonFinite:
                outcome = "diverged"
            if outcome != "finished":
                break
        about = {"outcome": outcome, "finite_steps": len(record.losses), "steps": spec.n_steps}
        if before is not None:
            about["moved"] = _moved(before, model)
        self.states.restore(spec.base, model)
        files: dict[str, bytes | Path] = {"about.json": canonical_json(about).encode(), **record.results()}
        return files, {"tokens": record.tokens, "steps": record.step}

    def _resume(self, key: Key, n_steps: int) -> _Kept | None:
        """Return the newest in-stage checkpoint of a task, if a run was interrupted inside it."""
        self._checkpoints = Checkpoints(self.store, key, n_steps)
        newest = self._checkpoints.newest()
        if newest is None:
            return None
        _, _, files = newest
        extra = {name.removeprefix(EXTRA): data for name, data in files.items() if name.startswith(EXTRA)}
        return _Kept(state=checkpoint.from_files(files.__getitem__), extra=extra)

    def _offer(
        self, step: int, done: LoopStep, gathered: Callable[[], Mapping[str, bytes | Path]], *, last: bool
    ) -> None:
        """Take a checkpoint if one is due; raise `Interrupted` after it if the run was asked to stop.

        Args:
            step: of the whole task; an unlearning counts its phases through.
            done: the loop's step, whose state is taken.
            gathered: what the body keeps beside it.
            last: whether the task is done: it then commits and needs no checkpoint.
        """
        stopping = self.stop.is_set()
        if last or not (stopping or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS):
            return
        assert self._checkpoints is not None
        files: dict[str, bytes | Path] = dict(checkpoint.to_files(done.state()))
        files |= {EXTRA + name: data for name, data in gathered().items()}
        self._checkpoints.save(step, files)
        self._saved_at = time.monotonic()
        if stopping:
            raise Interrupted

    # -- measuring -----------------------------------------------------------------------------------------------

    def cells(self, spec: CellsSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Choose the positions and cells of the prediction snapshots on the base model."""
        model, codec = self.states.merged(spec.base, spec.base)
        subject = Subject(model=model, codec=codec)
        chosen = prediction.choose_cells(subject, self._sets(spec), spec.probe, max_length=spec.max_length)
        return prediction.cells_to_files(chosen), {}

    def _sets(self, spec: CellsSpec) -> dict[str, tuple[Example, ...]]:
        retain = {name: self.states.datasets[key] for name, key in spec.retain}
        return prediction_sets(spec.probe, self.states.datasets[spec.forget], retain)

    def _cells(self, key: Key, codec: Codec) -> prediction.Cells:
        """Return the cells of a plan, their texts read again from the data: once per worker."""
        if key not in self._kept_cells:
            spec = self.plan.planned[key].spec
            assert isinstance(spec, CellsSpec)
            kept = self.store.get(key)
            texts = prediction.scored_texts(codec, self._sets(spec), spec.probe, max_length=spec.max_length)
            files = {name: kept.read(name) for name in kept.manifest.files}
            self._kept_cells[key] = prediction.cells_from_files(files, texts)
        return self._kept_cells[key]

    def probe(self, spec: ProbeSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Measure a trained state, or each saved step of an unlearning run; a missing step is censored."""
        if isinstance(spec.probe, PredictionProbe):
            return self._snapshots(spec), {}
        assert spec.data is not None
        dataset = self.states.datasets[spec.data]
        if spec.probe is None:
            probe: Probe = forget_loss(dataset, spec.items, max_length=spec.max_length)
        else:
            probe = build_probe(spec.probe, dataset, max_length=spec.max_length)
        values = Values()
        for step, model, codec in self._measured(spec):
            if model is None:
                values.censor(step)
                continue
            for value in probe.measure(Subject(model=model, codec=codec)):
                # What stands before the slash is the probe's name; the table gives it, since stages may be renamed.
                measure = value.measure.partition("/")[2]
                values.add(step, measure, value.item, value.value, value.unit, value.status)
        return {"values.parquet": values.to_parquet()}, {}

    def stage_losses(self, spec: StageLossSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Measure the loss on every stage's rows; the stage's number stands where the table puts its name."""
        model, codec = self.states.merged(spec.state, spec.base)
        values = Values()
        for number, (data, max_length) in enumerate(zip(spec.data, spec.max_lengths, strict=True)):
            probe = stage_loss(str(number), self.states.datasets[data], spec.items, max_length=max_length)
            for value in probe.measure(Subject(model=model, codec=codec)):
                values.add(0, str(number), value.item, value.value, value.unit, value.status)
        return {"values.parquet": values.to_parquet()}, {}

    def _measured(self, spec: ProbeSpec) -> Iterator[tuple[int, PreTrainedModel | None, Codec]]:
        if spec.steps is None:
            model, codec = self.states.merged(spec.state, spec.base)
            yield 0, model, codec
            return
        kept = self.store.get(spec.state).manifest.files
        _, codec = self.states.base(spec.base)
        for step in spec.steps:
            if step_file(step, FULL) in kept or step_file(step, ADAPTER) in kept:
                model, codec = self.states.merged(spec.state, spec.base, step)
                yield step, model, codec
            else:
                yield step, None, codec

    def _snapshots(self, spec: ProbeSpec) -> Mapping[str, bytes | Path]:
        assert spec.cells is not None
        files: dict[str, bytes | Path] = {}
        for step, model, codec in self._measured(spec):
            if model is not None:
                cells = self._cells(spec.cells, codec)
                shot = prediction.snapshot(Subject(model=model, codec=codec), cells)
                files |= {step_file(step, name): data for name, data in prediction.to_files(shot).items()}
        files["about.json"] = canonical_json({"steps": list(spec.steps or (0,))}).encode()
        return files

    def gap(self, spec: GapSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Compute the coupled gaps of one unlearning's states, in predictions and in weights."""
        _, codec = self.states.base(spec.bases[0][1])
        return {"rows.parquet": gap_values(self.store, self.states, spec, self._cells(spec.cells, codec))}, {}

    def labels(self, spec: LabelSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Read the label's loss and margin off the snapshots of all states."""
        asked = self.plan.planned[spec.cells].spec
        assert isinstance(asked, CellsSpec)
        _, codec = self.states.base(asked.base)
        return {"rows.parquet": label_values(self.store, spec, self._cells(spec.cells, codec))}, {}

    def parameters(self, spec: ParameterSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Compute the declared distances between the weights of all states."""
        return {"rows.parquet": parameter_values(self.store, self.states, spec)}, {}

    def distance(self, spec: DistanceSpec) -> tuple[Mapping[str, bytes | Path], Made]:
        """Compute the declared distances from the snapshots of all states."""
        return {"rows.parquet": distance_values(self.store, spec)}, {}


Made = dict[str, float | int | str]
"""What a task took: tokens and steps."""


PART = "part.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """An in-stage checkpoint: the loop's state and what the body had gathered."""

    state: LoopState
    extra: Mapping[str, bytes]


@dataclass(slots=True, kw_only=True)
class _Record:
    """What an unlearning run has gathered so far; a checkpoint holds it, and its last form is the run's result."""

    level_rows: list[Encoded]
    losses: list[list[float]] = field(default_factory=list)
    """Per step from step 1: whole-response loss of each forget item, nats per token."""
    log: list[list[float]] = field(default_factory=list)
    """Per optimizer step: step, loss, gradient norm, learning rate."""
    saved: dict[str, bytes | Path] = field(default_factory=dict)
    """States that are kept."""
    part: int = 0
    """Which step of the procedure is under way."""
    step: int = 0
    """Steps of the whole procedure that are done."""
    tokens: int = 0
    """Real tokens trained on so far."""
    tokens_before: int = 0
    """Those of the procedure's earlier steps."""

    @classmethod
    def of(cls, kept: _Kept | None, level_rows: list[Encoded]) -> _Record:
        """Return the record of a checkpoint, or an empty one."""
        if kept is None:
            return cls(level_rows=level_rows)
        about = json.loads(kept.extra[PART])
        return cls(
            level_rows=level_rows,
            losses=json.loads(kept.extra["trajectory.json"])["losses"],
            log=json.loads(kept.extra["log.json"])["steps"],
            saved={name: data for name, data in kept.extra.items() if name.startswith("step-")},
            **about,
        )

    def results(self) -> dict[str, bytes | Path]:
        """Return as files what a finished run keeps."""
        kept = {"log.json": _log(self.log), "trajectory.json": _trajectory(self.level_rows, self.losses)}
        return {**kept, **self.saved}

    def files(self) -> dict[str, bytes | Path]:
        """Return as files what a checkpoint keeps: the results so far, and where the run stands."""
        about = {name: getattr(self, name) for name in ("part", "step", "tokens", "tokens_before")}
        return {**self.results(), PART: canonical_json(about).encode()}


def truncated_rows(codec: Codec, dataset: Dataset, max_length: int) -> list[Encoded]:
    """A data set's training rows as tokens, cut to `max_length`."""
    return [
        codec.encode(row.prompt, row.response, id=row.id, max_length=max_length, on_long="truncate")
        for row in dataset.train
    ]


def _adapter(model: PreTrainedModel, tuning: Tuning) -> dict[str, Tensor] | None:
    """The adapter's tensors as they are now; None where all weights are trained."""
    return adapter_weights(model) if isinstance(tuning, LoraTuning) else None


def _moved(before: Mapping[str, Tensor], model: PreTrainedModel) -> bool:
    """Whether training moved any tensor of the adapter."""
    return len(unmoved(before, adapter_weights(model))) < len(before)


def _log(losses: list[list[float]]) -> bytes:
    """step, loss, gradient norm, learning rate of every step."""
    return canonical_json({"columns": ["step", "loss", "gradient_norm", "learning_rate"], "steps": losses}).encode()


def _trajectory(level_rows: list[Encoded], losses: list[list[float]]) -> bytes:
    """Whole-response loss in nats per token: one list per step from step 1, one value per item."""
    return canonical_json({"items": [row.id for row in level_rows], "losses": losses}).encode()


def _state_files(model: PreTrainedModel, tuning: Tuning) -> dict[str, bytes]:
    """A state inside a trajectory: the adapter alone, or all weights."""
    if isinstance(tuning, LoraTuning):
        return {ADAPTER: to_safetensors(adapter_weights(model))}
    return {FULL: to_safetensors(weights_of(model))}


def _weight_files(model: PreTrainedModel, tuning: Tuning) -> dict[str, bytes]:
    """A stage's end: the carried adapter, or all weights (an adapter that is not carried is merged first)."""
    if isinstance(tuning, LoraTuning) and tuning.lora.across_stages == "merged":
        return {FULL: to_safetensors(weights_of(merge(model)))}
    return _state_files(model, tuning)
