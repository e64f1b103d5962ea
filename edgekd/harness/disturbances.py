"""What bent a measurement, named: from the machine's counters and from the samples themselves."""

from __future__ import annotations

from edgekd.records.environment import Disturbance, Environment


def disturbances_of(environment: Environment) -> tuple[Disturbance, ...]:
    """Every disturbance seen, the machine's first."""
    found = []
    if environment.busy_elsewhere > 0.1:
        found.append(
            Disturbance(
                name="other load",
                what=f"other programs took {environment.busy_elsewhere:.0%} of the processor time",
                remedy="stop them, or give the measurement cores of its own (runtime.affinity)",
            )
        )
    if environment.steal > 0.01:
        found.append(
            Disturbance(
                name="steal",
                what=f"the hypervisor gave {environment.steal:.1%} of the processor time to others",
                remedy="measure on a machine of its own",
            )
        )
    return tuple(found)
