#!/usr/bin/env bash
# Builds the client of clients/web for the console's device, and writes down of what: frontend/console/{ramen.min.js,sources.sum}. With -check
# it writes nothing, and fails where what is there is not what it would write.
set -euo pipefail
cd "$(dirname "$0")/../clients/web"
[ -d node_modules ] || npm ci --no-audit --no-fund --silent
npm run --silent build
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
cp dist/ramen.min.js "$made/"
{
	find src -type f -print0 | xargs -0 sha256sum package-lock.json scripts/build.mjs
	(cd "$made" && sha256sum ramen.min.js)
} | LC_ALL=C sort >"$made/sources.sum"
if [ "${1:-}" = -check ]; then
	for file in ramen.min.js sources.sum; do
		cmp "$made/$file" "../../frontend/console/$file" || {
			echo "frontend/console/$file is not of these sources: make console-client" >&2
			exit 1
		}
	done
else
	cp "$made"/* ../../frontend/console/
fi
