"""The program that keeps a folder on a device for as long as the host holds the line; standard library only.

It is sent over the connection and never installed. The host asks on standard input, one JSON line a request, some
with bytes behind them, and reads answers of the same form from standard output. When the line closes, or nothing
has come for LEASE_S, the program that runs is killed and the folder removed: whatever broke on the host's side
leaves nothing behind. It runs on Pythons that the agent would refuse, so that it can say so.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import util
from pathlib import Path
from typing import IO, Any

LEASE_S = 60
GRACE_S = 5
LOOK_S = 0.002
LAST_WORD_S = 1
LONGEST_LINE = 1 << 20
LARGEST_FILE = 1 << 31
PIECE = 1 << 16
ERRORS_KEPT = 4000


class GoneError(Exception):
    """The host is no longer there."""


class Line:
    """Standard input and output as requests and answers."""

    def __init__(self) -> None:
        self.pending = b""
        self.lock = threading.Lock()

    def more(self) -> None:
        ready, _, _ = select.select([0], [], [], LEASE_S)
        piece = os.read(0, PIECE) if ready else b""
        if not piece:
            raise GoneError
        self.pending += piece

    def request(self) -> dict[str, Any]:
        while b"\n" not in self.pending:
            self.more()
        line, _, self.pending = self.pending.partition(b"\n")
        found: dict[str, Any] = json.loads(line.decode())
        return found

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            if not self.pending:
                self.more()
            piece, self.pending = self.pending[:size], self.pending[size:]
            size -= len(piece)
            yield piece

    def answer(self, content: dict[str, Any], payload: IO[bytes] | None = None) -> None:
        with self.lock:
            self.write(json.dumps(content).encode() + b"\n")
            while payload is not None:
                piece = payload.read(PIECE)
                if not piece:
                    break
                self.write(piece)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]


class Keeper:
    """The folder, the files of earlier visits beside it, and the program that runs in it."""

    def __init__(self, line: Line, home: Path, keep_bytes: int) -> None:
        self.line = line
        self.keep_bytes = keep_bytes
        private(home)
        self.files = home / "edgekd-files"
        self.files.mkdir(mode=0o700, exist_ok=True)
        entrance = os.open(str(home), os.O_RDONLY)
        fcntl.flock(entrance, fcntl.LOCK_EX)  # no other visit takes the new folder for one left behind
        for left in home.glob("edgekd-work-*"):
            if self.held(left) is not None:
                shutil.rmtree(str(left), ignore_errors=True)  # of a visit that could not clean up
        self.work = Path(tempfile.mkdtemp(prefix="edgekd-work-", dir=str(home)))
        self.hold = self.held(self.work)
        os.close(entrance)
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def held(folder: Path) -> int | None:
        """A descriptor that holds the folder, or None when somebody else does."""
        descriptor = os.open(str(folder), os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def use(self, request: dict[str, Any]) -> None:
        """Takes a file that an earlier visit left, if it is still the same."""
        kept = self.files / request["sha256"]
        known = kept.is_file() and digest(kept) == request["sha256"]
        if known:
            os.utime(str(kept))
            link(kept, self.inside(request["name"]))
        self.line.answer({"known": known})

    def send(self, request: dict[str, Any]) -> None:
        path = self.inside(request["name"])
        part = path.with_name(path.name + ".part")
        hasher = hashlib.sha256()
        failure: OSError | None = None
        with part.open("wb") as stream:
            for piece in self.line.pieces(request["size"]):
                hasher.update(piece)
                try:
                    if failure is None:
                        stream.write(piece)
                        stream.flush()
                except OSError as error:
                    failure = error
        if failure is not None:
            part.unlink()
            raise failure
        if hasher.hexdigest() != request["sha256"]:
            part.unlink()
            self.line.answer({"error": "what arrived is not what was sent", "errno": 0})
            return
        part.rename(path)
        if request["keep"] and self.keep_bytes:
            self.keep(path, request["sha256"])
        self.line.answer({})

    def gather(self, request: dict[str, Any]) -> None:
        """Makes a folder of files that are there: their paths in it, each with the file's name."""
        folder = self.inside(request["name"])
        places = [(below(folder, place), self.inside(name)) for place, name in request["files"].items()]
        for place, path in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            link(path, place)
        self.line.answer({})

    def keep(self, path: Path, sha256: str) -> None:
        """Leaves a file for the next visit, where there is room for it."""
        part = self.files / f"{sha256}.{self.work.name}"
        with suppress(OSError):
            link(path, part)
            part.rename(self.files / sha256)

    def fetch(self, request: dict[str, Any]) -> None:
        path = self.inside(request["name"])
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise OSError(errno.EINVAL, "what ran there has left no file, or too large a one", request["name"])
        with path.open("rb") as stream:
            self.line.answer({"size": path.stat().st_size, "sha256": digest(path)}, stream)
        path.unlink()

    def run(self, request: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            request["argv"],
            stdin=subprocess.PIPE,  # it closes when this process ends, however it does: see agent/leash.py
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=str(self.work),
            start_new_session=True,
        )
        threading.Thread(target=self.follow, args=(self.process,), daemon=True).start()

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Hands on each line of the program that runs, a very long one in parts, then how it ended."""
        assert process.stdout is not None
        assert process.stderr is not None
        errors = bytearray()
        reader = threading.Thread(target=keep_end, args=(process.stderr, errors), daemon=True)
        reader.start()
        for line in iter(lambda: process.stdout.readline(LONGEST_LINE), b""):  # type: ignore[union-attr]
            self.line.answer({"line": line.decode(errors="replace").rstrip("\n")})
        deadline = time.monotonic() + GRACE_S
        while not has_ended(process) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        kill(process)
        reader.join(LAST_WORD_S)
        tail = bytes(errors).decode(errors="replace").strip()
        self.line.answer({"ended": process.returncode, "errors": tail})

    def stop(self, _request: dict[str, Any]) -> None:
        if self.process is not None:
            kill(self.process)

    def beat(self, _request: dict[str, Any]) -> None:
        pass

    def inside(self, name: str) -> Path:
        if "/" in name:
            raise OSError(errno.EINVAL, "not a plain name", name)
        return below(self.work, name)

    def close(self) -> None:
        if self.process is not None:
            kill(self.process)
        shutil.rmtree(str(self.work), ignore_errors=True)
        with suppress(FileNotFoundError):  # another visit removed it
            kept = sorted(self.files.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            total = 0
            for path in kept:
                total += path.stat().st_size
                if total > self.keep_bytes:
                    path.unlink()
        if not self.keep_bytes:
            for folder in (self.files, self.files.parent):
                with suppress(OSError):  # another visit is there
                    folder.rmdir()


def below(folder: Path, name: str) -> Path:
    """The path of a name in a folder, which it cannot leave."""
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise OSError(errno.EINVAL, "not a plain name", name)
    return folder / name


def private(folder: Path) -> None:
    """Makes the folder, or takes one that nobody else can look into or prepare."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise OSError(errno.EPERM, "the folder is there already and open to others", str(folder))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a program and whatever it has started."""
    if process.returncode is None:  # else its number may be another's by now
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has; it is not waited for, so that its number stays its own."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # `stop` has waited for it
        return True


