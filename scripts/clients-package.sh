#!/usr/bin/env bash
# Makes the packages of the clients as they would be published, looks at what is in them, and uses them from outside the repository. It
# publishes nothing: .github/workflows/clients-publish.yml does, from what this has made. CLIENTS names some of go, web, python, java;
# OUT is the folder for packages (default: bin/packages).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=${OUT:-$root/bin/packages}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "clients-package.sh: $1" >&2; exit 1; }
# same CLIENT VERSION: the changelog's newest entry is of this version.
same() {
	local newest
	newest=$(sed -n 's/^## \([^ ]*\).*/\1/p' "clients/$1/CHANGELOG.md" | head -n 1)
	[ "$newest" = "$2" ] || fail "clients/$1 is of version $2, and the newest entry of its CHANGELOG.md is $newest"
	echo "$1 $2"
}
has() { # has CLIENT FILE LIST: a package has a file
	grep -qE "(^|/)$2\$" <<<"$3" || fail "the package of clients/$1 has no $2"
}

web() {
	cd "$root/clients/web"
	[ -d node_modules ] || npm ci --no-audit --no-fund --silent
	local version archive files
	version=$(node -p 'require("./package.json").version')
	grep -q "version = '$version'" src/device.ts || fail "clients/web/src/device.ts tells servers another version than $version"
	(cd "$root" && same web "$version")
	archive=$(npm pack --silent --pack-destination "$out")
	files=$(tar -tzf "$out/$archive")
	for f in LICENSE README.md CHANGELOG.md package.json index.d.ts; do has web "$f" "$files"; done
	mkdir "$work/web" && cd "$work/web"
	npm init -y >/dev/null
	npm install --no-audit --no-fund --silent "$out/$archive"
	node --input-type=module -e 'import { connect, version } from "ramen-client"; import { Publisher } from "ramen-client/publisher"; if (!connect || !Publisher) process.exit(1); console.log("imported", version)'
	node -e 'if (!require("ramen-client").connect) process.exit(1)'
}

python() {
	cd "$root/clients/python"
	./check.sh build
	local version files
	version=$(sed -n 's/^VERSION = "\(.*\)"/\1/p' src/ramen_client/_version.py)
	(cd "$root" && same python "$version")
	files=$(python3 -m zipfile -l "dist/ramen_client-$version-py3-none-any.whl" | awk '{print $1}')
	for f in LICENSE METADATA py.typed; do has python "$f" "$files"; done
	has python CHANGELOG.md "$(tar -tzf "dist/ramen_client-$version.tar.gz")"
	cp dist/* "$out"
}

# A module is published by a tag: what go list says of it is all there is to make.
go_() {
	cd "$root/clients/go"
	local version
	version=$(sed -n 's/^const Version = "\(.*\)"/\1/p' platform.go)
	[ ! -e CHANGELOG.md ] || (cd "$root" && same go "$version")
	go list -f '{{.ImportPath}}' ./... >/dev/null
	go list -m
	go vet .
}

java() {
	[ -e "$root/clients/java/pom.xml" ] || { echo "clients-package.sh: clients/java has no pom.xml" >&2; return; }
	cd "$root/clients/java"
	mvn -B -q -DskipTests package source:jar javadoc:jar
	find . -path '*/target/*.jar' ! -name 'original-*' -exec cp {} "$out" \;
	compgen -G "$out/*-sources.jar" >/dev/null || fail "clients/java made no jar of sources"
	compgen -G "$out/*-javadoc.jar" >/dev/null || fail "clients/java made no jar of javadoc"
}

for client in ${CLIENTS:-go web python java}; do
	case $client in
	web | python | java) "$client" ;;
	go) go_ ;;
	*) fail "$client is unknown; use go, web, python, java" ;;
	esac
	cd "$root"
done
(cd "$out" && ls -l && sha256sum -- * 2>/dev/null || true)
