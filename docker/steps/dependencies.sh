#!/bin/sh
# Makes the environment and fills it with exactly what the lock names: every file checked against its hash.
set -eu
environment="${IMAGE_ROOT:-}/opt/rolegate"
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/python" -m pip --disable-pip-version-check --no-input install --quiet \
    --require-hashes -r requirements/run.lock
