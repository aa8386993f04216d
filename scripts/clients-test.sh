#!/usr/bin/env bash
# Tests the clients: each one's own tests, and clients/SPEC.md by the suite of clients/conformance, as a table: one a client, and of
# all of them bin/table.md. CLIENTS names some of go, web, python, java.
# What is missing is installed by npm and pip, from the lock files, into folders of the clients; Maven has its own folder, in the user's home.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
failed=()
tables=()
table() { # name, adapter
	echo "== clients/conformance: $1"
	tables+=("bin/table-$1.md")
	bin/ramen conformance run --adapter "$2" | tee "bin/table-$1.md" || failed+=("$1")
}
for client in ${CLIENTS:-go web python java}; do
	case $client in
	go)
		go build -o bin/conformance-go ramen/clients/go/conformance
		table go "$root/bin/conformance-go"
		;;
	web)
		command -v npm >/dev/null || { echo "clients-test.sh: npm is missing: install Node 20 or newer" >&2; exit 1; }
		(cd clients/web && npm ci --no-audit --no-fund --silent && npm run --silent build && npm run --silent lint && RAMEN="$root/bin/ramen" npm test --silent) || failed+=("web's own tests")
		scripts/console-client.sh -check || failed+=("the console's copy of web's")
		table web "node $root/clients/web/conformance/adapter.mjs"
		;;
	python)
		command -v python3 >/dev/null || { echo "clients-test.sh: python3 is missing: install Python 3.9 or newer" >&2; exit 1; }
		(RAMEN_BINARY="$root/bin/ramen" clients/python/check.sh lint test build) || failed+=("python's own tests")
		table python "$root/clients/python/.venv/$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')/bin/python $root/clients/python/conformance/adapter.py"
		;;
	java)
		command -v mvn >/dev/null || { echo "clients-test.sh: mvn is missing: install Maven 3.8 and a JDK of 11 or newer" >&2; exit 1; }
		(cd clients/java && RAMEN_BINARY="$root/bin/ramen" mvn -B -q -ntp package) || failed+=("java's own tests")
		table java "java -cp $root/clients/java/conformance/target/classes:$root/clients/java/conformance/target/lib/* ramen.client.Adapter"
		;;
	*)
		echo "clients-test.sh: $client is unknown; use go, web, python, java" >&2
		exit 2
		;;
	esac
done
scripts/clients-table.sh "${tables[@]}" >bin/table.md # as in clients/README.md
if [ ${#failed[@]} -gt 0 ]; then
	printf 'clients-test.sh: failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
