"""Codes that planning, running and the command line raise."""

CODES: dict[str, str] = {
    "E-DATA-85": "The path of a model file or folder does not exist. Paths are relative to the study file.",
    "E-DATA-86": "A checkpoint given under `given` does not fit the study's base model: a tensor is missing or has "
    "another shape.",
    "E-DATA-89": "The data under `preferred:` do not give exactly one answer to every prompt of the forget stage's "
    "training rows. Prompts are compared as text, exactly.",
    "E-DATA-88": "The data under `placebo:` have fewer training rows than the forget stage. A placebo history is to "
    "differ in what the extra stage teaches and not in how much; of a larger set the first rows are taken.",
    "E-DATA-87": "The folder to export to exists. Nothing is ever written into an existing folder.",
    "E-CFG-90": "`init` found a study.yaml and does not overwrite it.",
    "E-CFG-93": "`store export` needs the key of exactly one state of the named study. `store ls` prints keys.",
    "E-CFG-95": "`store unlock` needs the key of exactly one lease; the first digits are enough. Only a lease whose "
    "owner is dead may be removed: two runs that work on one key cost time, never results.",
    "E-CFG-94": "The state has unlearned sensitive safety data. Such checkpoints are exported only from a study that "
    "carries the acknowledgement, and a note is written beside them.",
    "E-ENV-06": "`--device cuda` was asked for and there is no GPU that can be used: the machine has no NVIDIA driver, "
    "or torch was installed without CUDA (pip's default on some systems; `retrain-equivalence doctor` says which). "
    "Nothing was started. Install the CUDA build of torch, or use `--device cpu`, which gives other keys.",
    "E-RUN-07": "A stage was trained by an adapter of which no tensor moved, so its end is its beginning and "
    "everything measured on it would be taken for a trained state. The learning rate is 0 or too small for the dtype, "
    "or the adapter is not reached by the loss. Check `target_modules`, the rate and the schedule.",
    "E-BUG": "Something happened that the package does not know: a bug in it or in a plug-in. --debug shows the "
    "traceback; report it with the command that was typed.",
}
