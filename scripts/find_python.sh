#!/usr/bin/env bash
# Print the first Python of version $1 (3.11 by default) or later that runs and can make environments.
set -euo pipefail
least=${1:-3.11}

names=("${PYTHON:-python$least}" python3.11 python3.12 python3.13 python3.14 python3)
if command -v pyenv >/dev/null; then
    # Those that pyenv has installed and nobody has activated.
    names+=("$(pyenv root)"/versions/3.*/bin/python)
fi
for name in "${names[@]}"; do
    if "$name" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, ${least#3.}))" 2>/dev/null; then
        command -v "$name"
        exit
    fi
done
echo "No Python $least or later with venv was found. On Debian: apt-get install python3 python3-venv." >&2
echo "Elsewhere install Python $least, or name one: make PYTHON=/path/to/python$least ..." >&2
exit 1
