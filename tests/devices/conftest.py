"""A real ssh server on loopback, with keys and a client configuration of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekd.devices.ssh import Ssh

SSHD = shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if Path(path).exists()), None)


@dataclass
class Server:
    """sshd, and the `ssh -F` file that leads to it as the host `board`."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def client(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def home(self) -> Path:
        """The folder on the device."""
        return self.folder / "device"

    def device(self, **options: object) -> Ssh:
        defaults: dict[str, object] = {
            "use": "ssh",
            "host": "board",
            "config": self.client,
            "python": sys.executable,
            "folder": str(self.home),
        }
        return Ssh.model_validate({**defaults, **options})

    def left(self) -> list[str]:
        """What stands in the device's folder, beside the files that are kept."""
        return sorted(path.name for path in self.home.glob("*") if path.name != "edgekd-files")

    def sessions(self) -> list[int]:
        """The server's processes that hold a connection."""
        return [pid for pid, parent in _parents().items() if parent == self.process.pid]

    def drop_connections(self) -> None:
        for pid in self.sessions():
            for child, parent in _parents().items():
                if parent == pid and "sshd" in Path(f"/proc/{child}/comm").read_text():
                    os.kill(child, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd: install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host_key", "user_key", "stranger_key"):
        make_key(folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.copyfile(folder / "user_key.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    host_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "ssh_config").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder / 'user_key'}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it leaves its rights behind
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        yield Server(folder, port, process)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.skip(f"sshd does not start here: {log.read_text().strip()[-200:]}")
