"""The theory of retrain equivalence, exact, in worlds small enough to compute: numpy and scipy, no torch.

Design. Three layers. *Worlds* (`inputs`, `stage`, `world`) draw data and train every history in closed form.
*Claims* (`theorem`, `floor`, `difference_map`, ...) are functions of arrays: forget inputs, states, step sizes;
each documents its equation and the conditions under which it holds. *Questions* (`questions/`, one file per subcommand
of `retrain-equivalence theory`) draw many worlds, apply claims to them and answer with intervals.

Notation, as in `docs/theory.md`: X_U the k forget inputs, H_U = (2/k) X_Uᵀ X_U the Hessian of their mean squared loss,
h_j its non-zero eigenvalues, M_U = η H_U, x_j = η h_j; P the projector on their span; Δ_t the difference of two
histories after t steps.
"""
