#!/usr/bin/env bash
# Make the environment $1 and install this package in it with extras $2 (such as "[dev]") and the further packages after.
# Versions are those of constraints.txt; with NEWEST=1 that holds for torch alone, and the Python is 3.12 or later.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
extras=$2
shift 2
constraints=constraints.txt
if [[ -n ${NEWEST:-} ]]; then
    constraints=$(mktemp)
    trap 'rm -f "$constraints"' EXIT
    grep '^torch==' constraints.txt >"$constraints"
fi

if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(scripts/find_python.sh "${NEWEST:+3.12}")
    echo "Making $venv with $python"
    "$python" -m venv --clear "$venv"
fi

pip=("$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --constraint "$constraints")
if ! "$venv/bin/python" -m pip show --quiet torch 2>/dev/null; then
    echo "Installing torch in $venv (one large download)"
    "${pip[@]}" "$(grep '^torch==' constraints.txt)"
fi
echo "Installing napari-tileseg$extras and what it needs in $venv"
"${pip[@]}" --editable ".$extras" "$@"
touch "$venv/.installed"
