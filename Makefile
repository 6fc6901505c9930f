# SPDX-License-Identifier: Apache-2.0
# A thin front over meson. `make` builds build/perdure; `make help` lists the rest.
BUILD ?= build
# For meson setup, when the build folder is new: make MESON_OPTIONS=-Dwerror=true
MESON_OPTIONS ?=

.PHONY: all help setup demo test check-long bench lint docs install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null && command -v ninja >/dev/null || \
	  { echo "make: meson or ninja is missing; run: make setup" >&2; exit 1; }
	meson setup $(BUILD) $(MESON_OPTIONS)

help:
	@echo "make             build, into $(BUILD)/"
	@echo "make setup       install the Debian packages that are missing"
	@echo "make demo        kill a sqlite3 and a python3 job in the middle and resume them"
	@echo "make test        all suites, in some minutes"
	@echo "make check-long  the same at every kill point and with larger inputs, in some hours"
	@echo "make bench       what perdure costs, beside the bare programs"
	@echo "make lint        cppcheck, shellcheck, and what this project's code promises"
	@echo "make docs        the pages that are made from tables"
	@echo "make install     with meson; DESTDIR is respected"
	@echo "make clean       remove what was built"

setup:
	.ci/setup

# demo, test and bench bring what they need. The build follows setup, also with -j.
demo: setup
	@$(MAKE) --no-print-directory all
	examples/demo.sh $(BUILD)

test: setup
	@$(MAKE) --no-print-directory all
	tests/run-tests $(BUILD) unit cli replay crash fuzz

check-long: setup
	@$(MAKE) --no-print-directory all
	tests/run-tests --long $(BUILD) unit cli replay crash fuzz

bench: setup
	@$(MAKE) --no-print-directory all
	bench/run $(BUILD)

lint: setup
	@$(MAKE) --no-print-directory all
	tests/run-tests $(BUILD) lint

docs: all
	ninja -C $(BUILD) docs

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	@if [ -f $(BUILD)/build.ninja ]; then ninja -C $(BUILD) clean; fi
