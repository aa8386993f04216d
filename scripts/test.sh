#!/usr/bin/env bash
# Runs every test, with the race detector, and says at the end what was skipped and why. What is missing is installed where that
# is possible (Debian, as root); otherwise the tests that need it say so. TESTFLAGS is handed to go test, PACKAGES is
# what to test: by default all of this repository's modules, of which ./... would be the server's alone.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || {
	echo "test.sh: Go is missing: install Go 1.26 or newer, https://go.dev/dl" >&2
	exit 1
}

# What tests call beside Go: the race detector's C compiler, what README.md uses, the proxies and the browser of internal/proxied, and the
# servers of internal/testserver with what fetches those that Debian does not have.
missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v git >/dev/null || missing+=(git)
for tool in curl nginx haproxy caddy chromium; do
	command -v "$tool" >/dev/null || missing+=("$tool")
done
command -v redis-server >/dev/null || missing+=(redis-server)
command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
compgen -G '/usr/lib/jvm/*17*/bin/java' >/dev/null || missing+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "test.sh: installing ${missing[*]}"
	# Proxies and Redis are services, which no test wants to run: neither now nor at the next boot.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
	fi
	apt-get update -qq || true # the lists that are there may do
	# One package that cannot be had keeps none of the others from being installed.
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || for package in "${missing[@]}"; do
		apt-get install -y -qq --no-install-recommends "$package" >/dev/null || true
	done
	for service in nginx haproxy caddy redis-server; do
		[[ " ${missing[*]} " != *" $service "* ]] || systemctl disable "$service" >/dev/null 2>&1 || true
	done
fi

# Kept for later runs, in the user's cache folder. Where a registry is not reached, the tests that need its servers say so.
go run ./internal/testserver/fetch || echo "test.sh: not all servers of tests can be had" >&2

race=-race
command -v gcc >/dev/null || {
	echo "test.sh: there is no C compiler, which the race detector needs: testing without it" >&2
	race=
}

# -p 2: the tests of two packages at once; more of them only wait for each other on a small machine.
# shellcheck disable=SC2086 # flags and packages are lists
go run ./internal/testserver/share go test -json $race -p 2 -timeout 20m ${TESTFLAGS:-} ${PACKAGES:-ramen/...} | go run ./scripts/testreport
