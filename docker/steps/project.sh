#!/bin/sh
# Installs the project as a wheel. What it needs is there already, the build backend included, so nothing is fetched.
set -eu
environment="${IMAGE_ROOT:-}/opt/rolegate"
"$environment/bin/python" -m pip --disable-pip-version-check --no-input install --quiet \
    --no-index --no-deps --no-build-isolation .
"$environment/bin/python" -m pip --disable-pip-version-check check
