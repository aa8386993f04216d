#!/usr/bin/env bash
# Fuzzes every target for FUZZTIME (default 30s) each.
set -euo pipefail
cd "$(dirname "$0")/.."

grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do
	grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | awk '{print $2}' | while read -r target; do
		echo "== $dir $target"
		go -C "$dir" test . -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" </dev/null
	done
done
