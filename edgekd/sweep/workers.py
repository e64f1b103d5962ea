"""Who runs jobs: processes of this machine, or a cluster."""

from __future__ import annotations

from typing import Protocol

from edgekd.sweep.job import Job, Outcome

ATTEMPTS = 3
"""How often a job is begun whose process or machine died."""


class Workers(Protocol):
    def submit(self, job: Job) -> None:
        """Has it run as soon as there is room for it, in the order of these calls."""
        ...

    def finished(self) -> tuple[Job, Outcome]:
        """Waits for any of the submitted jobs."""
        ...

    def close(self) -> None:
        """Ends what is running; what it has reached is kept in the store."""
        ...
