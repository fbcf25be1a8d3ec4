#!/usr/bin/env bash
# bioimageio.spec 0.5.12.0 allows every pydantic from 2.10.3 to below 3, and pip takes the newest. With pydantic 2.14.4 every
# resource that names a file is invalid, whatever it holds; with 2.11.10 the same description is valid.
source "$(dirname "$0")/_environment.sh" "bioimageio.spec==0.5.12.0" "pydantic==2.14.4"
cat > README.md <<'MARKDOWN'
# Validation
None.
MARKDOWN
cat > bioimageio.yaml <<'YAML'
format_version: 0.3.0
type: dataset
name: some cells
description: some cells
authors: [{name: unknown}]
license: MIT
cite: [{text: a work, url: "https://example.com"}]
documentation: README.md
YAML
cat > look.py <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import pydantic
from bioimageio.spec import load_description

found = load_description("bioimageio.yaml", perform_io_checks=False)
errors = [each.msg for part in found.validation_summary.details for each in part.errors]
print("pydantic", pydantic.VERSION, type(found).__name__, *errors)
assert type(found).__name__ == sys.argv[1], found
assert all("package_file_descr_serializer" in each for each in errors)
PYTHON
"$python" look.py InvalidDescr
"$python" -m pip install --quiet --disable-pip-version-check "pydantic==2.11.10"
"$python" look.py DatasetDescr
