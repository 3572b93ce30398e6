#!/usr/bin/env bash
# Install the S3 server of the tests, a Ceph gateway, on Debian or Ubuntu: 61 MB to download, about 20 s. Needs root.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ceph-mon ceph-osd radosgw
