# The everyday tasks. CMakePresets.json has the rest: debug, asan, tsan.
.PHONY: help setup configure build build-tests test test-all fuzz demo bench results-pretraining results-oneshot results-learned format lint clean

help:
	@echo "make demo    set up, build, train dense and 2:4 sparse on real text, compare (some ten minutes)"
	@echo "make test    set up, build, run the tests"
	@echo "make build   set up, build build/twofour and build/libtwofour_ops.so"
	@echo "make fuzz    hostile bytes into every reader of files, FUZZ_SECONDS=60 each"
	@echo "make bench   ratios against PyTorch, tokenizers and dense libraries, JSON in build/bench"
	@echo "make results-pretraining  train all methods on ../shared's TinyStories, write docs/results (half an hour)"
	@echo "make results-oneshot  prune three small models by all methods, write docs/results (an hour)"
	@echo "make results-learned  learn the masks of the same models, write docs/results (up to an hour)"
	@echo "make format  clang-format every source;  make lint  clang-tidy the changed ones"
	@echo "make clean   remove build/ and demo/"

setup:
	@scripts/setup

configure: setup
	@cmake --preset release >build-configure.log 2>&1 || { cat build-configure.log; exit 1; }
	@mv build-configure.log build/configure.log

build: configure
	@cmake --build --preset release --target twofour twofour_ops

build-tests: configure
	@cmake --build --preset release

test: build-tests
	@ctest --preset release -LE slow -j 2

test-all: build-tests
	@ctest --preset release -j 2

fuzz: setup
	@scripts/fuzz

demo: configure
	@cmake --build --preset release --target twofour
	@scripts/demo

bench: build
	@.venv/bin/python bench/run.py

results-pretraining: build
	@.venv/bin/python bench/pretraining.py

results-oneshot: build
	@.venv/bin/python bench/oneshot.py

results-learned: build
	@.venv/bin/python bench/learned.py

format:
	@git ls-files '*.cc' '*.h' | xargs clang-format-14 -i

lint:
	@scripts/lint

clean:
	rm -rf build demo
