"""A real S3 server for the tests: a Ceph gateway over one in-memory disk, as child processes on loopback ports.

`tests/install-services.sh` installs the three programs. Up in two or three seconds, gone with the `with` block; needs
no root, no container and no network. The programs end when the test process does, however it ends.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "testaccess", "a+secret/that-nobody+tells"  # recognisable in any output
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "setpriv")
_START_SECONDS = 90

# No keys between the programs: they listen on loopback only, and the gateway's own insistence on encrypted talk with
# the monitor (`secure`) cannot be met without keys. Without the two paxos waits a start takes ten seconds longer, and
# without tcp_nodelay every request waits 40 ms. The threads switched off clean up what nobody keeps here.
_CONF = """[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
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
run dir = {folder}
admin socket =
log file =
log to stderr = true
err to stderr = true
mon cluster log to file = false
mon cluster log to stderr = false
mon allow pool size one = true
mon allow pool delete = true
mon data avail crit = 1
mon data = {folder}/mon
paxos propose interval = 0.05
paxos min wait = 0.01
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable gc threads = false
rgw enable lc threads = false
rgw enable usage log = false
rgw enable ops log = false
rgw dynamic resharding = false
rgw run sync thread = false
"""


@dataclass(frozen=True)
class Endpoint:
    """URL and credentials of an S3 server."""

    url: str
    access_key: str
    secret_key: str


def missing_programs() -> list[str]:
    """Return the names of missing programs."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until `port` answers.

    Raises:
        RuntimeError: The process ended or the time is over; with the end of its log.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"no server on port {port} (exit status {process.poll()}); its log ends\n{_tail(log)}")


@contextlib.contextmanager
def run_gateway() -> Iterator[Endpoint]:
    """Run an empty S3 gateway with one user; its content is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rgw-", ignore_cleanup_errors=True) as name:
        gateway = _Gateway(Path(name))
        try:
            yield gateway.start()
        finally:
            gateway.stop()


class _Gateway:
    """Monitor, disk and gateway of one cluster, with their files in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.mon_port, self.port = free_port(), free_port()
        self.fsid = str(uuid.uuid4())
        self.conf = folder / "ceph.conf"
        self.children: list[subprocess.Popen[bytes]] = []
        values = {"fsid": self.fsid, "folder": folder, "mon_port": self.mon_port, "port": self.port}
        self.conf.write_text(_CONF.format(**values))
        for data in ("mon", "osd", "rgw"):
            (folder / data).mkdir()

    def start(self) -> Endpoint:
        self._start_monitor()
        self._start_disk()
        user = ("--uid=test", "--display-name=test", f"--access-key={ACCESS_KEY}", f"--secret={SECRET_KEY}")
        self._call("radosgw-admin", "user", "create", *user)
        gateway = self._spawn("radosgw", "-n", "client.rgw")
        wait_for_port(self.port, gateway, self.folder / "radosgw.log")
        return Endpoint(f"http://127.0.0.1:{self.port}", ACCESS_KEY, SECRET_KEY)

    def stop(self) -> None:
        for child in reversed(self.children):  # nothing is kept, so they need not shut down in order
            child.kill()
        for child in self.children:
            child.wait()

    def _start_monitor(self) -> None:
        monmap = str(self.folder / "monmap")
        address = f"[v2:127.0.0.1:{self.mon_port}/0]"
        self._call("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monmap)
        self._call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        monitor = self._spawn("ceph-mon", "-i", "a")
        wait_for_port(self.mon_port, monitor, self.folder / "ceph-mon.log")

    def _start_disk(self) -> None:
        disk = str(uuid.uuid4())
        self._call("ceph", "--connect-timeout", "30", "osd", "new", disk)
        self._call("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", disk)
        self._spawn("ceph-osd", "-i", "0")

    def _call(self, program: str, *args: str) -> None:
        command = [program, "--conf", str(self.conf), *args]
        if program == "monmaptool":
            command = [program, *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")

    def _spawn(self, program: str, *args: str) -> subprocess.Popen[bytes]:
        command = ["setpriv", "--pdeathsig", "KILL", program, "--conf", str(self.conf), "-f", *args]
        with (self.folder / f"{program}.log").open("wb") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.children.append(child)
        return child


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
