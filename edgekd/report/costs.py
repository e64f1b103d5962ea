"""What a reused classifier costs, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgekd.config.networks import CONTROL
from edgekd.records.network import NetworkRecord


def costs(networks: Mapping[str, NetworkRecord]) -> Iterator[str]:
    """A line for each network that ends in another one's classifier."""
    doubt = (
        "; the control has no projector, so a part of what was gained may be its size" if CONTROL in networks else ""
    )
    for name, network in networks.items():
        if network.reused:
            yield f"{name}: {network.parameters:,} parameters with the {network.reused}{doubt}"
