#!/usr/bin/env bash
# What must hold before a commit: format, vet, staticcheck, generated code and go.mod up to date. The import arrows are a test.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	echo "not formatted, run make format:" $unformatted >&2
	exit 1
fi

go vet ./...
go tool staticcheck ./...
go test ./internal/arrows/

# Generated code and go.mod are made anew in a copy and compared, so that a check changes nothing.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy" 2>/dev/null || true
(cd "$copy" && go generate ./... && go mod tidy)
for f in go.mod go.sum $(git ls-files '*.pb.go'); do
	if ! cmp -s "$f" "$copy/$f"; then
		echo "$f is out of date: run make generate, and go mod tidy" >&2
		exit 1
	fi
done
echo "check: all is well"
