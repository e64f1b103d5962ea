"""Shapes on their way to a price: what is known of them so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.config.fit import Budget
from edgekd.fit.budget import over
from edgekd.fit.costs import Cost
from edgekd.fit.shape import Network, Shape
from edgekd.fit.untrained import file_of
from edgekd.harness.subject import Subject
from edgekd.records.candidate import MadeFile
from edgekd.records.pricing import PricedFile

Said = Mapping[tuple[str, str], float]
"""What the cost models say of a shape, by target and candidate."""
UNSAID: Said = {}


@dataclass
class Tried:
    """files: by candidate, at `stem`.CANDIDATE.onnx; refused: why others cannot be made. costs: by target and
    candidate."""

    shape: Shape
    network: Network
    stem: Path
    files: dict[str, MadeFile]
    refused: dict[str, str] = field(default_factory=dict)
    costs: dict[str, dict[str, Cost]] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        return {name: each.facts.size_bytes for name, each in self.files.items()}

    def subjects(self) -> dict[str, Subject]:
        """By candidate, as the harness takes them."""
        return {name: Subject(file_of(self.stem, name), session=each.session) for name, each in self.files.items()}

    def priced(self, budget: Budget, said: Said = UNSAID) -> dict[str, tuple[PricedFile, ...]]:
        """By target, each candidate held against the budget."""
        sizes = self.sizes
        refused = tuple(
            PricedFile(candidate=name, size_bytes=0, unfit=f"cannot be made: {why}")
            for name, why in self.refused.items()
        )
        return {
            target: tuple(
                PricedFile(
                    candidate=name,
                    size_bytes=sizes[name],
                    p50_s=cost.p50_s,
                    interval_s=cost.interval_s,
                    loads=cost.loads,
                    instructions=cost.instructions,
                    predicted=said.get((target, name)),
                    unfit=over(budget.on(target), sizes[name], cost),
                )
                for name, cost in costs.items()
            )
            + refused
            for target, costs in self.costs.items()
        }


def known_costs(tried: Sequence[Tried], target: str, candidate: str) -> dict[int, float]:
    """The cost there of each that has one, by its number."""
    found = ((number, each.costs.get(target, {}).get(candidate)) for number, each in enumerate(tried))
    return {number: float(cost.value) for number, cost in found if cost is not None and cost.value is not None}
