"""Results of stages on their way from one store to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edgekd.errors import StoreError
from edgekd.pipeline.store import Store, guarded, write_atomically
from edgekd.records.artifact import Artifact
from edgekd.records.stage import StageRecord

Contents = dict[str, bytes]
"""Of files, by their sha256."""


def artifacts(records: Iterable[StageRecord]) -> dict[str, Artifact]:
    """Every file of these results, once, by its sha256."""
    return {each.digest: each for record in records for each in record.outputs.values()}


def receive(records: Iterable[StageRecord], content: Callable[[str], bytes], store: Store) -> None:
    """Puts results into a store; `content` is asked, by the sha256, for the files that it lacks.

    Raises:
        StoreError: a file did not arrive as it was sent, or the disk refuses it.
    """
    kept = list(records)
    for digest, artifact in artifacts(kept).items():
        path = store.path(artifact)
        if path.is_file() and path.stat().st_size == artifact.size_bytes:
            continue
        arriving = store.blobs / f"arriving-{digest}.{artifact.kind}"
        with guarded(store.root):
            write_atomically(arriving, content(digest))
        if store.ingest(arriving).digest != digest:
            raise StoreError(
                f"a file arrived otherwise than it was sent: {digest[:16]}", hint="the same command goes on"
            )
    for record in kept:
        if store.record(record.stage, record.fingerprint) is None:
            store.commit(record)
