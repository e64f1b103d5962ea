"""One setting with one seed: its plan, in parts, some of which other trials share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgekd.config.networks import STUDENT
from edgekd.pipeline.plan import Node, Plan
from edgekd.stages.wiring import SELECT, TRANSFER

Part = Literal["data", "teachers", "student", "measured"]
PARTS: tuple[Part, ...] = ("data", "teachers", "student", "measured")


@dataclass(frozen=True)
class Trial:
    """plan: what is needed up to the stage that the sweep ends with; without nodes where there can be none."""

    seed: int
    plan: Plan

    def part(self, part: Part) -> list[Node]:
        """data: samples; teachers: what the student learns from, which other trials may share; student: all else that
        may be done beside other work; measured: from the first stage on whose result that would bend."""
        return [node for node, each in zip(self.plan.nodes, self._parts(), strict=True) if each == part]

    def up_to(self, part: Part) -> Plan:
        """The plan up to the end of a part."""
        before = PARTS[: PARTS.index(part) + 1]
        nodes = tuple(node for node, each in zip(self.plan.nodes, self._parts(), strict=True) if each in before)
        return replace(self.plan, nodes=nodes)

    def _parts(self) -> list[Part]:
        student = f"train@{STUDENT}"
        ids = {node.id for node in self.plan.nodes}
        taught_by = self.plan.needed_for(student) - {student} if student in ids else frozenset()
        first_alone = next((n for n, node in enumerate(self.plan.nodes) if node.stage.alone), len(self.plan.nodes))
        parts: list[Part] = []
        for position, node in enumerate(self.plan.nodes):
            if node.id in ("data", TRANSFER):
                parts.append("data")
            elif node.id in taught_by and node.id != SELECT:
                parts.append("teachers")
            else:
                parts.append("student" if position < first_alone else "measured")
        return parts


def needed_plan(plan: Plan, until: str) -> Plan:
    """What is needed of a plan up to a stage, told apart from the pipeline's own runs where `plan` explains them.

    Raises:
        UsageError: there is no such stage.
    """
    return replace(plan.without_apart().up_to(until), origin=f"{plan.origin} sweep")
