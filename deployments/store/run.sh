#!/bin/bash
# Run a Ceph monitor, one disk in a file and an S3 gateway until one of them ends or a signal stops them. STORE_DATA keeps
# one copy of the data. Only the gateway listens beyond this container or machine.
set -euo pipefail
: "${STORE_ACCESS_KEY:?}" "${STORE_SECRET_KEY:?}"
data=${STORE_DATA:-/var/lib/store}
listen=${STORE_LISTEN:-0.0.0.0:7480}
monitor=${STORE_MONITOR:-127.0.0.1:3300}
export CEPH_CONF="$data/ceph.conf"

# The three programs have no keys, so the gateway must not require an encrypted connection to the monitor (`secure`).
# Without the two paxos settings a start takes ten seconds longer, without tcp_nodelay every request waits 40 ms.
write_conf() {
    [ -s "$data/fsid" ] || cat /proc/sys/kernel/random/uuid >"$data/fsid"
    cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat "$data/fsid")
mon host = v2:$monitor
mon initial members = a
public addr = 127.0.0.1
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc secure
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
run dir = /tmp
admin socket =
log file =
debug rocksdb = 0/0
debug bluestore = 0/0
debug osd = 0/0
log to stderr = true
err to stderr = true
mon cluster log to file = false
mon cluster log to stderr = false
mon allow pool size one = true
mon data avail crit = 1
mon data = $data/mon
paxos propose interval = 0.05
paxos min wait = 0.01
osd data = $data/osd
osd objectstore = bluestore
bluestore block size = ${STORE_BYTES:-107374182400}
osd memory target = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
rgw data = $data/rgw
rgw frontends = beast endpoint=$listen tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
rgw run sync thread = false
CONF
}

make_monitor() {
    mkdir -p "$data/mon"
    [ -e "$data/mon/store.db" ] && return
    monmaptool --create --clobber --fsid "$(cat "$data/fsid")" --addv a "[v2:$monitor/0]" "$data/monmap" >/dev/null
    ceph-mon --mkfs -i a --monmap "$data/monmap"
}

make_disk() {
    mkdir -p "$data/osd"
    [ -e "$data/osd/ready" ] && return
    [ -s "$data/disk" ] || cat /proc/sys/kernel/random/uuid >"$data/disk"
    ceph --connect-timeout 60 osd new "$(cat "$data/disk")" >/dev/null
    ceph-osd --mkfs -i 0 --osd-uuid "$(cat "$data/disk")" 2>/dev/null
}

put_user() {
    local keys=(--uid=artbank "--access-key=$STORE_ACCESS_KEY" "--secret=$STORE_SECRET_KEY")
    if radosgw-admin user info --uid=artbank >/dev/null 2>&1; then
        radosgw-admin user modify "${keys[@]}" >/dev/null
    else
        radosgw-admin user create --display-name=artbank "${keys[@]}" >/dev/null
    fi
}

stop() {
    trap - TERM INT EXIT
    for child in "$@"; do # the monitor last: a disk without its monitor takes long to stop
        kill -TERM "$child" 2>/dev/null && wait "$child" || true
    done
}

write_conf
mkdir -p "$data/rgw"
make_monitor
ceph-mon -i a -f &
mon=$!
trap 'stop $mon; exit 143' TERM INT
make_disk
ceph-osd -i 0 -f &
osd=$!
trap 'stop $osd $mon; exit 143' TERM INT
put_user
radosgw -n client.rgw -f &
rgw=$!
trap 'stop $rgw $osd $mon; exit 143' TERM INT
trap 'stop $rgw $osd $mon' EXIT
wait -n || true # until the first one ends
echo "one of the store's programs has ended; the others are stopped" >&2
exit 1
