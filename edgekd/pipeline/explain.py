"""Why a stage runs: what is different from the last run of the same pipeline."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from urllib.parse import quote

from pydantic import JsonValue

from edgekd.pipeline.fingerprint import differences, fingerprint
from edgekd.pipeline.store import Store, write_atomically
from edgekd.records.base import digest

SHOWN = 3


class LastRun:
    """What a pipeline had at each node the last time, by fingerprint; to lose it costs explanations, no results.

    name, origin: what makes it the same pipeline. Each node has a file of its own, so that runs at once never wait.
    """

    def __init__(self, store: Store, name: str, origin: str) -> None:
        self._store = store
        self._folder = store.last_folder / digest([name, origin])[:16]

    def note(self, node: str, result: str) -> None:
        """Keeps the fingerprint of a node's result; a disk that refuses it is no reason to stop."""
        path = self._folder / quote(node, safe="@")
        with contextlib.suppress(OSError):
            if self._noted(node) == result:
                os.utime(path)
            else:
                self._folder.mkdir(exist_ok=True)
                write_atomically(path, result.encode())

    def explain(self, node: str, image: Mapping[str, JsonValue]) -> str:
        """Why a node whose pre-image this is has no result."""
        noted = self._noted(node)
        if noted is None:
            return "never run"
        if noted == fingerprint(image):
            return "its result was damaged or removed"
        last = self._store.record(str(image["stage"]), noted)
        if last is None:
            return "its last result was removed"
        changes = list(dict.fromkeys(differences(last.preimage, dict(image))))  # a source may count in several places
        shown = "; ".join(changes[:SHOWN])
        return shown if len(changes) <= SHOWN else f"{shown}; and {len(changes) - SHOWN} more"

    def _noted(self, node: str) -> str | None:
        try:
            return (self._folder / quote(node, safe="@")).read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
