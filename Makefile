# Everything works from a clean clone with Python 3.11+ and make; no compiler, no conda.
# `setup` is a file: it runs once, and again when pyproject.toml changes.

PYTHON ?= python3
BIN := .venv/bin
DONE := .venv/.jessl-setup
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test torture check kernels bench bench-probe claims claims-full claims-page gpu docs wheel clean

setup: $(DONE)

$(DONE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "jessl needs Python 3.11 or newer; call: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(DONE)

demo: $(DONE)
	$(BIN)/jessl demo $(if $(DATA),--data $(DATA)) $(if $(OUT),--out $(OUT))

check: $(DONE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_names.py
	$(BIN)/python tools/draw_rooms.py --check

# beside mypy, which is one process: otherwise every process of the tests compiles them at once
kernels: $(DONE)
	$(BIN)/python -c 'from jessl.views.kernels import compiled; compiled()'

# a process a core and one thread each: the tests are small, and OpenMP threads that share few
# cores wait by spinning
test: $(DONE)
	$(MAKE) --jobs=2 check kernels
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

# 200 kills, 20,000 damaged images, 20,000 damaged files: about an hour on two cores; a second
# call goes on, and `make torture MINUTES=10` begins nothing after ten minutes
torture: $(DONE)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/torture.py --work torture \
	  $(if $(MINUTES),--minutes $(MINUTES)) \
	  --record benchmarks/records/$(shell date +%F)-torture.md

# a training step beside other libraries, which are installed into .bench-peers at the first call:
# make bench DATA=cifar10-train.npz ARGS='--knn 0.45 --steps 600' (ARGS='--device cuda' on a GPU)
bench: $(DONE)
	$(BIN)/python benchmarks/bench_peers.py $(if $(DATA),--data $(DATA)) $(ARGS) \
	  --record benchmarks/records/$(shell date +%F)-peers.md

bench-probe: $(DONE)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/linear_probe.py --flip 0 --out bench-linear-probe

# the claims of the papers at the small size, on two cores; `claims-full` takes hours; both go on
# where they were stopped. make claims DATA=FOLDER, with cifar10-train.npz and the like, else
# torchvision downloads the images
claims: $(DONE)
	OMP_NUM_THREADS=1 $(BIN)/jessl claims run --quick --jobs 2 $(if $(DATA),--data $(DATA)) $(ARGS)
	$(MAKE) claims-page

claims-full: $(DONE)
	OMP_NUM_THREADS=1 $(BIN)/jessl claims run --jobs 2 $(if $(DATA),--data $(DATA)) $(ARGS)
	$(MAKE) claims-page

claims-page: $(DONE)
	$(BIN)/jessl claims show --markdown > docs/claims.tmp
	mv docs/claims.tmp docs/claims.md

# all that only a GPU can answer, in at most ten minutes; a second call goes on
gpu: $(DONE)
	$(BIN)/python benchmarks/gpu_day.py --work gpu-day --data $(or $(DATA),torchvision:CIFAR10) \
	  --record benchmarks/records/$(shell date +%F)-gpu-day.md

# the site of docs/ and, under api/, the docstrings: open site/index.html
docs: $(DONE)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tools/api_pages.py site/api

wheel: $(DONE)
	$(BIN)/python tools/try_wheel.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
