"""The console entry point, which answers Ctrl-C from its first line on, and ends when it has ended."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NoReturn

PATIENCE_S = 10.0


def main() -> NoReturn:
    try:
        from edgekd.cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        command()
    except SystemExit as end:
        threading.Thread(target=_end_anyway, args=(end.code,), daemon=True).start()
        raise


def _end_anyway(code: int) -> None:
    """Although a thread that other people's code left goes on: the interpreter would wait for it for ever."""
    time.sleep(PATIENCE_S)
    os._exit(code)


if __name__ == "__main__":
    main()
