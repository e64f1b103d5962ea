"""The end of what a program writes, however much that is."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import IO

KEPT = 4000  # bytes
PIECE = 1 << 16
LAST_WORD_S = 1.0


class Tail:
    """Reads a stream in a thread of its own, so that whoever writes never waits, and keeps its last `KEPT` bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What is there; a stream that somebody still holds open is waited for briefly."""
        self._thread.join(LAST_WORD_S)
        return self._kept.decode(errors="replace").strip()

    def _follow(self) -> None:
        with self._stream, suppress(OSError):
            while piece := os.read(self._stream.fileno(), PIECE):
                self._kept = (self._kept + piece)[-KEPT:]
