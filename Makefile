# Two commands: `make up` sets up and runs Skerry, `make test` runs all tests. The rest is for those who work on it.
SUITE ?= all
WHAT ?= all

.PHONY: up down test test-vm fuzz soak bench build lint images prepare
up:
	@scripts/up
down:
	@scripts/down
test:
	@scripts/test $(SUITE)
test-vm:
	@scripts/test-vm
fuzz:
	@scripts/fuzz
soak:
	@scripts/soak
bench:
	@scripts/bench $(WHAT)
build:
	@scripts/prepare
	@scripts/build release
lint:
	@scripts/lint
images:
	@scripts/prepare
	@images/build
prepare:
	@scripts/prepare