def keep_end(stream: IO[bytes], kept: bytearray) -> None:
    """Reads a stream to its end; its last bytes are in `kept`."""
    for piece in iter(lambda: os.read(stream.fileno(), PIECE), b""):
        kept += piece
        del kept[:-ERRORS_KEPT]


def link(source: Path, target: Path) -> None:
    """A second name for a file, a copy where the file system has no such thing."""
    try:
        os.link(str(source), str(target))
    except OSError:
        shutil.copyfile(str(source), str(target))


def digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in iter(lambda: stream.read(PIECE), b""):
            hasher.update(piece)
    return hasher.hexdigest()


def greeting() -> dict[str, Any]:
    """What of this Python the agent needs to know; `managed`: pip refuses to install into it."""
    stdlib = Path(os.__file__).parent
    return {
        "python": sys.executable,
        "version": list(sys.version_info[:3]),
        "missing": [name for name in ("numpy", "onnxruntime") if util.find_spec(name) is None],
        "managed": (stdlib / "EXTERNALLY-MANAGED").exists() and sys.prefix == sys.base_prefix,
    }


def gone(_signal: int, _frame: object) -> None:
    raise GoneError


def main(home: str, keep_bytes: int) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, gone)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    line = Line()
    try:
        keeper = Keeper(line, Path(home).expanduser(), keep_bytes)
    except OSError as error:
        line.answer({"error": error.strerror or str(error), "errno": error.errno, "path": str(error.filename or home)})
        return
    try:
        line.answer(dict(greeting(), work=str(keeper.work)))
        tasks = {
            "use": keeper.use,
            "send": keeper.send,
            "gather": keeper.gather,
            "fetch": keeper.fetch,
            "run": keeper.run,
            "stop": keeper.stop,
            "beat": keeper.beat,
        }
        while True:
            request = line.request()
            try:
                tasks[request["op"]](request)
            except OSError as error:
                line.answer(
                    {"error": error.strerror or str(error), "errno": error.errno, "path": str(error.filename or home)}
                )
    except (GoneError, BrokenPipeError):
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        keeper.close()
