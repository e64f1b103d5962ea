"""Unpacks the header of ONNX Runtime's C API, which no wheel holds, into a folder, and prints where it lies there.

It is that of Debian's package, found by its name on the mirror that this system's apt uses, in a suite that has one
whichever this system is. It may be older than the library. Without it: the reason, and exit code 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgekd.devices import debian
from edgekd.errors import TargetError

PACKAGE, SUITE = "libonnxruntime-dev", "trixie"
HEADER = "usr/include/onnxruntime/onnxruntime_c_api.h"


def unpacked(folder: Path) -> Path:
    """The header's folder.

    Raises:
        TargetError: it cannot be fetched.
    """
    debian.require_tools()
    machine = debian.call(["dpkg", "--print-architecture"], "ask for the architecture").strip()
    archives = debian.fetch([PACKAGE], SUITE, machine, folder / "apt")
    debian.unpack([path for path in archives if path.name.startswith(f"{PACKAGE}_")], folder / "tree")
    header = folder / "tree" / HEADER
    if not header.is_file():
        raise TargetError(f"{PACKAGE} of Debian {SUITE} has no /{HEADER}")
    return header.parent


if __name__ == "__main__":
    try:
        print(unpacked(Path(sys.argv[1])))
    except TargetError as error:
        sys.exit(f"{error}" + (f" ({error.hint})" if error.hint else ""))
