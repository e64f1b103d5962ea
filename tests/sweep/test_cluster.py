"""A sweep on a Ray cluster of several nodes, on this machine but with a store of their own each, one of them killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import REPOSITORY, place_with
from tests.sweep.small import PIPELINE

pytest.importorskip("ray", reason="needs ray: python -m pip install 'edgekd[sweep]'")

LONGER = PIPELINE.replace("epochs: 3", "epochs: 40").replace("[fp32, int8_weights]", "[fp32]")
TRIED = ("--set", "distill.temperature=2,4,8", "--seeds", "2", "--cores", "1", "--json")
OBJECT_STORE_BYTES = 100 * 2**20


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that trains nothing."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    found = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield found
    finally:
        found.shutdown()


def node(cluster: Any, store: Path) -> Any:
    """One training at a time, with a store of its own."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = {"EDGEKD_STORE": str(store), "PYTHONPATH": path}
    return cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES, env_vars=environment)


def reached(record: dict[str, Any]) -> list[Any]:
    return [
        [(each["seed"], each["validation_correct"], each["failed"]) for each in row["trials"]] for row in record["rows"]
    ]


def trainings(store: Path) -> int:
    return len(list(store.glob("records/train/*.json")))


def on_cluster(cluster: Any) -> tuple[str, ...]:
    return ("--workers", "ray", "--address", cluster.address)


def test_a_node_that_dies_changes_nothing_of_what_a_sweep_ends_with(cluster: Any, tmp_path: Path) -> None:
    for name in ("cluster", "alone"):
        (tmp_path / name).mkdir()
    place, alone = place_with(tmp_path / "cluster", LONGER), place_with(tmp_path / "alone", LONGER)
    stores = [tmp_path / "first", tmp_path / "second"]
    nodes = [node(cluster, store) for store in stores]
    process = place.start("sweep", "p.yaml", *TRIED, "--until", "train", *on_cluster(cluster))
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("1/6"):
            cluster.remove_node(nodes[0], allow_graceful=False)
            break
    out, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    expected = alone.edgekd("sweep", "p.yaml", *TRIED, "--until", "train", "--workers", "1")
    assert expected.returncode == 0, expected.stderr
    assert reached(json.loads(out)) == reached(json.loads(expected.stdout))
    assert trainings(place.folder / "store") == 8  # two teachers and six students: all came back
    assert 0 < trainings(stores[1]) <= 8
    assert not list((place.folder / "store").glob("cache/sweeps/*.mark"))


def test_what_was_trained_on_a_cluster_is_measured_here_and_known_afterwards(cluster: Any, tmp_path: Path) -> None:
    place = place_with(tmp_path, LONGER.replace("epochs: 40", "epochs: 2"))
    node(cluster, tmp_path / "there")
    tried = ("--set", "distill.temperature=2,4", "--cores", "1", "--json")
    done = place.edgekd("sweep", "p.yaml", *tried, *on_cluster(cluster))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert all(each["shipped"]["here"]["test_accuracy"] > 0 for row in rows for each in row["trials"])
    assert not list((tmp_path / "there").glob("records/screen/*"))
    again = place.edgekd("sweep", "p.yaml", *tried)
    assert again.stderr.count("(from the store)") == 2
    assert json.loads(again.stdout)["rows"] == rows


def test_all_machines_may_share_one_store(cluster: Any, tmp_path: Path) -> None:
    place = place_with(tmp_path, LONGER.replace("epochs: 40", "epochs: 2"))
    node(cluster, place.folder / "store")
    tried = ("--set", "distill.temperature=2,4", "--until", "train", "--cores", "1", "--json")
    done = place.edgekd("sweep", "p.yaml", *tried, *on_cluster(cluster))
    assert done.returncode == 0, done.stderr
    assert trainings(place.folder / "store") == 3


def test_a_training_that_fits_no_machine_is_refused(cluster: Any, tmp_path: Path) -> None:
    place = place_with(tmp_path, LONGER)
    node(cluster, tmp_path / "there")
    done = place.edgekd(
        "sweep", "p.yaml", "--set", "distill.temperature=2,4", "--cores", "64", *on_cluster(cluster), timeout_s=60
    )
    assert done.returncode == 2
    assert "a training takes 64 CPU, and no machine of the cluster has as many" in done.stderr
