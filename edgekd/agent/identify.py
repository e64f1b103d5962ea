"""What of a machine decides results; standard library only, so that asking is quick."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

from .machine import cpu_facts


def identity() -> dict[str, Any]:
    """Processor, instruction sets, cores and runtime: no host name, no time, nothing that another boot changes.

    Raises:
        PackageNotFoundError: there is no onnxruntime.
    """
    return {**cpu_facts(), "onnxruntime": metadata.version("onnxruntime")}


def identify() -> int:
    """Reports the identity of this machine; the exit code: 0, or 3 after a refusal."""
    try:
        facts = identity()
    except metadata.PackageNotFoundError as missing:
        print(
            json.dumps({"event": "refusal", "cause": "missing", "what": f"this device's Python lacks {missing.name}"})
        )
        return 3
    print(json.dumps({"event": "identity", **facts}))
    print(json.dumps({"event": "done"}))
    return 0
