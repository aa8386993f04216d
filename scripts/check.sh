#!/usr/bin/env bash
# What must hold before a commit. It changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
step() { # step NAME COMMAND…: runs all steps, whatever fails
	local name=$1
	shift
	if "$@"; then
		echo "ok    $name"
	else
		echo "FAIL  $name" >&2
		failed=1
	fi
}

# shellcheck disable=SC2317 # step calls it
formatted() {
	local files
	files=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l)
	[ -z "$files" ] || {
		printf 'not formatted, run make format:\n%s\n' "$files" >&2
		return 1
	}
}

step "format" formatted
step "vet" go vet ramen/... # with the modules beside the server's, which ./... leaves out
step "staticcheck" go tool staticcheck ramen/...
step "import arrows" go test ./internal/arrows/
step "generated code (else: make generate)" go run ramen/scripts/protogen -check protocol/ramenpb/ramen.proto link/linkgrpc/linkpb/link.proto
for module in . protocol clients/go; do
	step "go.mod of $module (else: go -C $module mod tidy)" go -C $module mod tidy -diff
done
exit "$failed"
