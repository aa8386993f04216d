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
	cd "$root/clients/java"
	local version files jar
	version=$(sed -n 's/.* VERSION = "\(.*\)";/\1/p' client/src/main/java/ramen/client/Version.java)
	(cd "$root" && same java "$version")
	mvn -B -q -ntp -P release -DskipTests package
	cp pom.xml "$out/ramen-client-parent-$version.pom"
	for module in client grpc kotlin; do
		jar=ramen-client
		[ "$module" = client ] || jar=ramen-client-$module
		cp "$module/pom.xml" "$out/$jar-$version.pom"
		for kind in '' -sources -javadoc; do
			cp "$module/target/$jar-$version$kind.jar" "$out" || fail "clients/java/$module made no $jar-$version$kind.jar"
		done
		files=$(jar_list "$out/$jar-$version.jar")
		for f in META-INF/LICENSE META-INF/MANIFEST.MF; do has "java/$module" "$f" "$files"; done
		grep -q "^ramen/client/.*\.class\$" <<<"$files" || fail "the package of clients/java/$module has no class"
	done
	mkdir "$work/java" && cd "$work/java"
	cat >Use.java <<-'EOF'
		import ramen.client.*;
		import ramen.client.grpc.RamenGrpc;
		import ramen.client.publish.RamenPublisher;
		class Use {
		  public static void main(String[] args) {
		    RamenDevice.builder("http://127.0.0.1:1").user("u").device("d").grpc(RamenGrpc.devices("127.0.0.1:2")).build().close();
		    RamenPublisher.builder("http://127.0.0.1:1").build().close();
		    System.out.println("used " + Version.VERSION);
		  }
		}
	EOF
	# The libraries come from Maven; the client itself is what was packaged.
	mkdir lib && cp "$root"/clients/java/conformance/target/lib/*.jar lib && rm lib/ramen-client*
	command java -cp "$out/ramen-client-$version.jar:$out/ramen-client-grpc-$version.jar:lib/*" Use.java
}
jar_list() { python3 -m zipfile -l "$1" | awk '{print $1}'; }

for client in ${CLIENTS:-go web python java}; do
	case $client in
	web | python | java) "$client" ;;
	go) go_ ;;
	*) fail "$client is unknown; use go, web, python, java" ;;
	esac
	cd "$root"
done
(cd "$out" && ls -l && sha256sum -- * 2>/dev/null || true)
