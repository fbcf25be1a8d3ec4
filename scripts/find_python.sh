#!/usr/bin/env bash
# Print the first Python 3.11 or later that runs and can make environments.
set -euo pipefail

for name in "${PYTHON:-python3.11}" python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$name"
        exit
    fi
done
echo "No Python 3.11 or later with venv was found. On Debian: apt-get install python3 python3-venv." >&2
echo "Elsewhere install Python 3.11, or name one: make PYTHON=/path/to/python3.11 ..." >&2
exit 1
