#!/bin/sh
# What the final stage needs of the system: the OpenMP runtime that the embedded engine links to, a user without rights, and
# the folders that user may write to.
set -eu
root="${IMAGE_ROOT:-}"
if [ -z "$root" ]; then
    apt-get update
    apt-get install --yes --no-install-recommends libgomp1
    rm -rf /var/lib/apt/lists/*
    groupadd --gid 10001 rolegate
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/rolegate --no-create-home --shell /usr/sbin/nologin rolegate
fi
for folder in /etc/rolegate /var/lib/rolegate /var/lib/rolegate/state /var/lib/rolegate/data; do
    mkdir -p "$root$folder"
    if [ "$(id -u)" = 0 ]; then chown 10001:10001 "$root$folder"; fi
done
