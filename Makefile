# `make demo` and `make test` set up everything they need; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
JOBS := $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 8 ] && n=8; echo $$n)
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_SIGNBIN_BUILD_DIR := build/dev
BUILD := $(TF_SIGNBIN_BUILD_DIR)

.PHONY: help setup demo test test-all ctest pytest lint format docs results bazel-test wheel clean \
  asan-build ubsan-build tsan-build asan ubsan tsan fuzz fuzz-models fuzz-convert \
  matrix cross-test android-check

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## Debian packages, .venv, Python packages, delegate
	@tools/setup.sh

demo: setup  ## train, convert and measure a small network; table and PNG in out/
	@$(PY) examples/train_resnet.py --demo

test: setup ctest pytest  ## all fast tests, C++ and Python

test-all: PYTEST_MARK :=
test-all: export TEST_SEED ?= random
test-all: setup ctest pytest  ## the slow tests too

PYTEST_MARK := -m "not slow"
pytest: setup
	@$(PY) -m pytest -n $(shell n=$(JOBS); [ $$n -gt 4 ] && n=4; echo $$n) --dist loadfile -q $(PYTEST_MARK)

ctest: setup
	@cmake -S delegate -B $(BUILD) -DTF_SIGNBIN_BUILD_TESTS=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure

lint: setup  ## ruff, mypy, clang-format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@find delegate -name '*.cc' -o -name '*.h' | xargs .venv/bin/clang-format --dry-run -Werror

format: setup  ## let ruff and clang-format rewrite the sources
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
	@find delegate -name '*.cc' -o -name '*.h' | xargs .venv/bin/clang-format -i

results: setup  ## measure the figures and pictures of README and docs again
	@$(PY) tools/results.py --measure

docs: setup .venv/.tf_signbin_docs  ## build the site into site/, warnings are errors
	@$(PY) -m mkdocs build --strict --quiet

.venv/.tf_signbin_docs: pyproject.toml
	@$(PY) -m pip install --quiet --disable-pip-version-check \
	  "mkdocs-material>=9.5,<10" "mkdocstrings[python]>=0.26,<2"
	@touch $@

# Not under build/*/, where the tests look for a delegate that Python can load. Checks of addresses
# are calls: inlined, they take Clang a quarter of an hour in the largest kernels.
SANITIZED := build/sanitized
CLANG_FLAGS := -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_CXX_FLAGS_RELEASE="-O1 -gline-tables-only -mllvm -asan-instrumentation-with-call-threshold=0"
asan-build: SANITIZER := address,undefined,fuzzer-no-link -DTF_SIGNBIN_BUILD_FUZZ=ON $(CLANG_FLAGS)
ubsan-build: SANITIZER := undefined -DTF_SIGNBIN_WERROR=OFF -DCMAKE_CXX_FLAGS_RELEASE="-O1 -g1 -w"
tsan-build: SANITIZER := thread -DCMAKE_CXX_FLAGS_RELEASE="-O1 -g1 -Wno-tsan"
asan-build ubsan-build tsan-build: %-build: setup
	@cmake -S delegate -B $(SANITIZED)/$* -DTF_SIGNBIN_SANITIZE=$(SANITIZER) >/dev/null
	@cmake --build $(SANITIZED)/$* -j $(JOBS)

asan:  ## C++ and Python tests with AddressSanitizer, LeakSanitizer and UBSan (needs clang)
ubsan:  ## the same with UBSan alone
tsan:  ## the same with ThreadSanitizer
# ThreadSanitizer knows no threads after a fork, and keeps some memory for each thread that there was.
tsan: CTEST_ARGS := -E InAForkedChild
tsan: PYTEST_ARGS := -k "not fork and not leak and not keeps_memory"
asan ubsan tsan: %: %-build
	@ctest --test-dir $(SANITIZED)/$* -j $(JOBS) --output-on-failure --timeout 1800 $(CTEST_ARGS)
	@tools/sanitized_pytest.sh $* $(SANITIZED)/$* tests/delegate tests/reliability $(PYTEST_ARGS)

SECONDS ?= 300
fuzz: asan-build  ## libFuzzer over hostile operators for SECONDS=300 (needs clang)
	@mkdir -p $(SANITIZED)/corpus
	@$(SANITIZED)/asan/fuzz/write_seeds $(SANITIZED)/corpus 400
	@$(SANITIZED)/asan/fuzz/op_fuzz -max_total_time=$(SECONDS) -max_len=16384 -timeout=20 \
	  -print_final_stats=1 -artifact_prefix=$(SANITIZED)/ $(SANITIZED)/corpus

fuzz-models: setup  ## mutated .tflite files in the real runtime for SECONDS=300
	@$(PY) tools/fuzz_models.py --seconds $(SECONDS)

fuzz-convert: setup  ## libFuzzer (atheris) over the converter and the inspector for SECONDS=300
	@$(PY) -c "import atheris" 2>/dev/null || \
	  $(PY) -m pip install --quiet --disable-pip-version-check "atheris>=2.3,<4"
	@$(PY) tools/fuzz_convert.py -max_total_time=$(SECONDS) -print_final_stats=1

cross-test: setup  ## C++ tests and real runtimes on emulated Arm cores; ARCH=aarch64 or armv7
	@$(PY) tools/cross_test.py $(or $(ARCH),aarch64)

android-check: setup  ## build for Android (without an NDK: with stand-ins) and check the libraries
	@$(PY) tools/android_check.py

matrix: setup  ## one delegate and one model under every supported TFLite runtime
	@$(PY) tools/matrix.py

bazel-test: setup  ## build and test with Bazel (Debian: bazel-bootstrap), without network
	@command -v bazel >/dev/null || { echo "install Bazel: sudo apt-get install bazel-bootstrap"; exit 1; }
	@PATH=$(CURDIR)/.venv/bin:$$PATH bazel test --jobs=$(JOBS) --test_env=PATH //...

wheel: setup  ## dist/*.whl with the delegate inside; ARCH=x86_64, aarch64 or armv7
	@$(PY) tools/build_wheel.py $(or $(ARCH),$(shell uname -m))

clean:  ## remove build products (keeps .venv)
	rm -rf build dist out site *.egg-info tf_signbin/runtime/*.so
