#!/usr/bin/env bash
# Checks and tests the Python client. It makes an environment of its own in .venv/ from requirements-dev.txt. What to do can be
# named: lint, test, build, docs; by default all of it. PYTHON is the interpreter.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
venv=.venv/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! cmp -s requirements-dev.txt "$venv/requirements" 2>/dev/null; then
	"$python" -m venv --clear "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	cp requirements-dev.txt "$venv/requirements"
fi
run() { "$venv/bin/python" -m "$@"; }
export PYTHONPATH=$PWD/src

for what in ${*:-lint test build docs}; do
	case $what in
	lint)
		run ruff check .
		run ruff format --check .
		run mypy --no-incremental
		;;
	test) run pytest -q ${TESTFLAGS:-} ;;
	build) # what would be published, and that it can be imported where it is all there is
		rm -rf dist
		run build --no-isolation --outdir dist . >/dev/null
		"$python" -m venv --clear .venv/wheel
		.venv/wheel/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index dist/*.whl
		(unset PYTHONPATH && .venv/wheel/bin/python -c 'import ramen_client; print("built", ramen_client.__version__)')
		;;
	docs)
		rm -rf docs
		run pdoc --docformat markdown --no-show-source -o docs ramen_client
		;;
	*)
		echo "check.sh: $what is unknown; use lint, test, build, docs" >&2
		exit 2
		;;
	esac
done
