"""An old run's latencies, computed again from what was observed."""

from __future__ import annotations

from edgekd.errors import UsageError
from edgekd.pipeline.store import Store, store_root
from edgekd.records.latency import LatencyRecord
from edgekd.records.run import RunRecord


def reanalysed(record: RunRecord) -> RunRecord:
    """The run with every latency record made anew from its raw samples, by the statistics of this version.

    Raises:
        UsageError: the run measured nothing, or the store no longer has its samples.
    """
    from edgekd.harness.reanalyse import reanalyse

    store = Store(store_root())
    latencies = {}
    for stage in record.stages:
        samples = stage.outputs.get("samples")
        if stage.stage != "measure" or samples is None:
            continue
        path = store.path(samples)
        if not path.is_file():
            raise UsageError(
                f"{stage.id}: its raw samples are no longer in {store.root}",
                hint="`edgekd gc` removes what no recent run used; EDGEKD_STORE names another store",
            )
        latencies[stage.id.partition("@")[2]] = reanalyse(path).model_dump(mode="json")
    if not latencies:
        raise UsageError("the run measured no latency: there is nothing to analyse again")
    return record.model_copy(update={"records": {**record.records, LatencyRecord.kept_as: latencies}})
