"""From a study to its tasks: pure, torch-free, parents first.

Design. Every history, every oracle and every replicate is walked through one function that names a trained state by
chaining stage keys; two histories that start alike therefore meet in the same tasks without any bookkeeping. What is
measured on which state is listed beside the tasks, with the names that the table will carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from retrain_equivalence.core.errors import Problem, StudyError, raise_all
from retrain_equivalence.core.identity import Key, plain
from retrain_equivalence.core.seeds import Seeds
from retrain_equivalence.data.example import Dataset
from retrain_equivalence.data.order import steps_per_epoch
from retrain_equivalence.execution.inputs import PLACEBO, PRETRAINING, Inputs, dataset_key, preferred_name
from retrain_equivalence.execution.keys import Environment, Named, name_task
from retrain_equivalence.execution.specs import (
    BaseSpec,
    CellsSpec,
    DistanceSpec,
    GapSpec,
    GivenSpec,
    LabelSpec,
    ParameterSpec,
    ProbeSpec,
    RowsOf,
    Snapshot,
    Spec,
    StageLossSpec,
    StageSpec,
    UnlearnSpec,
)
from retrain_equivalence.execution.task import Task
from retrain_equivalence.histories.history import History, Role, Stage
from retrain_equivalence.histories.prefix_tree import PrefixTree, Saving
from retrain_equivalence.histories.unlearning import ReplayFrom, Unlearning
from retrain_equivalence.objectives.cost import cost_of
from retrain_equivalence.recipes.model import LoraTuning, TinyModel
from retrain_equivalence.recipes.probe import AnyProbe, PredictionProbe, probe_name, probe_stage
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.questions import parameter_distances
from retrain_equivalence.study.study import Given, Study
from retrain_equivalence.training.duration import n_steps

STAGE_LOSS_ITEMS = 8
"""Rows per stage whose loss is recorded at every node of the tree."""

CHARACTERS_PER_TOKEN = 3.5
"""Only for estimates before a tokenizer exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A task, what names it, and what it does."""

    task: Task
    named: Named
    spec: Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Which task measured what, under the names that rows carry."""

    task: Key
    state: StateName
    """For an unlearning run, step 0 here and the steps in the task's own rows; a given state names its own step."""
    probe: str
    checkpoint: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What one training of a stage takes."""

    name: str
    rows: int
    tokens: int
    """Real tokens, estimated from characters until a run has counted them."""
    steps: int
    trainings: int
    """How often the tree trains it, all replicates together."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """Everything a study needs, each thing once, parents before children."""

    study: Study
    planned: dict[Key, Planned] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    saving: Saving = field(default_factory=lambda: Saving(shared=0, naive=0))
    stage_costs: list[StageCost] = field(default_factory=list)

    @property
    def tasks(self) -> list[Task]:
        """The tasks, parents first."""
        return [planned.task for planned in self.planned.values()]

    def count(self, kind: str) -> int:
        """How many tasks of a kind."""
        return sum(planned.task.kind == kind for planned in self.planned.values())


def plan_study(study: Study, inputs: Inputs, environment: Environment) -> Plan:
    """Plan a study whose inputs are read; equal arguments give equal plans."""
    return _Planner(study=study, inputs=inputs, environment=environment).build()


@dataclass(kw_only=True)
class _Planner:
    """Builds one plan; lives only inside `plan_study`."""

    study: Study
    inputs: Inputs
    environment: Environment
    plan: Plan = field(init=False)
    _used: set[int] = field(default_factory=set)
    """Given checkpoints that stand for a state."""

    def __post_init__(self) -> None:
        self.plan = Plan(study=self.study)

    def build(self) -> Plan:
        study = self.study
        own, all_replicates = range(study.replicates), range(study.replicates + study.oracle_replicates)
        self._check_tree()
        for replicate in all_replicates:
            self._base(replicate)
        trained: dict[tuple[str, int], tuple[Key, Key]] = {}
        for replicate in all_replicates:
            walked = (*study.all_histories(), *study.oracles()) if replicate in own else study.oracles()
            for history in walked:
                trained[history.name, replicate] = self._train(history, replicate)
        self._measure_nodes(trained)
        runs = self._unlearn_all(trained)
        self._predict_and_compare(trained, runs)
        self._compare_parameters(trained, runs)
        self.plan.stage_costs = self._stage_costs()
        self._refuse_idle_givens()
        return self.plan

    def _refuse_idle_givens(self) -> None:
        """A given checkpoint that stands for nothing would be replaced by our own training without a word."""
        problems = [
            Problem(
                code="E-CFG-36",
                place=f"given.{number}",
                message=f"no state of this study is {'>'.join(given.history)}#{given.replicate}"
                + (f" unlearned by {given.unlearning}" if given.unlearning else ""),
                fix="name a history, replicate and unlearning of the study",
            )
            for number, given in enumerate(self.study.given)
            if number not in self._used
        ]
        raise_all(StudyError, problems)

    # -- the tree ------------------------------------------------------------------------------------------------

    def _check_tree(self) -> None:
        histories = self.study.all_histories()
        oracles = self.study.oracles()
        tree = PrefixTree.of((*histories, *oracles))
        self.plan.saving = tree.saving()

    @cached_property
    def _keys(self) -> dict[str, Key]:
        return self.inputs.dataset_keys()

    def _dataset(self, stage: Stage) -> Dataset:
        return self.inputs.datasets[PLACEBO if stage.role is Role.PLACEBO else stage.name]

    def _seeds(self, replicate: int, shuffle: int = 0) -> Seeds:
        return Seeds(study=self.study.seed, replicate=replicate, shuffle=shuffle)

    def _add(self, named: Named, spec: Spec, label: str, weight: float) -> Key:
        if named.key not in self.plan.planned:
            needs = tuple(parent for parent in named.parents if parent in self.plan.planned)
            task = Task(kind=named.kind, key=named.key, needs=needs, label=label, weight=weight)
            self.plan.planned[named.key] = Planned(task=task, named=named, spec=spec)
        return named.key

    def _base(self, replicate: int) -> Key:
        model = self.study.model
        shared = not (isinstance(model, TinyModel) and model.base_per == "replicate")
        seeds = self._seeds(0 if shared else replicate)
        data = self._keys.get(PRETRAINING)
        made_here = isinstance(model, TinyModel)  # a foreign model is the same for every seed of ours
        spec = BaseSpec(
            model=model,
            init_seed=seeds.stream("init") if made_here else 0,
            pretraining_data=data,
            order_seed=seeds.stream("order", data or "") if made_here else 0,
        )
        # How stages are tuned does not move the base; a pretraining set enters by content, not by path.
        recipe = plain(spec) | {"model": _base_identity(model), "source": self.inputs.model_source}
        named = name_task("base", recipe, (data,) if data else (), self.environment)
        weight = 1.0
        if isinstance(model, TinyModel) and model.pretraining is not None:
            _, weight = self._steps_and_tokens(model.pretraining.training, self.inputs.datasets[PRETRAINING])
        return self._add(named, spec, "base model", weight)

    def _train(self, history: History, replicate: int) -> tuple[Key, Key]:
        """Plan a history's trainings; return (state, base)."""
        base = state = self._base(replicate)
        tuning = self.study.model.tuning
        taken = self._taken(history, replicate)
        for index, prefix in enumerate(history.prefixes()):
            if index + 1 < taken:
                continue
            if index + 1 == taken and (given := self._given(prefix, replicate, "")):
                state = self._take(given, base)
                continue
            stage = prefix.stages[-1]
            data = self._dataset(stage)
            seeds = self._seeds(replicate, history.shuffle)
            occurrence = sum(self._dataset(earlier).digest == data.digest for earlier in history.stages[:index])
            carried = isinstance(tuning, LoraTuning) and tuning.lora.across_stages == "carried"
            if carried and taken:
                raise StudyError.of(
                    "E-CFG-36", "given", f"'{prefix.name}' would carry on a given checkpoint's adapter: it has none",
                    "give whole histories, or set model.tuning.lora.across_stages: merged",
                )  # fmt: skip
            spec = StageSpec(
                parent=state,
                base=base,
                data=dataset_key(data.digest),
                training=stage.training,
                on_long=stage.dataset.on_long,
                tuning=tuning,
                order_seed=seeds.stream("order", data.digest, occurrence),
                adapter_seed=seeds.stream("adapter", "" if carried else data.digest, 0 if carried else occurrence),
            )
            named = name_task("stage", _without(spec, "parent", "base"), (state, base, spec.data), self.environment)
            _, weight = self._steps_and_tokens(stage.training, data)
            state = self._add(named, spec, f"train {prefix.name} r{replicate}", weight)
        return state, base

    def _row_tokens(self, data: Dataset) -> list[int]:
        return [1 + round((len(row.prompt) + len(row.response)) / CHARACTERS_PER_TOKEN) for row in data.train]

    def _steps_and_tokens(self, training: TrainingRecipe, data: Dataset) -> tuple[int, float]:
        """Optimizer steps and real tokens of one training; both estimates where the duration is in tokens."""
        per_row = self._row_tokens(data)
        steps = n_steps(training, len(per_row), per_row)
        per_step = sum(per_row) / steps_per_epoch(len(per_row), training.global_batch_size)
        return steps, steps * per_step

    def _given(self, history: History, replicate: int, unlearning: str) -> tuple[Given, str] | None:
        if history.shuffle:  # a shuffled control is this study's own, or it would differ from nothing
            return None
        wanted = (tuple(stage.name for stage in history.stages), replicate, unlearning)
        for number, given in enumerate(self.study.given):
            if (given.history, given.replicate, given.unlearning) == wanted:
                self._used.add(number)
                return given, self.inputs.given_sources[number]
        return None

    def _taken(self, history: History, replicate: int) -> int:
        """How many leading stages a given checkpoint stands for: what comes before it is not trained here."""
        lengths = (len(p.stages) for p in history.prefixes() if self._given(p, replicate, "") is not None)
        return max(lengths, default=0)

    def _take(self, given: tuple[Given, str], base: Key) -> Key:
        spec = GivenSpec(path=given[0].path, base=base)
        named = name_task("given", {"source": given[1]}, (base,), self.environment)
        return self._add(named, spec, f"take {given[0].path}", 1.0)

    # -- unlearning ----------------------------------------------------------------------------------------------

    def _unlearn_all(self, trained: dict[tuple[str, int], tuple[Key, Key]]) -> dict[tuple[str, int, str], Key]:
        runs: dict[tuple[str, int, str], Key] = {}
        for unlearning in self.study.unlearnings:
            for history in self.study.all_histories():
                if history.position() is None:  # a placebo history has nothing to unlearn
                    continue
                for replicate in range(self.study.replicates):
                    end, base = trained[history.name, replicate]
                    if given := self._given(history, replicate, unlearning.name):
                        key = self._take(given, base)
                    elif unlearning.replay is not None:
                        # The replayed model is a node of the tree: at equal seeds it is the history's own oracle.
                        self._refuse_unknown_past(history, replicate, unlearning, unlearning.replay)
                        key, _ = self._train(unlearning.replay.result(history), replicate)
                    else:
                        key = self._unlearn(history, replicate, unlearning, end, base)
                    self._measure_run(history, replicate, unlearning, key, base)
                    runs[history.name, replicate, unlearning.name] = key
        return runs

    def _refuse_unknown_past(
        self, history: History, replicate: int, unlearning: Unlearning, replay: ReplayFrom
    ) -> None:
        """A given checkpoint has no earlier states: ours would be those of another model."""
        kept = replay.kept(history)
        known = not kept.stages or self._given(kept, replicate, "") is not None
        if self._taken(history, replicate) > len(kept.stages) and not known:
            raise StudyError.of(
                "E-CFG-62", f"unlearnings.{unlearning.name}",
                f"'{history.name}' is given as a checkpoint, and its state after {len(kept.stages)} stages is not",
                "give that state too, or leave this unlearning out",
            )  # fmt: skip

    def _is_one_state(self, run: Key) -> bool:
        """Whether a run is a trained or given state, which stands for the last step alone, and no trajectory."""
        return not isinstance(self.plan.planned[run].spec, UnlearnSpec)

    def _unlearn(self, history: History, replicate: int, unlearning: Unlearning, end: Key, base: Key) -> Key:
        data = self.inputs.datasets[self.study.forget.name]
        # Unlearning sees the same batches from every history of a replicate, shuffled controls included.
        seeds = self._seeds(replicate)
        procedure = tuple(step for step in unlearning.procedure if not isinstance(step, ReplayFrom))
        stages = {stage.name: stage for stage in self.study.stages}
        retain = tuple(
            RowsOf(data=self._keys[name], on_long=stages[name].dataset.on_long) for name in unlearning.retain_stages
        )
        forget = RowsOf(data=dataset_key(data.digest), on_long=self.study.forget.dataset.on_long)
        preferred = preferred_name(unlearning)
        spec = UnlearnSpec(
            end=end,
            base=base,
            data=forget.data,
            procedure=procedure,
            on_long=forget.on_long,
            tuning=unlearning.tuning if unlearning.tuning is not None else self.study.model.tuning,
            order_seeds=tuple(seeds.stream("order", f"unlearn {data.digest}", n) for n in range(len(procedure))),
            retain_order_seeds=tuple(seeds.stream("order", "unlearn retain", n) for n in range(len(procedure))),
            memory_seed=seeds.stream("objective"),
            adapter_seed=seeds.stream("unlearning adapter"),
            save_at=unlearning.steps,
            level_items=self.study.forget_level_items,
            level_max_length=self.study.forget.training.max_length,
            retain=retain,
            preferred=None if preferred is None else replace(forget, data=self._keys[preferred]),
        )
        read = (*(rows.data for rows in retain), *((spec.preferred.data,) if spec.preferred else ()))
        named = name_task("unlearn", _without(spec, "end", "base"), (end, base, spec.data, *read), self.environment)
        weight = sum(
            cost_of(phase.objective).work * self._steps_and_tokens(phase.training, data)[1]
            for phase in unlearning.phases
        )
        label = f"unlearn {history.name} {unlearning.name} r{replicate}"
        return self._add(named, spec, label, 1.5 * weight)

    # -- measurements --------------------------------------------------------------------------------------------

    def _probe(self, spec: ProbeSpec, label: str, weight: float) -> Key:
        parents = tuple(k for k in (spec.state, spec.base, spec.data, spec.cells) if k)
        recipe = _without(spec, "state", "base", "data", "cells")
        if spec.probe is not None:
            # The stage's name is a label; its rows enter by content, as a parent.
            recipe["probe"] = _nameless(spec.probe)
        named = name_task("probe", recipe, parents, self.environment)
        return self._add(named, spec, label, weight)

    def _measure(self, spec: ProbeSpec, name: StateName, probe: str, checkpoint: Key, steps: int = 1) -> Key:
        key = self._probe(spec, f"probe {probe} {name}", 500.0 * steps)
        self.plan.measurements.append(Measurement(task=key, state=name, probe=probe, checkpoint=checkpoint))
        return key

    def _measure_nodes(self, trained: dict[tuple[str, int], tuple[Key, Key]]) -> None:
        """Stage losses at every node, forget loss and scalar probes at every end model and oracle."""
        stages = {stage.name: stage for stage in self.study.stages}
        forget = self.study.forget
        done: set[tuple[str, int]] = set()
        for (full, replicate), (end, base) in trained.items():
            history = self._history(full)
            taken = self._taken(history, replicate)
            for node in (History(stages=()), *history.prefixes()[max(taken - 1, 0) :]):
                if (node.name, replicate) in done:
                    continue
                done.add((node.name, replicate))
                state, _ = self._train(node, replicate)
                losses = StageLossSpec(
                    state=state, base=base, data=tuple(self._keys[name] for name in stages), items=STAGE_LOSS_ITEMS,
                    max_lengths=tuple(stage.training.max_length for stage in stages.values()),
                )  # fmt: skip
                named = name_task(
                    "probe", _without(losses, "state", "base"), (state, base, *losses.data), self.environment
                )
                name = StateName(history=node.name, replicate=replicate)
                key = self._add(named, losses, f"stage losses {name}", 1000.0)
                self.plan.measurements.append(Measurement(task=key, state=name, probe="stage_loss", checkpoint=state))
            name = StateName(history=full, replicate=replicate)
            level = ProbeSpec(
                state=end, base=base, steps=None, probe=None, data=self._keys[forget.name],
                items=self.study.forget_level_items, max_length=forget.training.max_length,
            )  # fmt: skip
            self._measure(level, name, "forget_loss", end)
            for probe in self._scalar_probes:
                stage_of = stages[probe_stage(probe)]
                spec = replace(
                    level, probe=probe, data=self._keys[stage_of.name], items=probe.items,
                    max_length=stage_of.training.max_length,
                )  # fmt: skip
                self._measure(spec, name, probe_name(probe), end)

    def _history(self, name: str) -> History:
        return next(h for h in (*self.study.all_histories(), *self.study.oracles()) if h.name == name)

    @cached_property
    def _scalar_probes(self) -> tuple[AnyProbe, ...]:
        return tuple(probe for probe in self.study.probes if not isinstance(probe, PredictionProbe))

    def _steps(self, unlearning: Unlearning, probe: AnyProbe) -> tuple[int, ...]:
        return tuple(s for s in unlearning.steps if s > 0 and (probe.at is None or s in probe.at))

    def _measure_run(self, history: History, replicate: int, unlearning: Unlearning, run: Key, base: Key) -> None:
        """Measure every saved step of a run; of one that is a single state, that state as the last step."""
        last = unlearning.last if self._is_one_state(run) else 0
        name = StateName(history=history.name, replicate=replicate, unlearning=unlearning.name, step=last)
        forget = self.study.forget
        if last:
            level = ProbeSpec(
                state=run, base=base, steps=None, probe=None, data=self._keys[forget.name],
                items=self.study.forget_level_items, max_length=forget.training.max_length,
            )  # fmt: skip
            self._measure(level, name, "forget_loss", run)
        else:
            self.plan.measurements.append(Measurement(task=run, state=name, probe="forget_loss", checkpoint=run))
        for probe in self._scalar_probes:
            steps = None if last else self._steps(unlearning, probe)
            stage = next(stage for stage in self.study.stages if stage.name == probe_stage(probe))
            spec = ProbeSpec(
                state=run, base=base, steps=steps, probe=probe, data=self._keys[stage.name], items=probe.items,
                max_length=stage.training.max_length,
            )  # fmt: skip
            self._measure(spec, name, probe_name(probe), run, len(steps or (last,)))

    # -- predictions and distances -------------------------------------------------------------------------------

    def _cells(self, probe: PredictionProbe) -> Key:
        base = self._base(0)
        spec = CellsSpec(
            base=base,
            probe=probe,
            forget=self._keys[self.study.forget.name],
            retain=tuple((s.name, self._keys[s.name]) for s in self.study.stages if s.role is Role.RETAIN),
            max_length=max(stage.training.max_length for stage in self.study.stages),
        )
        parents = (base, spec.forget, *(key for _, key in spec.retain))
        recipe = _without(spec, "base") | {"probe": _nameless(probe)}
        return self._add(name_task("cells", recipe, parents, self.environment), spec, "prediction cells", 100.0)

    def _predict_and_compare(
        self, trained: dict[tuple[str, int], tuple[Key, Key]], runs: dict[tuple[str, int, str], Key]
    ) -> None:
        for probe in self.study.probes:
            if isinstance(probe, PredictionProbe):
                self._compare_predictions(probe, trained, runs)

    def _compare_predictions(
        self,
        probe: PredictionProbe,
        trained: dict[tuple[str, int], tuple[Key, Key]],
        runs: dict[tuple[str, int, str], Key],
    ) -> None:
        study, cells = self.study, self._cells(probe)
        bases = {replicate: base for (_, replicate), (_, base) in trained.items()}

        def snapshot(state: Key, base: Key, steps: tuple[int, ...] | None, name: StateName) -> Key:
            spec = ProbeSpec(
                state=state, base=base, steps=steps, probe=probe, data=None, items=probe.items, cells=cells
            )
            return self._probe(spec, f"probe {probe_name(probe)} {name}", 1000.0 * len(steps or (0,)))

        def of_trained(history: str, replicate: int) -> Snapshot:
            state, base = trained[history, replicate]
            name = StateName(history=history, replicate=replicate)
            return Snapshot(name=name, task=snapshot(state, base, None, name), step=0, state=state)

        histories = [history.name for history in study.all_histories()]
        oracles, ends = self._oracles_and_ends(of_trained)
        matched = [c.contrast for c in study.comparisons if c.alignment == "at_forget_level"]
        cross = bool({"path_gap", "oracle_bias"} & set(matched))
        # One shared oracle leaves no excess: the other orders' oracles are the own one.
        excess = len(study.oracles()) > 1 and any(c.contrast == "excess_path_gap" for c in study.comparisons)

        def distances(states: tuple[Snapshot, ...], unlearning: str, last: int) -> None:
            spec = DistanceSpec(
                probe=probe, cells=cells, states=states, oracles=oracles, oracle_of=self._oracle_of(),
                history_order=tuple(histories), unlearning=unlearning, cross_steps=cross and bool(unlearning),
                divergences_at=(0,) if not unlearning else (last,), every_oracle=excess,
            )  # fmt: skip
            read = (cells, *(s.task for s in (*states, *oracles)))
            cost = 20.0 * len(states) * len(oracles)
            self._compare("distance", spec, read, cost, unlearning, label="distances", probe=probe_name(probe))

        def gaps(states: tuple[Snapshot, ...], unlearning: str) -> None:
            """Coupled gaps, for the one contrast that reads them."""
            spec = GapSpec(
                probe=probe, cells=cells, states=states, bases=tuple(bases.items()), unlearning=unlearning,
                history_order=tuple(histories),
            )  # fmt: skip
            read = (cells, *(key for s in states for key in (s.task, s.state)), *bases.values())
            self._compare("gap", spec, read, 100.0 * len(states), unlearning, label="gaps", probe="gap")

        def labels(states: tuple[Snapshot, ...], unlearning: str) -> None:
            spec = LabelSpec(cells=cells, states=states)
            read = (cells, *(s.task for s in states))
            self._compare("label", spec, read, 20.0 * len(states), unlearning, label="labels", probe="label")

        # Of several prediction probes the first gives the gaps and the labels: their rows are named by no probe.
        first = probe == next(other for other in study.probes if isinstance(other, PredictionProbe))
        parting = first and any(comparison.contrast == "growth" for comparison in study.comparisons)
        distances(ends, "", 0)
        if first:
            labels((*ends, *oracles), "")
        if parting:
            gaps(ends, "")
        for unlearning in study.unlearnings:
            states = list(ends)
            steps = self._steps(unlearning, probe)
            for state_name, run in self._runs_of(unlearning.name, runs):
                taken = self._is_one_state(run)
                task = snapshot(run, bases[state_name.replicate], None if taken else steps, state_name)
                for step in unlearning.steps[-1:] if taken else steps:
                    at = replace(state_name, step=step)
                    states.append(Snapshot(name=at, task=task, step=0 if taken else step, state=run))
            distances(tuple(states), unlearning.name, unlearning.last if unlearning.replay else steps[-1])
            unlearned = tuple(state for state in states if state.name.unlearning)
            if first:
                labels(unlearned, unlearning.name)
            if parting:
                gaps(unlearned, unlearning.name)

    def _compare_parameters(
        self, trained: dict[tuple[str, int], tuple[Key, Key]], runs: dict[tuple[str, int, str], Key]
    ) -> None:
        """Distances between weights, where a comparison names them: they open every state's weights once more."""
        study = self.study
        measures = parameter_distances(study.comparisons)
        if not measures:
            return
        bases = {replicate: base for (_, replicate), (_, base) in trained.items()}

        def of_trained(history: str, replicate: int) -> Snapshot:
            state, _ = trained[history, replicate]
            return Snapshot(name=StateName(history=history, replicate=replicate), task=state, step=0, state=state)

        oracles, ends = self._oracles_and_ends(of_trained)

        def compared(states: tuple[Snapshot, ...], unlearning: str) -> None:
            spec = ParameterSpec(
                measures=measures, states=states, oracles=oracles, bases=tuple(bases.items()), unlearning=unlearning,
                oracle_of=self._oracle_of(),
            )  # fmt: skip
            read = (*(s.state for s in (*states, *oracles)), *bases.values())
            cost = 100.0 * len(states)
            self._compare("parameter", spec, read, cost, unlearning, label="parameters", probe="parameters")

        compared(ends, "")
        for unlearning in study.unlearnings:
            last = []
            for name, run in self._runs_of(unlearning.name, runs):
                step = 0 if self._is_one_state(run) else unlearning.last
                last.append(Snapshot(name=replace(name, step=unlearning.last), task=run, step=step, state=run))
            compared(tuple(last), unlearning.name)

    def _compare(
        self, kind: str, spec: Spec, read: Iterable[Key], cost: float, unlearning: str, *, label: str, probe: str
    ) -> None:
        """Plan a task that holds many states against each other, of one unlearning or (empty) as trained."""
        named = name_task(kind, _without(spec, "cells"), tuple(dict.fromkeys(read)), self.environment)
        key = self._add(named, spec, f"{label} {unlearning or 'trained'}", cost)
        name = StateName(history="", replicate=0, unlearning=unlearning)
        self.plan.measurements.append(Measurement(task=key, state=name, probe=probe, checkpoint=key))

    def _oracles_and_ends(
        self, of_trained: Callable[[str, int], Snapshot]
    ) -> tuple[tuple[Snapshot, ...], tuple[Snapshot, ...]]:
        """The retrain oracles, then the trained ends of the histories, by history and replicate."""
        study = self.study
        both = study.replicates + study.oracle_replicates
        oracles = tuple(of_trained(oracle.name, r) for oracle in study.oracles() for r in range(both))
        ends = tuple(of_trained(h.name, r) for h in study.all_histories() for r in range(study.replicates))
        return oracles, ends

    def _oracle_of(self) -> tuple[tuple[str, str], ...]:
        return tuple((history.name, history.oracle().name) for history in self.study.all_histories())

    def _runs_of(self, unlearning: str, runs: dict[tuple[str, int, str], Key]) -> Iterator[tuple[StateName, Key]]:
        """Every run of an unlearning, in the study's order, with its name at step 0."""
        for history in self.study.all_histories():
            for r in range(self.study.replicates):
                run = runs.get((history.name, r, unlearning))
                if run is not None:
                    yield StateName(history=history.name, replicate=r, unlearning=unlearning), run

    # -- cost ----------------------------------------------------------------------------------------------------

    def _stage_costs(self) -> list[StageCost]:
        by_data: dict[Key, int] = {}
        for planned in self.plan.planned.values():
            if isinstance(planned.spec, StageSpec):
                by_data[planned.spec.data] = by_data.get(planned.spec.data, 0) + 1
        costs = []
        for stage in self.study.stages:
            data = self.inputs.datasets[stage.name]
            steps, tokens = self._steps_and_tokens(stage.training, data)
            trainings = by_data.get(dataset_key(data.digest), 0)
            costs.append(
                StageCost(name=stage.name, rows=len(data.train), tokens=round(tokens), steps=steps, trainings=trainings)
            )
        return costs


def _without(value: object, *names: str) -> dict[str, object]:
    """The recipe of a spec without the fields that stand in its parents."""
    recipe = plain(value)
    return {name: item for name, item in recipe.items() if name not in names}


def _nameless(probe: AnyProbe) -> dict[str, object]:
    """A probe's recipe with its kind in the place of its stage's name, and without `at` (the steps are explicit)."""
    recipe = plain(probe)
    kind = probe_name(probe).partition(":")[0]
    return {"kind": kind, **{name: item for name, item in recipe.items() if name not in (kind, "at")}}


def _base_identity(model: object) -> dict[str, object]:
    recipe = plain(model)
    outside = ("tuning", "base_per", "path", "gguf")
    kept = {name: item for name, item in recipe.items() if name not in outside}
    if kept.get("pretraining"):
        kept["pretraining"] = {"training": kept["pretraining"]["training"]}
    return kept
