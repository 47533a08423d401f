"""What the errors of the theory mean."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-DATA-100": (
        "An array has another shape than the claim needs: inputs are rows × dimensions, targets one value per row, "
        "parameters one value per dimension."
    ),
    "E-DATA-101": (
        "A value is not finite. Nothing is computed from NaN or infinity; what is undefined in some worlds is "
        "counted, never averaged."
    ),
    "E-DATA-102": ("A step size, penalty, tolerance or count is not above zero."),
    "E-DATA-103": ("There is no law, rule or forget set by this name; the message lists those that exist."),
    "E-DATA-104": (
        "A stage is singular: without a penalty its rows do not determine the parameters. Give it a penalty above "
        "0, or train it to convergence, which takes the solution nearest to where training started."
    ),
    "E-DATA-105": (
        "The step size makes descent diverge: η times the largest curvature is above 2. The message names a step "
        "size that does not."
    ),
    "E-DATA-106": ("The forget set is empty: there is nothing to unlearn."),
    "E-DATA-107": (
        "The forget inputs are more rows than there are dimensions, or linearly dependent. The theorem needs full "
        "row rank; drop repeated rows."
    ),
    "E-DATA-108": ("The sizes of a world disagree: dimensions, rows, or how many of them are to be forgotten."),
    "E-DATA-109": (
        "An order names no stage of the world or one of them twice, or asks for the position of a forget set that "
        "lies in several stages."
    ),
    "E-DATA-110": (
        "Parameters left float64: ascent grows exponentially. Use the logarithmic forms (log_path_distances, "
        "log_re_distances, log_forget_loss), which hold at any number of steps."
    ),
    "E-DATA-111": (
        "Two histories cannot be matched at the forget loss asked for: one of them starts above it, or has no "
        "residual and never rises to it."
    ),
    "E-DATA-112": (
        "Steps are whole numbers, none below 0, and at least one must be named; a direction is ascent or descent."
    ),
    "E-DATA-113": (
        "The theorem's bound is vacuous here, so there is no step from which it holds: fewer test rows than forget "
        "rows (m < k), a direction of the span that changes no test prediction, or two histories that do not differ "
        "on the span. The message says which. Such worlds are counted, not averaged."
    ),
    "E-DATA-114": (
        "The distance between two oracles is negative or not finite. Give d(r_a, r_b), and 0 for one common oracle."
    ),
    "E-DATA-115": (
        "Histories and references disagree in number: each history needs the one state it is compared with, the "
        "same row again for a common oracle."
    ),
    "E-DATA-117": (
        "A gap, an excess loss or an ε is negative or not finite, or a δ is not between 0 and 1. A gap that is "
        "infinite comes from too many ascent steps: take fewer, or use the logarithmic forms."
    ),
    "E-DATA-118": (
        "The law of a history over training seeds is degenerate: the seeds leave some direction of the parameters "
        "fixed, so a divergence between two such laws is infinite or depends on rounding. Draw the initial "
        "parameters at random and train with a penalty above zero."
    ),
    "E-DATA-120": (
        "Minibatches do not fit: a batch is empty or names a row outside the forget set, there is not one step size "
        "per batch, or two histories differ in more than their batches."
    ),
    "E-DATA-121": (
        "The forget and the retain rows have different dimensions, or all values of one of the two sets are zero: "
        "then there is nothing to weigh."
    ),
    "E-DATA-122": (
        "A retain weight is negative or not finite, or a method was asked to run step by step that is no sequence "
        "of steps on the forget rows (rewinding, for instance, needs the stages)."
    ),
    "E-DATA-123": (
        "Steps of ascent took the parameters out of float64: squared loss under ascent grows without limit, and "
        "under LoRA faster than exponentially. Take fewer steps or a smaller step size."
    ),
    "E-DATA-124": (
        "There is no method by this name in the closing table, or the named method has no linear form and cannot be "
        "run in a linear world. The message lists the methods."
    ),
    "E-DATA-125": (
        "A value is outside the range in which a formula holds: a decay constant (β₁, β₂, momentum, conflict) "
        "outside [0, 1), Adam's β₁² not below β₂, or an end margin above the start, which ascent never reaches."
    ),
    "E-DATA-126": (
        "A row is longer than 1 or a label is not −1 or 1. The bounds of logistic removal need both; divide all "
        "rows by the largest norm, and recode the labels."
    ),
    "E-DATA-127": ("The rows to remove cannot be removed: one does not exist, is named twice, or none would be left."),
    "E-DATA-128": ("The δ of a certificate does not lie between 0 and 1."),
    "E-DATA-129": (
        "Training did not reach the requested gradient norm: rounding stops it earlier. Ask for a larger one, or "
        "raise the penalty."
    ),
    "E-DATA-130": (
        "The digits are bundled with scikit-learn, which is not installed. Install the extra: `pip install "
        '"retrain-equivalence[theory]"`.'
    ),
    "E-DATA-131": (
        "An option of the digits question is none of those that exist: stages are 2 or 3, a share lies in 0 to 1, "
        "classifiers are `binary`, `softmax`, `network` or `all`, and there are at least 2 seeds, 4 steps and 1 "
        "epoch."
    ),
    "E-DATA-132": (
        "There are not enough digit images for the stages or the test set asked for (1,797 in all, a fifth of them "
        "held out), or a stage is not larger than its forget set; the message says what there is."
    ),
    "E-DATA-133": (
        "Unlearning a classifier, or its first variation, left the range of float64 within the steps asked for. "
        "Lower the step size or take fewer steps."
    ),
    "E-DATA-134": (
        "The loss of a row has a name that is not known. It is 'squared' (the linear world) or 'logistic' (labels "
        "−1 and 1)."
    ),
    "E-DATA-135": (
        "A training log and the rows to be denied do not fit: no logged step used any of them, so there is nothing "
        "to forge; or fewer rows of a stage are left than a batch holds; or the batch size is above a stage's rows. "
        "Name rows that were trained on, deny fewer, or lower the batch size."
    ),
    "E-DATA-136": (
        "The number of forget rows, or of stages, does not fit the question: it must leave something to compare. "
        "The message says how many are needed."
    ),
    "E-DATA-137": (
        "A setting of the Rényi privacy loss is out of range: the sampling rate is a chance above 0 and at most 1, "
        "the order a whole number from 2, the composition exponent above 1."
    ),
    "E-DATA-138": (
        "A composed privacy loss was asked for from one noisy run. It is an expectation over runs, and its Monte- "
        "Carlo interval needs at least two; twenty or more are sensible."
    ),
}
