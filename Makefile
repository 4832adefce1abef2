# The two commands of the README are `make demo` and `make test`; both install what they need.
.PHONY: help setup demo test lint unit promtool integration e2e format clean

PYTHON = .venv/bin/python
# Most tests wait for real servers, so four at a time fit on two cores; a file stays on one worker with its servers.
PYTEST = $(PYTHON) -m pytest -n 4 --dist loadfile

help:
	@echo "make demo    the main job on a real sick session, start to end (KEEP=1 leaves it running)"
	@echo "make test    lint, unit, promtool, integration, end to end"
	@echo "make lint    ruff, mypy, yamllint, ansible-lint"
	@echo "make clean   remove what these commands made, but not .venv"

setup:
	@scripts/setup test

demo:
	@scripts/setup demo
	@$(PYTHON) -m demo $(if $(KEEP),--keep)

test: setup lint
	@$(PYTEST)

lint: setup
	@scripts/lint

unit promtool integration e2e: setup
	@$(PYTEST) $(if $(filter promtool,$@),tests/unit/monitoring,tests/$@)

format: setup
	@.venv/bin/ruff check --fix --select I . && .venv/bin/ruff format .

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis logs
