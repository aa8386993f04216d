#!/usr/bin/env bash
# Runs every test with the race detector. TESTFLAGS is handed to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

# -p 2: the tests of two packages at once; more of them only wait for each other on a small machine.
exec go test -race -p 2 -timeout 15m ${TESTFLAGS:-} ./...
