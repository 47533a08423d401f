"""Codes that planning, running and the command line raise."""

CODES = {
    "E-DATA-53": "A results folder was named that holds no rows.parquet. Run the study first, or name the folder that "
    "`run` printed.",
    "E-DATA-60": "The path of a model file or folder does not exist. Paths are relative to the study file.",
    "E-DATA-61": "A checkpoint given under `given` does not fit the study's base model: a tensor is missing or has "
    "another shape.",
    "E-DATA-62": "The folder to export to exists. Nothing is ever written into an existing folder.",
    "E-CFG-90": "`init` found a study.yaml and does not overwrite it.",
    "E-CFG-91": "`explain` knows every code that this tool prints; this one is none of them.",
    "E-CFG-92": "`list` was asked for a kind of thing that does not exist.",
    "E-CFG-93": "`store export` needs the key of exactly one state of the named study. `store ls` prints keys.",
    "E-CFG-94": "The state has unlearned sensitive safety data. Such checkpoints are exported only from a study that "
    "carries the acknowledgement, and a note is written beside them.",
    "E-CFG-95": "The objective needs passes over retain data, preferred answers or hidden states, which this release's "
    "loop does not make.",
    "E-ENV-02": "A file or folder cannot be written. Check permissions and free space, or choose another place.",
    "E-RUN-01": "The loss or a gradient of a training stage stopped being finite. The stage takes no key and nothing "
    "of it is committed, except its last checkpoint if there was one. Lower the learning rate or clip gradients.",
}
