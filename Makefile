# The two commands of the README are `make quickstart` and `make test`; both make their own virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test check install real slow calibrate clean

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

install: $(BIN)/.installed

# Install, run the study that is shipped inside the package, print where the report is.
quickstart: install
	$(BIN)/retrain-equivalence run quickstart --offline --out results/quickstart

# Everything but GPU and slow checks; tests on real data skip visibly unless RETRAIN_EQUIVALENCE_DATA names them.
test: install
	$(BIN)/python -m pytest -n $(JOBS) -m "not gpu and not slow" tests src

check: install
	$(BIN)/ruff check src tests scripts examples benchmarks
	$(BIN)/ruff format --check src tests scripts examples benchmarks
	$(BIN)/mypy
	$(BIN)/mypy -p benchmarks.calibration
	$(BIN)/lint-imports
	$(MAKE) test

# Minutes each: the GGUF conversion, long crash sweeps.
slow: install
	$(BIN)/python -m pytest -m slow tests

# How often tests, intervals and verdicts err, by simulation: writes docs/calibration.md; fails if a gate does.
# CALIBRATE="--seed 2 --second" repeats it with another seed; "--studies 2000 --dry" is a quick look.
calibrate: install
	$(BIN)/python -m benchmarks.calibration $(CALIBRATE)

# The study of docs/findings.md that needs RETRAIN_EQUIVALENCE_DATA alone. The other one also needs its GGUF file:
# retrain-equivalence run smollm2 --set model.gguf=FILE
real: install
	$(BIN)/retrain-equivalence run tiny-real --out results/tiny-real

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
