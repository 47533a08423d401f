"""What the problems of study files mean: one paragraph for each code that `study` raises."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-CFG-01": "A study file cannot be read: it is missing, is no regular file, is larger than 1 MiB, or is not "
    "UTF-8. A source is a path of a YAML file, the name of a bundled study (`list studies`), or "
    "`file.py:function`.",
    "E-CFG-02": "The file is not valid YAML: a bracket, quote or colon is missing or too many, the indentation does "
    "not fit, a tab indents a line, or an invisible or control character stands in it. Nothing after that "
    "place was read.",
    "E-CFG-03": "A key stands twice in one mapping. Most readers keep the last one silently, so a study would run "
    "with another loss than the one that is seen first. Keep one of the two.",
    "E-CFG-04": "Tags (`!!python/...`, `!include`, `%TAG`) are not read: a study holds plain values and can name no "
    "code and no other file.",
    "E-CFG-05": "Anchors (`&x`), aliases (`*x`) and merge keys (`<<`) are not read: a few bytes of them can stand for "
    "gigabytes. Use the blocks `training` and `unlearning_training` for what several entries share.",
    "E-CFG-06": "Interpolation (`${...}`, `{{...}}`, `$(...)`) is not read: a study must say what it is without the "
    "environment it is read in, and an environment variable may be a secret. Write the value, or use "
    "`--set`.",
    "E-CFG-07": "A file holds several YAML documents (`---`). One study is one document; a study may be split over "
    "several files.",
    "E-CFG-08": "The file is nested deeper than any study is.",
    "E-CFG-09": "The file holds nothing but comments or blanks. `retrain-equivalence init` writes a study to start "
    "from.",
    "E-CFG-10": "A key is not known here; the message names the nearest key that is. Unknown keys are never ignored: "
    "a misspelt one would silently leave a default in force.",
    "E-CFG-11": "A key that is needed is missing.",
    "E-CFG-12": "A value has another type than the field. Numbers follow YAML 1.2: `1e-5` is a number, `012`, "
    "`1_000`, `1:30` and `10%` are text. Only `true` and `false` are booleans. Text is never turned into "
    "a number.",
    "E-CFG-13": "A value is not among those that the field takes; the message lists them and names the nearest.",
    "E-CFG-14": "A data set, model or probe is told by the key that names its kind, for example `tofu: full`; exactly "
    "one such key stands in the mapping.",
    "E-CFG-15": "A number is outside the range of its field, or two numbers do not fit together. Shares are shares of "
    "1: `warmup_ratio: 0.1` for 10 %. Durations are counted in epochs, steps or tokens.",
    "E-CFG-16": "A name is not allowed. Names are made of letters, digits, `_` and `-`, begin with a letter or digit, "
    "have at most 64 bytes, are in Unicode's form NFC and are not reserved, so that they mean one thing "
    "on every system. A hub model is `organisation/name`, its revision a commit.",
    "E-CFG-17": "A name is used twice, or two names differ in case only; results would be mixed up.",
    "E-CFG-18": "Exactly one stage has `role: forget`: the one that is unlearned, and that the retrain oracle leaves "
    "out.",
    "E-CFG-19": "The histories are not what they can be: an ordering's name, a list of such names and of explicit "
    "orders that name every stage once, or `position: p` with p from 1 to the number of stages; one of "
    "the two.",
    "E-CFG-20": "A stage is named that the study does not have; the message names the nearest.",
    "E-CFG-21": "A training has exactly one duration: `num_train_epochs`, `max_steps` or `max_tokens`. An entry's own "
    "duration displaces that of the block of defaults. Unlearning is counted in steps: `max_steps`.",
    "E-CFG-22": "`save_at` ascends from 0 to `max_steps`, both included, because every comparison needs the start and "
    "the end; a probe's `at` names steps that are saved.",
    "E-CFG-23": "A margin has a rationale and exactly one of `value` and `times_band`. A raw distance to the oracle "
    "is never 0, not even for a true retrain: its margin is a multiple of the retrain-retrain band above "
    "1. Signed and debiased quantities have 0 as their null and take an absolute `value`. Slopes (`growth`) and the "
    "directed divergences to the oracle are described only and take no margin.",
    "E-CFG-24": "A comparison or probe asks for what is not recorded: no probe of the study gives it, the contrast "
    "does not read that probe or distance or has no such alignment (the table 'What may be asked' of docs/studies.md), "
    "the probe is not measured where unlearning ends, or the stage has no held-out rows. A comparison that nothing "
    "answers is never dropped in silence.",
    "E-CFG-25": "Sensitive safety data (`refusals`, or `jsonl` with `sensitive: true`) need the study's `acknowledge: "
    '"isolated research, weights not released"`, word for word. It goes into the provenance and the '
    "report. It is a record and a moment of thought, no protection.",
    "E-CFG-26": "`placebo` in the histories and the data under `placebo:` go together: the forget stage is replaced "
    "by an unrelated one of equal size, trained in the same way. Its first rows are taken, as many as the forget "
    "stage trains on.",
    "E-CFG-29": "The same data stand in two roles. What is to be forgotten would be trained in another stage too, or "
    "the base would already have seen a stage, and no oracle could tell them apart.",
    "E-CFG-30": "The plan has more states than `max_artifacts`. Ask for fewer orders, replicates or saved steps, or "
    "raise the limit.",
    "E-CFG-31": "`--set` takes `field.field=value`; an entry of a list is named by its index from 0 or by its `name`, "
    "for example `--set unlearnings.npo.beta=0.5`. The value is read as YAML.",
    "E-CFG-32": "A study is split over several files and a top-level key stands in two of them. Which one would hold?",
    "E-CFG-33": "`file.py:function` could not give a study: the file is missing, raised an error, has no such "
    "function, or the function returned something else than a `Study` of plain values.",
    "E-CFG-34": "`looks` are numbers of replicates at which the table may be judged before it is complete: "
    "ascending, at least 3, fewer than `replicates`. They are declared before any result, because each look is one "
    "more chance of an error and the error rate is spent over them.",
    "E-CFG-35": "Settings of the model contradict each other: adapter dropout (it would break pairing by seed), a "
    "system prompt or chat template where the model has none, adapters without modules or on modules that a tiny model "
    "does not have.",
    "E-CFG-36": "A given checkpoint does not fit the study: unknown stage or unlearning, a replicate outside the "
    "count, or the same state twice; or stages are to be trained after it with a carried adapter, which it does "
    "not have.",
    "E-CFG-38": "A warning: the study is valid, but a rate is unusually high for a pretrained model, so few replicates "
    "decide little, or a comparison between histories has no two histories to compare.",
    "E-CFG-39": "`run --look N` judges a study before it is complete, and N must be one of the `looks` that it "
    "declares: the error rate is spent over these and no others. A study without looks is judged at its end; runs that "
    "were stopped go on with the same command, and what they have is labelled interim.",
    "E-CFG-60": "What an unlearning's objectives read and what the study gives it differ: retain rows (retain_stages) "
    "or preferred answers (preferred) are needed and missing, or given and read by nobody. What an objective reads is "
    "declared by its forward passes: `retrain-equivalence list objectives` shows it.",
    "E-CFG-61": "A procedure has no meaning: it is empty, stands beside an objective, takes a task vector of nothing, "
    "or puts a replay beside other steps or tuning.",
    "E-CFG-62": "An unlearning goes back to a state of a history that was given as a finished checkpoint: the state "
    "before the forget stage is not known here. Give that state as well, or leave the replay out.",
}
