#!/usr/bin/env bash
# Runs every test, with the race detector, and says at the end what was skipped and why. What is missing is installed where that
# is possible (Debian, as root); otherwise the tests that need it say so. TESTFLAGS is handed to go test, PACKAGES is
# what to test.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || {
	echo "test.sh: Go is missing: install Go 1.26 or newer, https://go.dev/dl" >&2
	exit 1
}

# What tests call beside Go: the race detector's C compiler, and what README.md uses.
missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v git >/dev/null || missing+=(git)
command -v curl >/dev/null || missing+=(curl)
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "test.sh: installing ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

race=-race
command -v gcc >/dev/null || {
	echo "test.sh: there is no C compiler, which the race detector needs: testing without it" >&2
	race=
}

# -p 2: the tests of two packages at once; more of them only wait for each other on a small machine.
# shellcheck disable=SC2086 # flags and packages are lists
go test -json $race -p 2 -timeout 20m ${TESTFLAGS:-} ${PACKAGES:-./...} | go run ./internal/tools/testreport
