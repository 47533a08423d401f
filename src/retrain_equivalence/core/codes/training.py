"""What the codes of objectives and training mean, one paragraph each."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-CFG-40": (
        "The study names an objective that does not exist. `retrain-equivalence list objectives` shows those "
        "that do; an objective of your own is loaded with `--plugin FILE`, or by installing a package that "
        "has an entry point in the group `retrain_equivalence.objectives`."
    ),
    "E-CFG-41": (
        "An objective was given a parameter that it does not have, or not given one that has no default. The "
        "message lists its parameters."
    ),
    "E-CFG-42": (
        "A parameter of an objective has the wrong type: a number is expected where text was given, or the like."
    ),
    "E-CFG-43": (
        "A parameter of an objective has the right type but a value that the loss is not defined for, for "
        "example a beta of 0 or below."
    ),
    "E-CFG-44": (
        "An objective reads the hidden states of a layer that the model does not have. Layer 0 is the "
        "embedding, layer n the output of the n-th block."
    ),
    "E-CFG-45": (
        "A plug-in cannot be loaded: the file is missing, is not Python, raises while it runs, has no module- "
        "level list OBJECTIVES, or lists something that is not a frozen dataclass with name, passes, per, "
        "cite and __call__. A plug-in is code and runs with your rights: load only files that you trust."
    ),
    "E-CFG-46": (
        "Two objectives have the same name: a plug-in uses a name of the package's own, or of another plug- "
        "in. Rename one; a name must say which loss was used."
    ),
    "E-CFG-47": (
        "The study was locked with one version of a plug-in objective and another one is loaded now. The "
        "version is the SHA-256 of its source: bring back the locked file, or plan the study again with the "
        "new one, which trains anew."
    ),
    "E-RUN-01": (
        "The loss or its gradient stopped being a finite number. The step was not taken, so the weights are "
        "the last finite ones. In a stage this is an error and nothing takes the stage's key; while "
        "unlearning it is an outcome, and later measurements of that trajectory are recorded as censored. "
        "Look at the named rows, lower the learning rate, or clip."
    ),
    "E-RUN-02": (
        "A batch has no scored token at all: every response in it was cut away, so the loss would be 0/0. "
        "Raise max_length, or refuse or drop rows whose prompt fills it."
    ),
    "E-RUN-03": (
        "An objective read a forward pass that it does not declare. Whether a method is local, and what it "
        "costs, is derived from the declared list, so the list must be complete."
    ),
    "E-RUN-04": (
        "An objective reads something beside the forget rows and the trained model that the loop was not given: the "
        "start model's log-probabilities (missing for a row, or those of another encoding of it, or two rows share one "
        "id), a frozen model, retain rows or preferred answers. A study's run gathers what its objectives declare."
    ),
    "E-RUN-05": (
        "An objective does not fit the loop: it counted another number of tokens or sequences than the batch has. "
        "`retrain_equivalence.testing.check_objective` finds such faults in a test."
    ),
    "E-RUN-06": (
        "A training cannot start: the model has no trainable weight, or the state to go on from has other "
        "weights or other optimizer moments than this model and recipe."
    ),
    "E-STORE-20": (
        "The files of an in-stage checkpoint are not those of a loop state. Discard the checkpoint; the stage "
        "starts anew."
    ),
}
