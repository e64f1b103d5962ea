"""The line to a device: an ssh process, the keeper at its other end, requests and answers between them."""

from __future__ import annotations

import json
import os
import secrets
import select
import selectors
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from edgekd.devices.tail import Tail
from edgekd.reading import RefusedError, parse_json

ANSWER_S = 120.0
"""What a device may take for a request that is no program: to hash a file on a slow card, for example."""
BEAT_S = 10.0
CLOSING_S = 10.0
KEEPER = Path(__file__).with_name("keeper.py")
BOOTSTRAP = 'import sys;exec(b"".join(iter(lambda:sys.stdin.buffer.raw.read(1)or sys.exit(),b"\\0")))'
"""The program that the far end's command line holds: it reads the keeper up to a zero byte, and becomes it."""
LONGEST_GREETING = 1 << 16  # of what a login shell prints before the keeper speaks
LONGEST_ANSWER = 1 << 24
LARGEST_FILE = 2**31  # the largest that an ONNX file can be; nothing else that a device sends comes near
SLOWEST = 4096  # bytes in a second, either way
PIECE = 1 << 16

Answer = dict[str, JsonValue]
Value = TypeVar("Value", int, str, bool)


class LostError(Exception):
    """The line broke; `code` is how its program ended (None: it still runs), `errors` what it said."""

    def __init__(self, code: int | None, errors: str) -> None:
        super().__init__(errors)
        self.code = code
        self.errors = errors


def field(answer: Answer, name: str, kind: type[Value]) -> Value:
    """A value of an answer.

    Raises:
        LostError: there is none of that kind: whoever answers is no keeper.
    """
    value = answer.get(name)
    if type(value) is not kind:
        raise LostError(None, f"the device's answer has no {name}")
    return value


class Channel:
    """Requests to the keeper and answers from it; every reading gives up after a while."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stderr is not None
        self._process = process
        self._errors = Tail(process.stderr)
        os.set_blocking(process.stdin.fileno(), False)
        self._pending = b""
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ)
        threading.Thread(target=self._beat, daemon=True).start()

    def ask(self, request: Answer, payload: bytes = b"", patience_s: float = ANSWER_S) -> Answer:
        """The answer to a request.

        Raises:
            LostError: the line broke, or what comes is no answer.
            TimeoutError: nothing came in time.
        """
        self.tell(request, payload)
        return self.answer(patience_s)

    def tell(self, request: Answer, payload: bytes = b"") -> None:
        """Sends a request that has no answer, or none yet."""
        self.send(json.dumps(request).encode() + b"\n" + payload)

    def send(self, data: bytes) -> None:
        """Sends bytes.

        Raises:
            LostError: the line broke.
            TimeoutError: the other end takes nothing, or too slowly.
        """
        assert self._process.stdin is not None
        view = memoryview(data)
        deadline = time.monotonic() + ANSWER_S + len(data) / SLOWEST
        with self._writing:
            try:
                handle = self._process.stdin.fileno()
                room = select.poll()
                room.register(handle, select.POLLOUT)
                while view:
                    if not room.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                        raise TimeoutError
                    with suppress(BlockingIOError):
                        view = view[os.write(handle, view[:PIECE]) :]
            except TimeoutError:
                raise
            except OSError:
                raise self._lost() from None

    def answer(self, patience_s: float) -> Answer:
        """The next answer.

        Raises:
            LostError: as `ask`; also when what comes is no answer.
            TimeoutError: nothing came in time.
        """
        line = self._line(patience_s, LONGEST_ANSWER)
        try:
            content: object = parse_json(line)
        except RefusedError:
            content = None
        if not isinstance(content, dict):
            raise LostError(None, f"the device answers with {line[:40]!r}")
        return content

    def until_greeting(self, nonce: str, patience_s: float) -> None:
        """Reads over what a login shell prints until the keeper's first line."""
        seen = 0
        deadline = time.monotonic() + patience_s
        while (line := self._line(max(0.0, deadline - time.monotonic()), LONGEST_GREETING)) != nonce.encode():
            seen += len(line) + 1
            if seen > LONGEST_GREETING:
                raise LostError(None, "the device's login shell prints without end")

    def read(self, size: int) -> Iterator[bytes]:
        """The bytes behind an answer, in pieces.

        Raises:
            LostError: the line broke, or no file has so many.
            TimeoutError: they come too slowly.
        """
        if not 0 <= size <= LARGEST_FILE:
            raise LostError(None, f"the device announces a file of {size} bytes")
        deadline = time.monotonic() + ANSWER_S + size / SLOWEST
        while size:
            if not self._pending:
                self._more(min(ANSWER_S, max(0.0, deadline - time.monotonic())))
            piece, self._pending = self._pending[:size], self._pending[size:]
            size -= len(piece)
            yield piece

    def close(self) -> None:
        """Lets the keeper clean up, and ends the line."""
        self._ended.set()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        deadline = time.monotonic() + CLOSING_S
        with suppress(LostError, TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                self._pending = b""
                self._more(left)
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        self._process.stdout.close()

    def _line(self, patience_s: float, longest: int) -> bytes:
        deadline = time.monotonic() + patience_s
        searched = 0
        while (end := self._pending.find(b"\n", searched)) < 0:
            searched = len(self._pending)
            if searched > longest:
                raise LostError(None, "the device sends a line without end")
            self._more(max(0.0, deadline - time.monotonic()))
        line, self._pending = self._pending[:end], self._pending[end + 1 :]
        return line

    def _more(self, patience_s: float) -> None:
        if not self._selector.select(patience_s):
            raise TimeoutError
        assert self._process.stdout is not None
        piece = os.read(self._process.stdout.fileno(), PIECE)
        if not piece:
            raise self._lost()
        self._pending += piece

    def _beat(self) -> None:
        """Tells the keeper from time to time that the host is still there."""
        while not self._ended.wait(BEAT_S):
            try:
                self.tell({"op": "beat"})
            except (LostError, TimeoutError, ValueError):
                return

    def _lost(self) -> LostError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        return LostError(self._process.poll(), self._errors.text())


@contextmanager
def open_channel(
    argv: Sequence[str], home: str, keep_bytes: int, patience_s: float
) -> Iterator[tuple[Channel, Answer]]:
    """The line that a program opens which runs BOOTSTRAP at its far end, and the keeper's greeting.

    Raises:
        LostError: there is no connection, or no keeper can be run there.
        TimeoutError: nothing came in time.
    """
    nonce = secrets.token_hex(16)
    # values reach the device as literals of Python, never through a shell
    program = KEEPER.read_bytes() + f"\nprint('\\n{nonce}', flush=True)\nmain({home!r}, {keep_bytes})\n".encode()
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches edgekd alone, which then lets the keeper clean up
    )
    channel = Channel(process)
    try:
        channel.send(program + b"\0")
        channel.until_greeting(nonce, patience_s)
        yield channel, channel.answer(patience_s)
    finally:
        channel.close()
