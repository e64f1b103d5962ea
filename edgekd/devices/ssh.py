"""A Linux board over SSH: the user's own OpenSSH client, their configuration, keys and known hosts."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.channel import BOOTSTRAP, Answer, Channel, LostError, field, open_channel
from edgekd.devices.failures import broken, lacking, refused, unreachable
from edgekd.errors import EdgekdError, TargetError

HELLO_S = 30.0
"""From the connection to the keeper's first word; connecting itself has `connect_s`."""
STOP_S = 15.0
ALIVE_S = 5
ALIVE_COUNT = 3


class Ssh(Device):
    """A Linux board reached with the user's own ssh; it needs python3, numpy and onnxruntime, nothing else."""

    host: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:%-]*$", description="name or address, or a Host of the ssh configuration"
    )
    user: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", description="login name; by default as ssh decides"
    )
    port: int | None = Field(None, ge=1, le=65535, description="port of the ssh server; by default as ssh decides")
    config: Path | None = Field(
        None, description="ssh configuration file to use instead of ~/.ssh/config, relative to the target file"
    )
    python: str = Field(
        "python3",
        pattern=r"^(~/)?[A-Za-z0-9_/.+][A-Za-z0-9_/.+-]*$",
        description="interpreter on the device, for example ~/edgekd/bin/python of a virtual environment",
    )
    folder: str = Field(
        "~/.cache/edgekd-device",
        pattern=r"^(~/|/)[^\x00-\x1f]+$",
        description="private folder on the device, made as needed",
    )
    keep_mb: float = Field(
        512,
        ge=0,
        le=1e6,
        description="sent files kept there so that nothing is sent twice, in 10^6 bytes; 0 leaves nothing behind",
    )
    connect_s: int = Field(15, ge=1, le=600, description="time that a connection may take")

    @field_validator("config")
    @classmethod
    def _beside_the_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None:
            return None
        found = Path((info.context or {}).get("folder", Path())) / path.expanduser()
        if not found.is_file():
            raise ValueError(f"no such file: {path}")
        return found

    def identity(self) -> JsonValue:
        """Nothing of the way there decides a result; the machine at its end does, and is asked."""
        return {"kind": "ssh"}

    @property
    def place(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def machine(self) -> str:
        return f"{self.host.lower()}:{self.port or ''}"

    @property
    def command(self) -> list[str]:
        """The program that opens the line, ssh's own host key checking untouched."""
        options = {
            "BatchMode": "yes",  # no question that nobody answers
            "ConnectTimeout": str(self.connect_s),
            "ServerAliveInterval": str(ALIVE_S),
            "ServerAliveCountMax": str(ALIVE_COUNT),
            "ClearAllForwardings": "yes",
            "LogLevel": "ERROR",  # without the banner, with every reason
        }
        argv = ["ssh", "-T"]
        if self.config is not None:
            argv += ["-F", str(self.config)]
        for name, value in options.items():
            argv += ["-o", f"{name}={value}"]
        if self.port is not None:
            argv += ["-p", str(self.port)]
        if self.user is not None:
            argv += ["-l", self.user]
        python = shlex.quote(self.python.removeprefix("~/"))
        python = f"~/{python}" if self.python.startswith("~/") else python
        return [*argv, "--", self.host, f"exec {python} -c {shlex.quote(BOOTSTRAP)}"]

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        keep_bytes = round(self.keep_mb * 1e6)
        with ExitStack() as stack:
            try:
                opened = open_channel(self.command, self.folder, keep_bytes, self.connect_s + HELLO_S)
                channel, greeting = stack.enter_context(opened)
            except FileNotFoundError:
                raise TargetError(
                    "there is no ssh program on this machine", hint="install OpenSSH's client (openssh-client)"
                ) from None
            except (LostError, TimeoutError) as error:
                raise unreachable(self.place, self.python, error) from None
            if "error" in greeting:
                raise refused(self.place, greeting)
            try:
                problem = lacking(self.place, greeting)
                python, folder = field(greeting, "python", str), field(greeting, "work", str)
            except LostError as error:
                raise broken(self.place, error) from None
            if problem is not None:
                raise problem
            yield SshWorkspace(self.place, channel, python, folder)


class SshWorkspace:
    """The keeper's folder on the device."""

    def __init__(self, label: str, channel: Channel, python: str, folder: str) -> None:
        self._label = label
        self._channel = channel
        self._python = python
        self._folder = folder
        self._there: dict[str, str] = {}  # name -> sha256

    @property
    def python(self) -> str:
        return self._python

    def put(self, path: Path, beside: Sequence[str] = ()) -> str:
        if beside:
            return self._put_together(path.resolve(), beside)
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"{sha256[:16]}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)[-100:]}"
        self._bring(name, sha256, content)
        return self.path(name)

    def write(self, name: str, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        if self._there.get(name) != sha256:
            self._send(name, sha256, content, keep=False)
            self._there[name] = sha256
        return self.path(name)

    def path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def fetch(self, name: str, to: Path) -> None:
        answer = self._ask({"op": "fetch", "name": name})
        part = to.with_name(f".{to.name}.part")
        hasher = hashlib.sha256()
        try:
            with self._watching(), part.open("wb") as stream:
                for piece in self._channel.read(field(answer, "size", int)):
                    hasher.update(piece)
                    stream.write(piece)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if hasher.hexdigest() != answer.get("sha256"):
            part.unlink()
            raise TargetError(f"{self._label}: {name} arrived damaged", hint="run the same command again")
        part.replace(to)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        with self._watching():
            self._channel.tell({"op": "run", "argv": list(argv)})
            try:
                return self._follow(on_line, patience_s)
            except TimeoutError:
                return self._stop()
            except EdgekdError:  # of `on_line`, which has heard enough
                self._stop()
                raise
            except KeyboardInterrupt:
                self._channel.tell({"op": "stop"})
                raise

    def _put_together(self, path: Path, beside: Sequence[str]) -> str:
        """Brings each file under its digest; a folder of their own then gives them their names, which others share."""
        files: Answer = {}
        for name in (path.name, *beside):
            content = (path.parent / name).read_bytes()
            files[name] = sha256 = hashlib.sha256(content).hexdigest()
            self._bring(sha256, sha256, content)
        folder = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        if folder not in self._there:
            self._ask({"op": "gather", "name": folder, "files": files})
            self._there[folder] = folder
        return self.path(f"{folder}/{path.name}")

    def _bring(self, name: str, sha256: str, content: bytes) -> None:
        """Sends a file to be kept, unless it is there."""
        if self._there.get(name) == sha256:
            return
        answer = self._ask({"op": "use", "name": name, "sha256": sha256})
        if answer.get("known") is not True:
            self._send(name, sha256, content, keep=True)
        self._there[name] = sha256

    def _follow(self, on_line: Callable[[str], None], patience_s: float) -> Ended:
        while True:
            answer = self._channel.answer(patience_s)
            if "error" in answer:
                raise refused(self._label, answer)
            if "ended" in answer:
                return Ended(field(answer, "ended", int), field(answer, "errors", str))
            on_line(str(answer.get("line", "")))

    def _stop(self) -> Ended:
        self._channel.tell({"op": "stop"})
        deadline = time.monotonic() + STOP_S
        while (left := deadline - time.monotonic()) > 0:
            answer = self._channel.answer(left)
            if "ended" in answer:
                return Ended(field(answer, "ended", int), field(answer, "errors", str), silent=True)
        raise TimeoutError

    def _send(self, name: str, sha256: str, content: bytes, *, keep: bool) -> None:
        request: Answer = {"op": "send", "name": name, "sha256": sha256, "size": len(content), "keep": keep}
        self._ask(request, content)

    def _ask(self, request: Answer, payload: bytes = b"") -> Answer:
        with self._watching():
            answer = self._channel.ask(request, payload)
        if "error" in answer:
            raise refused(self._label, answer)
        return answer

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except (LostError, TimeoutError) as error:
            raise broken(self._label, error) from None
