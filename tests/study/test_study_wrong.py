"""Every kind of wrong study: one line with code, place, field and fix, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from retrain_equivalence.core.codes.study import CODES
from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.study.load import load_study, read_study
from retrain_equivalence.study.questions import ANSWERED, DISTANCES, PARAMETER_DISTANCES


@dataclass(frozen=True)
class Wrong:
    """One fault: what is replaced in the right study, and what the message must say."""

    kind: str
    old: str
    new: str
    code: str
    place: str
    says: tuple[str, ...]


TRAINING = "training: {learning_rate: 1e-3, num_train_epochs: 2}"
FORGET = "  - {name: safety, role: forget, dataset: {generated: refusals, rows: 100}}"
MATH = "{name: math, dataset: {generated: arithmetic, rows: 100}}"
HISTORIES = "histories: forget_at_each_position"
NPO = "{name: npo, objective: npo, beta: 0.1, learning_rate: 1e-4, max_steps: 10}"
DISTANCE = "margin: {times_band: 1.5, rationale: half again}"
ONE_FILE = "{name: math, dataset: {jsonl: a.jsonl}}\n  - {name: safety, role: forget, dataset: {jsonl: ./a.jsonl}}"
PRETRAINED = (
    "{tiny: nano, pretraining: {dataset: {text: a.txt}, training: {learning_rate: 1e-3, max_steps: 5}}}\nnotes: x"
)
DIFFERENCE = "margin: {value: 0.1, rationale: a tenth}"

WRONG = [
    # Keys and types
    Wrong(
        "unknown key",
        "training: {learning_rate",
        "training: {learning_rte",
        "E-CFG-10",
        "4:12",
        ("training.learning_rte: unknown key", "did you mean 'learning_rate'?"),
    ),
    Wrong(
        "unknown key at the top",
        "replicates: 8",
        "replicats: 8",
        "E-CFG-10",
        "20:1",
        ("replicats: unknown key", "'replicates'"),
    ),
    Wrong(
        "unknown key of a data set",
        "authors, rows: 100",
        "authors, rwos: 100",
        "E-CFG-10",
        "6:48",
        ("stages.0.dataset.rwos", "'rows'"),
    ),
    Wrong(
        "unknown key of a probe",
        "{forget_score: safety}",
        "{forget_score: safety, itmes: 3}",
        "E-CFG-10",
        "14:28",
        ("probes.0.itmes", "'items'"),
    ),
    Wrong(
        "another tool's name",
        "ga, learning_rate: 1e-4, max_steps: 10",
        "ga, learning_rate: 1e-4, max_steps: 10, lr: 1e-4",
        "E-CFG-10",
        "11:67",
        ("unlearnings.0.lr", "'learning_rate'"),
    ),
    Wrong(
        "a reference",
        "beta: 0.1",
        "reference: base",
        "E-CFG-10",
        "12:33",
        ("unlearnings.1.reference", "always the history's own end model"),
    ),
    Wrong(
        "missing key",
        "question: Does order matter?\n",
        "",
        "E-CFG-11",
        "1:1",
        ("'question' is missing", "add question"),
    ),
    Wrong(
        "missing learning rate",
        TRAINING,
        "training: {num_train_epochs: 2}",
        "E-CFG-11",
        "6:5",
        ("stages.0: 'learning_rate' is missing",),
    ),
    Wrong("missing objective", "objective: ga, ", "", "E-CFG-11", "11:5", ("unlearnings.0: 'objective' is missing",)),
    Wrong(
        "text for a number",
        "replicates: 8",
        "replicates: eight",
        "E-CFG-12",
        "20:1",
        ("replicates: expected a whole number, found the text 'eight'",),
    ),
    Wrong(
        "quoted number", "replicates: 8", 'replicates: "8"', "E-CFG-12", "20:1", ("the text '8'", "remove the quotes")
    ),
    Wrong(
        "fraction for a count",
        "replicates: 8",
        "replicates: 8.5",
        "E-CFG-12",
        "20:1",
        ("expected a whole number, found the number 8.5",),
    ),
    Wrong(
        "number for text",
        "name: small",
        "name: 12",
        "E-CFG-12",
        "1:1",
        ("name: expected text, found the number 12", "quotes"),
    ),
    Wrong(
        "mapping for a list",
        "histories: forget_at_each_position",
        "histories: {a: b}",
        "E-CFG-12",
        "9:1",
        ("histories: expected text",),
    ),
    Wrong("value for a block", TRAINING, "training: 3", "E-CFG-12", "4:1", ("training: expected a mapping",)),
    Wrong(
        "nothing for a number",
        "seed: 0",
        "seed:",
        "E-CFG-12",
        "22:1",
        ("seed: expected a whole number, found nothing",),
    ),
    Wrong(
        "wrong choice",
        "tiny: nano",
        "tiny: nanno",
        "E-CFG-13",
        "3:9",
        ("model.tiny: the text 'nanno' is not one of nano, micro, tiny", "'nano'"),
    ),
    Wrong(
        "wrong role", "role: forget", "role: forgot", "E-CFG-13", "8:20", ("stages.2.role", "did you mean 'forget'?")
    ),
    Wrong(
        "wrong contrast",
        "contrast: difference",
        "contrast: diference",
        "E-CFG-13",
        "19:6",
        ("comparisons.1.contrast", "'difference'"),
    ),
    Wrong(
        "no kind",
        "{generated: arithmetic",
        "{generatd: arithmetic",
        "E-CFG-14",
        "7:18",
        ("stages.1.dataset: no key says which data set", "'generated'"),
    ),
    Wrong(
        "two kinds",
        "tiny: nano",
        "tiny: nano, hub: a/b",
        "E-CFG-14",
        "3:21",
        ("model.hub: 'tiny' and 'hub' both say what it is",),
    ),
    Wrong(
        "no mapping for a kind",
        "model: {tiny: nano}",
        "model: nano",
        "E-CFG-12",
        "3:1",
        ("model: expected a mapping such as {tiny: …}",),
    ),
    Wrong(
        "duplicate key",
        "replicates: 8",
        "replicates: 8\nreplicates: 9",
        "E-CFG-03",
        "21:1",
        ("replicates: duplicate key (first in line 20)",),
    ),
    Wrong(
        "duplicate key inside",
        "objective: ga",
        "objective: ga, objective: npo",
        "E-CFG-03",
        "11:31",
        ("unlearnings.0.objective: duplicate key",),
    ),
    # What YAML 1.1 would have read
    Wrong(
        "boolean as no",
        "generated: authors",
        "generated: authors, allow_duplicates: no",
        "E-CFG-12",
        "6:48",
        ("found the text 'no'", "write true or false"),
    ),
    Wrong(
        "boolean as on",
        "{forget_score: safety}",
        "{forget_score: safety, paraphrases: on}",
        "E-CFG-12",
        "14:28",
        ("probes.0.paraphrases: expected true or false",),
    ),
    Wrong(
        "sexagesimal",
        "max_steps: 10, save_at",
        "max_steps: 1:30, save_at",
        "E-CFG-12",
        "11:52",
        ("the text '1:30'", "without a unit"),
    ),
    Wrong("octal", "replicates: 8", "replicates: 012", "E-CFG-12", "20:1", ("the text '012'", "write 12")),
    Wrong("date", "seed: 0", "seed: 2026-01-01", "E-CFG-12", "22:1", ("the text '2026-01-01'",)),
    Wrong("underscore", "replicates: 8", "replicates: 1_000", "E-CFG-12", "20:1", ("write 1000",)),
    Wrong(
        "percent",
        "learning_rate: 1e-3",
        "warmup_ratio: 10%, learning_rate: 1e-3",
        "E-CFG-12",
        "4:12",
        ("training.warmup_ratio", "0.1 for 10 %"),
    ),
    Wrong("not a number", "learning_rate: 1e-3", "learning_rate: .nan", "E-CFG-12", "4:12", ("the text '.nan'",)),
    Wrong(
        "unit in a duration",
        "max_steps: 10, save_at",
        "max_steps: 10 steps, save_at",
        "E-CFG-12",
        "11:52",
        ("the text '10 steps'", "without a unit"),
    ),
    # Syntax
    Wrong("tab", "  - {name: tofu", "\t- {name: tofu", "E-CFG-02", "6:1", ("tab", "blanks")),
    Wrong("open bracket", "save_at: [0, 5, 10]", "save_at: [0, 5, 10", "E-CFG-02", "11:", ("not valid YAML",)),
    Wrong("control character", "name: small", "name: sm\x1ball", "E-CFG-02", "1:9", (r"\x1b",)),
    Wrong("right-to-left override", "name: small", "name: sm\u202eall", "E-CFG-02", "1:9", (r"\u202e",)),
    Wrong(
        "code tag",
        "seed: 0",
        "seed: !!python/object/apply:os.system [id]",
        "E-CFG-04",
        "22:7",
        ("the tag", "is not read"),
    ),
    Wrong("custom tag", "seed: 0", "seed: !include x.yaml", "E-CFG-04", "22:7", ("'!include'",)),
    Wrong("anchor", "seed: 0", "seed: &seed 0", "E-CFG-05", "22:7", ("seed: anchors are not read",)),
    Wrong("alias", "seed: 0", "seed: *a", "E-CFG-05", "22:7", ("aliases are not read",)),
    Wrong("merge key", "seed: 0", "<<: {seed: 0}", "E-CFG-05", "22:1", ("merge keys",)),
    Wrong(
        "interpolation",
        "seed: 0",
        "notes: ${oc.env:HF_TOKEN}",
        "E-CFG-06",
        "22:8",
        ("notes: interpolation is not read",),
    ),
    Wrong("template", "seed: 0", "notes: '{{ HF_TOKEN }}'", "E-CFG-06", "22:8", ("interpolation",)),
    Wrong("template without quotes", "seed: 0", "notes: {{HF_TOKEN}}", "E-CFG-06", "22:9", ("interpolation",)),
    Wrong("shell", "seed: 0", "notes: $(id)", "E-CFG-06", "22:8", ("interpolation",)),
    Wrong("two documents", "seed: 0", "---\nseed: 0", "E-CFG-07", "22:1", ("second document",)),
    Wrong("deep nesting", "seed: 0", "notes: " + "[" * 30 + "]" * 30, "E-CFG-08", "22:", ("levels deep",)),
    Wrong(
        "class path", "{tiny: nano}", "{_target_: os.system}", "E-CFG-14", "3:1", ("model: no key says which model",)
    ),
    # Numbers
    Wrong(
        "no steps",
        "max_steps: 10, save_at: [0, 5, 10]",
        "max_steps: 0",
        "E-CFG-15",
        "11:52",
        ("unlearnings.0.max_steps: must be >= 1, found 0",),
    ),
    Wrong("rate 0", "learning_rate: 1e-3", "learning_rate: 0", "E-CFG-15", "4:12", ("must be > 0 and <= 1, found 0",)),
    Wrong(
        "rate above 1",
        "learning_rate: 1e-3",
        "learning_rate: 5",
        "E-CFG-15",
        "4:12",
        ("training.learning_rate: must be > 0 and <= 1, found 5",),
    ),
    Wrong("number too large", "seed: 0", "seed: 1e999", "E-CFG-15", "22:7", ("too large",)),
    Wrong("batch 0", TRAINING, TRAINING[:-1] + ", global_batch_size: 0}", "E-CFG-15", "4:54", ("must be >= 1",)),
    Wrong(
        "micro-batch above the batch",
        TRAINING,
        TRAINING[:-1] + ", micro_batch_size: 32}",
        "E-CFG-15",
        "4:54",
        ("at most global_batch_size (16)",),
    ),
    Wrong(
        "warm-up in percent",
        TRAINING,
        TRAINING[:-1] + ", warmup_ratio: 10}",
        "E-CFG-15",
        "4:54",
        ("for 10 % write 0.1",),
    ),
    Wrong(
        "held-out in percent",
        "authors, rows: 100",
        "authors, rows: 100, held_out: 20",
        "E-CFG-15",
        "6:59",
        ("stages.0.dataset.held_out", "write 0.2"),
    ),
    Wrong("beta 0", "beta: 0.1", "beta: 0", "E-CFG-43", "12:33", ("unlearnings.1.beta", "beta")),
    Wrong("beta as text", "beta: 0.1", "beta: small", "E-CFG-42", "12:33", ("expected a number",)),
    Wrong(
        "no replicates",
        "replicates: 8\noracle",
        "replicates: 0\noracle",
        "E-CFG-15",
        "20:1",
        ("must be >= 1", "10 is a good start"),
    ),
    Wrong(
        "negative oracle replicates",
        "oracle_replicates: 2",
        "oracle_replicates: -1",
        "E-CFG-15",
        "21:1",
        ("must be >= 0",),
    ),
    Wrong("one forget item", "seed: 0", "forget_level_items: 1", "E-CFG-15", "22:1", ("must be >= 2",)),
    Wrong("more forget items than rows", "seed: 0", "forget_level_items: 95", "E-CFG-15", "22:1", ("about 90 rows",)),
    Wrong("negative seed", "seed: 0", "seed: -1", "E-CFG-15", "22:1", ("seed: must be >= 0 and < 2**63",)),
    Wrong("seed above 2^63", "seed: 0", "seed: 9223372036854775808", "E-CFG-15", "22:1", ("2**63",)),
    Wrong(
        "wide cells", "{prediction: safety}", "{prediction: safety, cells: 2}", "E-CFG-15", "16:26", ("must be >= 3",)
    ),
    # Names
    Wrong(
        "duplicate stage names",
        "name: math",
        "name: tofu",
        "E-CFG-17",
        "7:6",
        ("stages.1.name: the stage name 'tofu' is used twice (first in line 6)",),
    ),
    Wrong("case twins", "name: math", "name: Tofu", "E-CFG-17", "7:6", ("differs from 'tofu' in case only",)),
    Wrong("path in a name", "name: math", "name: ../math", "E-CFG-16", "7:6", ("found '.' '/'",)),
    Wrong("option as a name", "name: math", "name: -rf", "E-CFG-16", "7:6", ("begins with a letter or a digit",)),
    Wrong("reserved name", "name: math", "name: CON", "E-CFG-16", "7:6", ("'CON' is reserved",)),
    Wrong("long name", "name: small", "name: " + "a" * 65, "E-CFG-16", "1:1", ("65 bytes",)),
    Wrong("name that is not NFC", "name: math", "name: mathe\u0301", "E-CFG-16", "7:6", ("NFC",)),
    Wrong("empty name", "name: small", 'name: ""', "E-CFG-16", "1:1", ("cannot be empty",)),
    Wrong("duplicate unlearning", "name: npo", "name: ga", "E-CFG-17", "12:6", ("unlearnings.1.name",)),
    Wrong(
        "duplicate probe",
        "{answer_logprob: tofu}",
        "{forget_score: safety}",
        "E-CFG-17",
        "15:5",
        ("'forget_score:safety' is used twice",),
    ),
    Wrong("hub id", "tiny: nano", "hub: nano", "E-CFG-16", "3:9", ("organisation/name",)),
    Wrong("moving revision", "tiny: nano", "hub: a/b, revision: main", "E-CFG-16", "3:19", ("commit of 40",)),
    # Between parts
    Wrong("no forget stage", ", role: forget", "", "E-CFG-18", "5:1", ("exactly one stage has role: forget, found 0",)),
    Wrong("two forget stages", "name: math", "name: math, role: forget", "E-CFG-18", "8:20", ("found 2",)),
    Wrong(
        "order with a hole",
        HISTORIES,
        "histories: [[safety, tofu]]",
        "E-CFG-19",
        "9:13",
        ("histories.0", "'math' is missing"),
    ),
    Wrong(
        "order with a repeat",
        HISTORIES,
        "histories: [[safety, tofu, math, tofu]]",
        "E-CFG-19",
        "9:13",
        ("'tofu' stands twice",),
    ),
    Wrong(
        "unknown stage in an order",
        HISTORIES,
        "histories: [[safety, tofu, maths]]",
        "E-CFG-20",
        "9:28",
        ("unknown stage 'maths'", "'math'"),
    ),
    Wrong(
        "unknown ordering",
        HISTORIES,
        "histories: all_order",
        "E-CFG-19",
        "9:1",
        ("unknown ordering 'all_order'", "'all_orders'"),
    ),
    Wrong(
        "order without a list",
        HISTORIES,
        "histories: [safety, tofu, math]",
        "E-CFG-19",
        "9:13",
        ("a list within the list",),
    ),
    Wrong(
        "the same order twice",
        HISTORIES,
        "histories: [all_orders, all_orders]",
        "E-CFG-19",
        "9:25",
        ("asked for twice",),
    ),
    Wrong(
        "both orders and position",
        HISTORIES,
        HISTORIES + "\nposition: 1",
        "E-CFG-19",
        "9:1",
        ("exactly one of histories and position", "both"),
    ),
    Wrong("neither orders nor position", HISTORIES + "\n", "", "E-CFG-19", "1:1", ("neither",)),
    Wrong(
        "position out of range",
        HISTORIES,
        "position: 4",
        "E-CFG-19",
        "9:1",
        ("position: must be 1 to 3 (the number of stages), found 4",),
    ),
    Wrong(
        "unknown stage in a probe",
        "{answer_logprob: tofu}",
        "{answer_logprob: tofoo}",
        "E-CFG-20",
        "15:6",
        ("probes.1.answer_logprob: unknown stage 'tofoo'", "'tofu'"),
    ),
    Wrong(
        "snapshot of a retain stage",
        "{prediction: safety}",
        "{prediction: tofu}",
        "E-CFG-24",
        "16:6",
        ("forget stage",),
    ),
    Wrong(
        "held-out probe without held-out rows",
        "arithmetic, rows: 100",
        "arithmetic, rows: 100, held_out: 0}}\n  - {name: x, dataset: {generated: instructions",
        "E-CFG-24",
        "16:28",
        ("no held-out rows",),
    ),
    Wrong(
        "two durations",
        TRAINING,
        TRAINING[:-1] + ", max_steps: 5}",
        "E-CFG-21",
        "4:54",
        ("exactly one of num_train_epochs, max_steps, max_tokens",),
    ),
    Wrong("no duration", ", num_train_epochs: 2", "", "E-CFG-21", "6:5", ("none of them",)),
    Wrong(
        "unlearning in epochs",
        "learning_rate: 1e-4, max_steps: 10}",
        "learning_rate: 1e-4, num_train_epochs: 1}",
        "E-CFG-21",
        "12:65",
        ("max_steps alone",),
    ),
    Wrong(
        "save_at beyond the end",
        "[0, 5, 10]",
        "[0, 5, 20]",
        "E-CFG-22",
        "11:67",
        ("unlearnings.0.save_at", "end with 10"),
    ),
    Wrong("save_at without the start", "[0, 5, 10]", "[5, 10]", "E-CFG-22", "11:67", ("from 0 to the last (10)",)),
    Wrong("save_at not ascending", "[0, 5, 10]", "[0, 6, 5, 10]", "E-CFG-22", "11:67", ("ascending",)),
    Wrong(
        "probe at an unsaved step",
        "{answer_logprob: tofu}",
        "{answer_logprob: tofu, at: [0, 7]}",
        "E-CFG-22",
        "15:28",
        ("step 7 is saved by no unlearning",),
    ),
    Wrong(
        "both margins",
        DISTANCE,
        "margin: {times_band: 1.5, value: 0.1, rationale: x}",
        "E-CFG-23",
        "18:52",
        ("exactly one of value and times_band", "both"),
    ),
    Wrong("no margin in the margin", DISTANCE, "margin: {rationale: x}", "E-CFG-23", "18:52", ("neither",)),
    Wrong("band of at most 1", "times_band: 1.5", "times_band: 1", "E-CFG-23", "18:61", ("must be > 1",)),
    Wrong(
        "absolute margin of a raw distance",
        "times_band: 1.5",
        "value: 0.1",
        "E-CFG-23",
        "18:61",
        ("comparisons.0.margin.value", "times_band: 1.5"),
    ),
    Wrong(
        "band for a signed quantity",
        DIFFERENCE,
        DISTANCE,
        "E-CFG-23",
        "19:60",
        ("comparisons.1.margin.times_band", "difference"),
    ),
    Wrong("margin without a reason", "rationale: half again", 'rationale: ""', "E-CFG-23", "18:78", ("reason",)),
    Wrong("negative margin", "value: 0.1", "value: -0.1", "E-CFG-15", "19:60", ("must be > 0",)),
    Wrong(
        "comparison without its probe",
        "probe: answer_logprob,",
        "probe: accuracy,",
        "E-CFG-24",
        "19:28",
        ("no probe of this study gives 'accuracy'", "add {accuracy: STAGE}"),
    ),
    Wrong(
        "comparison with a misspelt probe",
        "probe: answer_logprob,",
        "probe: answer_logprb,",
        "E-CFG-24",
        "19:28",
        ("did you mean 'answer_logprob'?",),
    ),
    Wrong(
        "distance of a scalar",
        "probe: prediction",
        "probe: answer_logprob",
        "E-CFG-24",
        "18:33",
        ("compares prediction snapshots",),
    ),
    Wrong(
        "unknown measure",
        "probe: prediction",
        "probe: prediction:safety/helinger",
        "E-CFG-24",
        "18:33",
        ("no measure 'helinger'", "'hellinger'"),
    ),
    Wrong(
        "measure of a kind",
        "probe: prediction",
        "probe: prediction/squared_l2",
        "E-CFG-24",
        "18:33",
        ("full name", "write prediction:safety/squared_l2"),
    ),
    Wrong(
        "measure that is not taken",
        "{forget_score: safety}",
        "{forget_score: safety, paraphrases: false}",
        "E-CFG-24",
        "19:28",
        ("probe 'forget_score:safety' has no measure 'paraphrases'", "label"),
    ),
    Wrong(
        "comparison at an end that is not measured",
        "{answer_logprob: tofu}",
        "{answer_logprob: tofu, at: [0, 5]}",
        "E-CFG-22",
        "15:28",
        ("unlearning 'npo' saves none of these steps after 0", "add 10"),
    ),
    Wrong(
        "comparison past a probe's last step",
        "{answer_logprob: tofu}",
        "{answer_logprob: tofu, at: [0, 5]}",
        "E-CFG-24",
        "19:28",
        ("'answer_logprob:tofu' is not measured at step 10, the end of unlearning 'ga'", "add 10"),
    ),
    Wrong(
        "growth between two steps",
        "contrast: oracle_distance, probe: prediction, " + DISTANCE,
        "contrast: growth, probe: prediction",
        "E-CFG-24",
        "18:24",
        ("growth needs two measured steps in one half of unlearning 'npo'",),
    ),
    Wrong("blank question", "Does order matter?", '"  "', "E-CFG-12", "2:1", ("question: a study states",)),
    Wrong(
        "held-out rows without number",
        "refusals, rows: 100",
        "refusals, rows: 100, held_out: 10",
        "E-CFG-15",
        "8:76",
        ("must be >= 0 and < 1, found 10", "for 10 % write 0.1"),
    ),
    Wrong(
        "adapter on a module of another model",
        "{tiny: nano}",
        "{tiny: nano, tuning: {lora: {rank: 2, alpha: 8, target_modules: [q_proj, k_prj]}}}",
        "E-CFG-35",
        "3:81",
        ("no linear module 'k_prj'", "did you mean 'k_proj'?"),
    ),
    Wrong(
        "adapter of an unlearning on a module of another model",
        "objective: ga,",
        "objective: ga, tuning: {lora: {rank: 2, alpha: 8, target_modules: [c_attn]}},",
        "E-CFG-35",
        "11:83",
        ("no linear module 'c_attn'", "it has: q_proj"),
    ),
    Wrong(
        "unknown objective",
        "objective: npo",
        "objective: npoo",
        "E-CFG-40",
        "12:17",
        ("unknown objective 'npoo'", "'npo'"),
    ),
    Wrong(
        "unknown parameter", "beta: 0.1", "bta: 0.1", "E-CFG-10", "12:33", ("unlearnings.1.bta: unknown key", "'beta'")
    ),
    Wrong(
        "another objective's parameter",
        "objective: ga,",
        "objective: ga, gamma: 0,",
        "E-CFG-10",
        "11:31",
        ("unlearnings.0.gamma: unknown key",),
    ),
    Wrong(
        "retain data of an unlearning",
        "beta: 0.1",
        "beta: 0.1, retain: tofu",
        "E-CFG-10",
        "12:44",
        ("unlearnings.1.retain: unknown key",),
    ),
    Wrong(
        "real refusals without acknowledgement",
        "{generated: refusals, rows: 100}",
        "{refusals: prompts}",
        "E-CFG-25",
        "8:34",
        ("acknowledge", "isolated research, weights not released"),
    ),
    Wrong(
        "sensitive rows without acknowledgement",
        "{generated: refusals, rows: 100}",
        "{jsonl: r.jsonl, sensitive: true}",
        "E-CFG-25",
        "8:34",
        ("word for word",),
    ),
    Wrong(
        "another acknowledgement",
        "{generated: refusals, rows: 100}}",
        "{refusals: prompts}}\nacknowledge: sure",
        "E-CFG-25",
        "9:1",
        ("acknowledge: sensitive",),
    ),
    Wrong(
        "placebo without data",
        HISTORIES,
        "histories: [forget_at_each_position, placebo]",
        "E-CFG-26",
        "9:38",
        ("no data are given",),
    ),
    Wrong(
        "placebo without a history",
        HISTORIES,
        HISTORIES + "\nplacebo: {generated: instructions}",
        "E-CFG-26",
        "10:1",
        ("no history asks for it",),
    ),
    Wrong(
        "one file in two roles",
        MATH + "\n" + FORGET,
        ONE_FILE,
        "E-CFG-29",
        "8:34",
        (
            "the same data serve the retain stage 'math' (line 7)",
            "and the forget stage 'safety'",
        ),
    ),
    Wrong("pretraining on a stage's text", "{tiny: nano}", PRETRAINED, "E-CFG-29", "8:18", ("the pretraining",)),
    Wrong(
        "too large a plan", "replicates: 8", "replicates: 80000", "E-CFG-30", "9:1", ("3 histories", "max_artifacts")
    ),
    Wrong(
        "dropout",
        "{tiny: nano}",
        "{tiny: nano, tuning: {lora: {rank: 4, alpha: 8, dropout: 0.1}}}",
        "E-CFG-35",
        "3:56",
        ("model.tuning.lora.dropout: must be 0",),
    ),
    Wrong(
        "rank 0",
        "{tiny: nano}",
        "{tiny: nano, tuning: {lora: {rank: 0, alpha: 8}}}",
        "E-CFG-15",
        "3:37",
        ("model.tuning.lora.rank: must be >= 1",),
    ),
    Wrong(
        "wrong tuning",
        "{tiny: nano}",
        "{tiny: nano, tuning: ful}",
        "E-CFG-13",
        "3:21",
        ("model.tuning: the text 'ful' is not one of full",),
    ),
    Wrong(
        "system prompt without a template",
        "{tiny: nano}",
        "{tiny: nano, system_prompt: be kind}",
        "E-CFG-35",
        "3:21",
        ("template: chat",),
    ),
    Wrong(
        "chat with a tiny model",
        "{tiny: nano}",
        "{tiny: nano, template: chat}",
        "E-CFG-35",
        "3:21",
        ("no chat template",),
    ),
    Wrong(
        "given for an unknown unlearning",
        "seed: 0",
        "given: [{history: [tofu, math], path: m, unlearning: gaa}]",
        "E-CFG-36",
        "22:42",
        ("unknown unlearning 'gaa'", "'ga'"),
    ),
    Wrong(
        "given for an unknown replicate",
        "seed: 0",
        "given: [{history: [tofu, math], path: m, replicate: 10}]",
        "E-CFG-36",
        "22:42",
        ("must be 0 to 9",),
    ),
    Wrong(
        "given twice",
        "seed: 0",
        "given: [{history: [tofu], path: m}, {history: [tofu], path: n}]",
        "E-CFG-36",
        "22:37",
        ("given twice",),
    ),
]


def _study(fault: Wrong, text: str) -> str:
    if fault.kind == "held-out probe without held-out rows":
        text = text.replace("{answer_logprob: tofu}", "{answer_logprob: math, split: held_out}")
    if fault.kind == "measure that is not taken":
        text = text.replace("probe: answer_logprob,", "probe: forget_score:safety/paraphrases,")
    if fault.kind == "comparison past a probe's last step":
        text = text.replace(
            "beta: 0.1, learning_rate: 1e-4, max_steps: 10", "beta: 0.1, learning_rate: 1e-4, max_steps: 5"
        )
    if fault.kind == "growth between two steps":
        text = text.replace("[0, 5, 10]", "[0, 4, 10]")
    if fault.kind == "pretraining on a stage's text":
        text = text.replace("{generated: arithmetic, rows: 100}", "{text: a.txt}")
    assert text.count(fault.old) >= 1, "the fault must be in the study"
    return text.replace(fault.old, fault.new, 1)


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault.kind)
def test_wrong_study(fault: Wrong, study_text: str, write: Callable[..., str]) -> None:
    """Code, place, field and fix, in one short line."""
    with pytest.raises(StudyError) as caught:
        load_study(write(_study(fault, study_text)))
    assert caught.value.exit_code == 3
    lines = caught.value.lines()
    for line in lines:
        assert len(line) <= 300
        assert line.isprintable()
        assert "Traceback" not in line
    start = f"error[{fault.code}]: study.yaml:{fault.place}"
    found = [line for line in lines if line.startswith(start)]
    assert found, f"expected {start}, got {lines}"
    for words in fault.says:
        assert any(words in line for line in found), f"expected {words!r} in {found}"


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault.kind)
def test_one_fault_is_few_lines(fault: Wrong, study_text: str, write: Callable[..., str]) -> None:
    """What merely follows from a fault is not reported with it."""
    with pytest.raises(StudyError) as caught:
        load_study(write(_study(fault, study_text)))
    # A fault in the block of defaults is named once for each stage that takes it.
    assert len(caught.value.problems) <= 4


def test_there_are_enough_kinds() -> None:
    """Each fault is a kind of its own."""
    assert len({fault.kind for fault in WRONG}) == len(WRONG) >= 45


def test_every_code_is_explained() -> None:
    """Codes of this room have a paragraph."""
    assert {fault.code for fault in WRONG if fault.code < "E-CFG-40"} <= set(CODES)


@pytest.mark.parametrize(
    ("content", "code", "place", "words"),
    [
        (b"", "E-CFG-09", "study.yaml", "empty"),
        (b"# nothing\n", "E-CFG-09", "study.yaml", "empty"),
        (b"name: a\nquestion: \xff\n", "E-CFG-01", "study.yaml:2:11", "0xff is not UTF-8"),
        ("name: a".encode("utf-16"), "E-CFG-01", "study.yaml", "UTF-16"),
        (b"#" * (1 << 20) + b"\nname: a\n", "E-CFG-01", "study.yaml", "1 MiB"),
        (b"- a\n- b\n", "E-CFG-12", "study.yaml", "mapping"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "E-CFG-05", "study.yaml:1:4", "anchors"),
        (b"[" * 200_000, "E-CFG-02", "study.yaml:1:", "not valid YAML"),
    ],
    ids=["empty", "comment", "not UTF-8", "UTF-16", "too large", "list", "laughs", "brackets"],
)
def test_wrong_file(content: bytes, code: str, place: str, words: str, write: Callable[..., str]) -> None:
    """Files that are no study at all."""
    with pytest.raises(StudyError) as caught:
        load_study(write(content))
    found = [line for line in caught.value.lines() if line.startswith(f"error[{code}]: {place}")]
    assert any(words in line for line in found)


ASKED = "contrast: oracle_distance, probe: prediction, margin: {times_band: 1.5, rationale: half again}"
KL = "prediction:safety/kl_oracle_to_state"
SAVED = "max_steps: 10, save_at: [0, 5, 10]}"
BAND = ", margin: {times_band: 2, rationale: x}"
VALUE = ", margin: {value: 0.1, rationale: x}"


@pytest.mark.parametrize(
    ("asked", "code", "field", "says", "fix"),
    [
        (
            "oracle_distance, probe: forget_loss",
            24,
            "probe",
            "compares prediction snapshots, or weights",
            "prediction",
        ),
        (
            f"oracle_distance, probe: '{KL}', alignment: at_each_step",
            24,
            "alignment",
            "not computed at_each_step",
            "leave",
        ),
        (f"oracle_distance, probe: '{KL}'{BAND}", 23, "margin", "directed divergence", "leave the margin out"),
        (
            "oracle_distance, probe: 'prediction:safety/total_variation', alignment: at_forget_level",
            24,
            "alignment",
            "not computed at_forget_level",
            "leave",
        ),
        ("improvement, probe: answer_logprob", 24, "probe", "found 'answer_logprob'", "prediction"),
        ("improvement, probe: prediction, alignment: at_each_step", 24, "alignment", "at_each_step", "leave"),
        ("improvement, probe: prediction, alignment: at_forget_level", 24, "alignment", "at_forget_level", "leave"),
        ("path_gap, probe: 'stage_loss:tofu'", 24, "probe", "found 'stage_loss'", "prediction"),
        (
            "path_gap, probe: answer_logprob, alignment: at_forget_level",
            24,
            "alignment",
            "'answer_logprob'",
            "at_each_step",
        ),
        (
            "path_gap, probe: 'prediction:safety/squared_l2', alignment: at_forget_level",
            24,
            "alignment",
            "'squared_l2'",
            "write at_end or at_each_step",
        ),
        (
            f"path_gap, probe: '{KL}'",
            24,
            "probe",
            "by hellinger or squared_l2, or a scalar probe, found 'kl_",
            "prediction",
        ),
        ("path_gap, probe: 'prediction:safety/jensen_shannon'", 24, "probe", "found 'jensen_shannon'", "prediction"),
        ("growth, probe: forget_loss", 24, "probe", "by hellinger, found 'forget_loss'", "prediction"),
        ("growth, probe: 'prediction:safety/jensen_shannon'", 24, "probe", "found 'jensen_shannon'", "prediction"),
        ("growth, probe: prediction, alignment: at_each_step", 24, "alignment", "at_each_step", "leave"),
        ("growth, probe: prediction, alignment: at_forget_level", 24, "alignment", "at_forget_level", "leave"),
        (
            f"stopping_price, probe: prediction{VALUE}",
            23,
            "margin",
            "stopping_price is described, never judged",
            "leave",
        ),
        (
            "path_gap, probe: expected_loss, alignment: at_forget_level",
            24,
            "alignment",
            "'expected_loss'",
            "at_each_step",
        ),
        ("difference, probe: 'expected_loss:held-out'", 24, "probe", "no probe of this study gives", "expected_loss:"),
        ("distribution, probe: expected_loss", 24, "probe", "or 'label_margin', found 'expected_loss'", "prediction"),
        (
            "oracle_distance, probe: parameters",
            24,
            "probe",
            "weights by parameters/relative_l2",
            "parameters/relative_l2",
        ),
        ("oracle_distance, probe: parameters/l2", 24, "probe", "no measure 'l2'", "relative_l2"),
        (f"oracle_distance, probe: parameters/cosine{BAND}", 23, "margin", "oracle_distance of 'cosine' is", "leave"),
        (f"improvement, probe: parameters/relative_l2{VALUE}", 23, "margin", "improvement of 'relative_l2'", "leave"),
        ("path_gap, probe: parameters/relative_l2", 24, "probe", "found 'relative_l2'", "prediction"),
        ("oracle_bias, probe: 'prediction:safety/jensen_shannon'", 24, "probe", "found 'jensen_shannon'", "prediction"),
        (
            "recency, probe: prediction",
            24,
            "probe",
            "compares 'forget_loss', found prediction snapshots",
            "forget_loss",
        ),
        ("recency, probe: forget_score", 24, "probe", "found 'forget_score'", "write forget_loss"),
        ("recency, probe: 'stage_loss:safety'", 24, "probe", "found 'stage_loss'", "write forget_loss"),
        ("recency, probe: forget_loss, alignment: at_each_step", 24, "alignment", "at_each_step", "leave"),
        ("difference, probe: prediction", 24, "probe", "a scalar probe, found prediction snapshots", "forget_loss"),
        ("difference, probe: 'stage_loss:tofu'", 24, "probe", "found 'stage_loss'", "forget_loss"),
        (
            "difference, probe: forget_loss, alignment: at_forget_level",
            24,
            "alignment",
            "at_forget_level",
            "at_each_step",
        ),
    ],
)
def test_what_no_contrast_answers_is_refused(
    asked: str, code: int, field: str, says: str, fix: str, study_text: str, write: Callable[..., str]
) -> None:
    """One problem, at the field that does not fit, with what would."""
    text = study_text.replace(ASKED, f"contrast: {asked}").replace(
        "max_steps: 10}", "max_steps: 10, save_at: [0, 5, 10]}"
    )
    with pytest.raises(StudyError) as caught:
        load_study(write(text))
    (problem,) = caught.value.problems
    assert problem.code == f"E-CFG-{code}"
    assert problem.message.startswith(f"comparisons.0.{field}: ")
    assert says in problem.message
    assert fix in problem.fix


@pytest.mark.parametrize(("contrast", "compared"), [(c, what) for c, row in ANSWERED.items() for what in row])
def test_what_is_in_the_table_loads(contrast: str, compared: str, study_text: str, write: Callable[..., str]) -> None:
    """Every row, at each of its alignments."""
    name = f"prediction:safety/{compared}" if compared in DISTANCES else compared
    name = f"parameters/{compared}" if compared in PARAMETER_DISTANCES else name
    lines = [
        f"  - {{contrast: {contrast}, probe: '{name}', alignment: {alignment}}}"
        for alignment in ANSWERED[contrast][compared]
    ]
    text = study_text.replace("max_steps: 10}", SAVED).replace(
        "  - {prediction: safety}", "  - {prediction: safety}\n  - {accuracy: math}\n  - {exact_match: math}"
    )
    study = load_study(write(text.replace(f"  - {{{ASKED}}}", "\n".join(lines))))
    assert [c.alignment for c in study.comparisons[:-1]] == list(ANSWERED[contrast][compared])


@pytest.mark.parametrize(("histories", "warned"), [
    ("position: 2", ["path_gap", "recency"]), ("histories: shuffle_only", ["recency"]),
    ("histories: [[tofu, math, safety]]", ["path_gap", "recency"]), ("histories: all_orders", []),
    ("histories: [[tofu, math, safety], [math, tofu, safety]]", ["recency"]),
])  # fmt: skip
def test_too_few_histories_for_a_comparison_are_said(
    histories: str, warned: list[str], study_text: str, write: Callable[..., str]
) -> None:
    """A study cut down to one history still loads; what it then leaves out is named."""
    more = "{contrast: path_gap, probe: prediction}\n  - {contrast: recency, probe: forget_loss}"
    text = study_text.replace(HISTORIES, histories).replace(f"{{{ASKED}}}", more)
    found = [warning.message for warning in read_study(write(text)).warnings]
    assert [message.split(" needs ")[0].split(": ")[-1] for message in found] == warned


def test_a_share_out_of_range_has_no_follow_on(study_text: str, write: Callable[..., str]) -> None:
    """The rows left to forget are not counted with it."""
    with pytest.raises(StudyError) as caught:
        load_study(write(study_text.replace("refusals, rows: 100", "refusals, rows: 100, held_out: 10")))
    assert [problem.code for problem in caught.value.problems] == ["E-CFG-15"]


def test_no_file(write: Callable[..., str], tmp_path: object) -> None:
    """A missing file, a folder, and the nearest bundled name."""
    write("", "other.yaml")
    with pytest.raises(StudyError, match=r"E-CFG-01.*quickstat.*did you mean 'quickstart'"):
        load_study("quickstat")
    with pytest.raises(StudyError, match="not a regular file"):
        load_study(str(tmp_path))


def test_all_problems_at_once(study_text: str, write: Callable[..., str]) -> None:
    """Faults of form, of syntax that can be read on, and between parts come together, in the order of the file."""
    text = (
        study_text.replace("name: math", "name: tofu")
        .replace("rows: 100}}", "rwos: 100}}", 1)
        .replace("beta: 0.1", "beta: -1")
        .replace("times_band: 1.5", "times_band: 0.5")
        .replace("seed: 0", "seed: &x 0\nseed: 1")
    )
    with pytest.raises(StudyError) as caught:
        load_study(write(text))
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["E-CFG-10", "E-CFG-17", "E-CFG-43", "E-CFG-23", "E-CFG-05", "E-CFG-03"]


def test_at_most_twenty_are_shown(write: Callable[..., str]) -> None:
    """The rest is counted."""
    with pytest.raises(StudyError) as caught:
        load_study(write("".join(f"wrong_{i}: 1\n" for i in range(40))))
    lines = caught.value.lines()
    assert len(lines) == 21
    assert lines[-1].endswith("more")


def test_warnings_are_no_errors(study_text: str, write: Callable[..., str]) -> None:
    """A high rate for a pretrained model and few replicates are noted; the study loads."""
    text = (
        study_text.replace("{tiny: nano}", "{hub: a/b}")
        .replace("1e-3", "1e-2")
        .replace("replicates: 8", "replicates: 2", 1)
    )
    loaded = read_study(write(text))
    assert [warning.place for warning in loaded.warnings] == ["study.yaml:4:12", "study.yaml:20:1"]
    assert all(warning.line().startswith("warning[E-CFG-38]") for warning in loaded.warnings)
