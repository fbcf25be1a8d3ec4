#!/usr/bin/env bash
# Make the environment $1 and install this package in it with extras $2 (such as "[dev]") and the further packages after.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
extras=$2
shift 2

if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(scripts/find_python.sh)
    echo "Making $venv with $python"
    "$python" -m venv --clear "$venv"
fi

pip=("$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt)
if ! "$venv/bin/python" -m pip show --quiet torch 2>/dev/null; then
    echo "Installing torch in $venv (one large download)"
    "${pip[@]}" "$(grep '^torch==' constraints.txt)"
fi
echo "Installing napari-tileseg$extras and what it needs in $venv"
"${pip[@]}" --editable ".$extras" "$@"
touch "$venv/.installed"
