#!/usr/bin/env bash
# Install what the tests run against, on Debian or Ubuntu: an S3 server (a Ceph gateway), PostgreSQL and Chromium.
# About 200 MB to download, a minute. Needs root. What is there already is left as it is.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
declare -A packages=([radosgw]="ceph-mon ceph-osd radosgw" [initdb]="postgresql" [chromium]="chromium")
lacking=()
for program in "${!packages[@]}"; do
    if ! PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)" command -v "$program" >/dev/null; then
        read -ra names <<<"${packages[$program]}"
        lacking+=("${names[@]}")
    fi
done
if [ "${#lacking[@]}" -gt 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${lacking[@]}"
fi
