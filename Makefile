# The two main commands are `make train` and `make test`.  Each target sets up .venv first, unless that is done.
PYTHON ?= python3
BIN := .venv/bin
CORE := jsgmath/formula.py jsgmath/special.py $(wildcard jsgmath/families/*terms.py jsgmath/families/stirling.py)
CORE += $(wildcard jsgmath/native/*.?pp jsgmath/native/*.py)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help train test test-matrix lint docs wheels release-check

help:
	@echo 'make train   train a VAE with JSG, computed by the Triton kernel, on embedded images (minutes)'
	@echo 'make test    run every test that needs no GPU, and the proofs in verification/ (minutes)'
	@echo 'make test-matrix'
	@echo '             test the library on every Python that is found, with the oldest and the newest packages (an hour)'
	@echo 'make lint    run ruff, codespell and pyright'
	@echo 'make docs    build the documentation as a site, site/index.html (seconds)'
	@echo 'make wheels  make the source distribution and a wheel for every platform, in dist/ (minutes)'
	@echo 'make release-check'
	@echo '             make them, try them, check what they hold, and say what is left to do (a quarter of an hour)'

train: .venv/vae.installed
	$(BIN)/python -m vae.train --backend triton $(ARGS)

# There is one process per processor. Each takes whole files, so what the tests of a file share is computed once.
test: .venv/dev.installed
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

test-matrix: .venv/matrix.installed
	$(BIN)/tox $(ARGS)

lint: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright

docs: .venv/docs.installed
	$(BIN)/python docs/site/build.py
	@echo 'Open site/index.html'

wheels: .venv/release.installed
	$(BIN)/python -m jsgmath.native.wheels

release-check: .venv/release.installed
	$(BIN)/python -m tests.release

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'jsgmath needs Python 3.11 or newer; name one, as in: make PYTHON=python3.11 train'; exit 2; }
	@echo 'Creating .venv'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 2; }

.venv/%.installed: pyproject.toml constraints.txt $(CORE) | .venv/bin/python
	@echo 'Installing jsgmath[$*] into .venv (a few minutes the first time)'
	@$(PIP) --editable '.[$*]'
	@touch $@
