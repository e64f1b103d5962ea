"""A file in the store, named by its content."""

from __future__ import annotations

from edgekd.records.base import Record


class Artifact(Record):
    """`digest` is the sha256 of the bytes: equal digests are equal bytes. It carries no path."""

    kind: str
    digest: str
    size_bytes: int
