# Everything is set up by the target that needs it: Python >= 3.11 with pip and venv is all that must be there.
# A second run of a target finds its stamp in .venv and starts at once.

.DEFAULT_GOAL := help
.PHONY: help demo test test-deploy test-cluster bench bench-gpu check chaos model fuzz

# `python3` where it will do, else the newest that there is; PYTHON=... decides otherwise.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	&& echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
SPEED ?= 0

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo CALL=path.wav CHANNELS=agent,customer SPEED=1 plays a recording of your own in real time"

demo: $(VENV)/demo.stamp  ## run the whole stream on this machine and show it
	@$(BIN)/python -m services.cli demo $(if $(CALL),--call "$(CALL)") $(if $(BUNDLE),--bundle "$(BUNDLE)") $(if $(CHANNELS),--channels "$(CHANNELS)") --speed "$(SPEED)"

# Tools that the tests call by name are looked for here first.
test: export PATH := $(abspath $(BIN)):$(PATH)
test: $(VENV)/test.stamp $(VENV)/helm.stamp  ## run every test but test-cluster's, those against real Kafka and PostgreSQL included
	@$(BIN)/python -m pytest --ignore=tests/cluster $(ARGS)

# What an operator installs and watches. A tool that is not there fails it: node with npm, and Debian's `prometheus` and `postgresql`.
DEPLOYED := tests/deployment tests/unit/commands/test_trial.py tests/integration/inference/test_fetch.py \
	tests/e2e/test_trial.py tests/e2e/test_dashboards.py tests/e2e/test_traces.py tests/e2e/test_secured.py \
	tests/integration/kafka/test_acls.py tests/integration/kafka/test_secured.py \
	tests/integration/store/test_roles.py tests/integration/store/test_making_roles.py tests/integration/store/test_tls.py
OPERATORS := tests/deployment/operators
test-deploy: export PATH := $(abspath $(BIN)):$(abspath .checkov/path):$(PATH)
test-deploy: export UNDERTONE_REQUIRE_ALL := 1
test-deploy: $(VENV)/test.stamp $(VENV)/helm.stamp .checkov/path/checkov $(OPERATORS)/node_modules  ## test chart, images, rules and dashboards with every tool
	@$(BIN)/python -m pytest $(DEPLOYED) $(ARGS)

# Go, Helm and git are needed, no container and no root.
test-cluster: export PATH := $(abspath $(BIN)):$(abspath .cluster):$(PATH)
test-cluster: export UNDERTONE_REQUIRE_ALL := 1
test-cluster: $(VENV)/test.stamp $(VENV)/helm.stamp .cluster/kube-apiserver .cluster/definitions  ## install the chart on a real API server; the first time builds it, 10 minutes of CPU
	@$(BIN)/python -m pytest tests/cluster $(ARGS)

bench: $(VENV)/test.stamp  ## measure against baselines; ONLY=feed takes one of feed vad segment labels heads encoder live latency restart memory withdrawal training diarization soak servers
	@$(BIN)/python ops/bench $(ONLY)

bench-gpu:  ## measure the encoders on a GPU; needs torch, transformers and numpy, installs nothing
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) ops/bench/gpu.py

check: $(VENV)/test.stamp  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos: $(VENV)/test.stamp  ## break everything, row by row, and check what is left (ROWS=1,14 SEEDS=3)
	@$(BIN)/python -m ops.chaos $(if $(ROWS),--rows "$(ROWS)") $(if $(SEEDS),--seeds "$(SEEDS)")

model: $(VENV)/test.stamp  ## take 200,000 steps of whatever may happen to a partition of calls
	@UNDERTONE_MODEL_STEPS=200000 $(BIN)/python -m pytest -q tests/unit/stages/test_model.py

fuzz: $(VENV)/test.stamp  ## send a million damaged records through every stage
	@$(BIN)/python -m ops.chaos.fuzz

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --editable '.[standalone]'
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --editable '.[standalone,plot,train,models,opensmile,diarization,pyannote,traces]' --group test --group check
	@touch $@ $(VENV)/demo.stamp

# From its Go module, as no registry has it otherwise; where there is no Go, what needs it is listed as not run.
# A build of it does not know by itself which version of Kubernetes it stands for.
HELM := 3.19.5
HELM_FOR := helm.sh/helm/v3/pkg/chartutil.k8sVersion
$(VENV)/helm.stamp: | $(VENV)/bin/python
	@if command -v go >/dev/null; then \
		GOBIN=$(abspath $(BIN)) CGO_ENABLED=0 go install -ldflags '-s -w -X $(HELM_FOR)Major=1 -X $(HELM_FOR)Minor=34' \
			helm.sh/helm/v3/cmd/helm@v$(HELM) && touch $@ \
		|| echo 'helm could not be built: what needs it is not run' >&2; \
	fi

# Their versions stand in go.mod. Each is told the one that it stands for, as a build from a module does not know it.
CLUSTER := tests/cluster/apiserver
KUBERNETES = $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2 }' $(CLUSTER)/go.mod)
STANDS_FOR = $(patsubst %,-X k8s.io/component-base/version.git%, \
	Version=$(KUBERNETES) Major=1 Minor=$(word 2,$(subst ., ,$(KUBERNETES))))
.cluster/kube-apiserver: export CGO_ENABLED := 0
.cluster/kube-apiserver: $(CLUSTER)/go.mod $(CLUSTER)/go.sum
	@mkdir -p $(@D)
	cd $(CLUSTER) && go build -trimpath -ldflags '-s -w' -o $(abspath $(@D))/etcd go.etcd.io/etcd/server/v3
	cd $(CLUSTER) && go build -trimpath -ldflags '-s -w $(STANDS_FOR)' -o $(abspath $(@D))/ \
		k8s.io/kubernetes/cmd/kubectl k8s.io/kubernetes/cmd/kube-apiserver

.cluster/definitions: tests/cluster/definitions.py $(VENV)/test.stamp
	PYTHONPATH=. $(BIN)/python $< $@
	@touch $@

# In an environment of its own, as it brings a hundred packages; the tests find it on PATH.
.checkov/path/checkov: | $(VENV)/bin/python
	$(BIN)/python -m venv .checkov
	.checkov/bin/python -m pip install --quiet 'checkov>=3.3,<4'
	@mkdir -p .checkov/path
	@ln -sf ../bin/checkov $@

$(OPERATORS)/node_modules: $(OPERATORS)/package-lock.json
	npm ci --no-audit --no-fund --prefix $(OPERATORS)
	@touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 with venv is needed: install it, or name it with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
