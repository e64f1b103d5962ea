"""What earlier sweeps finished: by what decides it, not by the machine that did it, so that a sweep may be taken up
again with another number of workers, or after they were other machines."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edgekd.errors import EdgekdError
from edgekd.pipeline.store import Store, guarded, write_atomically
from edgekd.progress import Progress
from edgekd.sweep.job import Job, Results

FINGERPRINTS = TypeAdapter(dict[str, str])


def recall(job: Job, store: Store, progress: Progress) -> Results | None:
    """The results of a job if all of them are in the store and good enough for this pipeline."""
    try:
        fingerprints = FINGERPRINTS.validate_json(_path(job, store).read_bytes())
    except (OSError, ValidationError):
        return None
    found = {}
    for node in job.plan.nodes:
        if node.id in job.given:
            continue
        record = store.find(node.stage, fingerprints.get(node.id, ""), progress)
        if record is None:
            return None
        try:
            node.stage.accept({port: store.path(each) for port, each in record.outputs.items()})
        except EdgekdError:  # it is refused again where it is run
            return None
        found[node.id] = record
    return found


def keep(job: Job, results: Results, store: Store) -> None:
    """Remembers where the results are."""
    path = _path(job, store)
    with guarded(store.root):
        path.parent.mkdir(parents=True, exist_ok=True)
        named = {node: record.fingerprint for node, record in results.items()}
        write_atomically(path, FINGERPRINTS.dump_json(named))


def _path(job: Job, store: Store) -> Path:
    return store.cache / "sweeps" / f"{job.key}.json"
