"""Whether the runtime settings that a target asks for took effect in the session that was measured."""

from __future__ import annotations

from collections.abc import Mapping

from edgekd.errors import StageError
from edgekd.records.environment import Settings
from edgekd.records.runtime import RuntimeSettings

SPIN_SEEN_S = 0.001
"""Processor time of idle workers in 4 ms after a run that only spinning explains."""


def require_settings(asked: RuntimeSettings, session: Mapping[str, str], got: Settings) -> None:
    """Refuses what was observed in the session of a model with these session options of its own, where it is not what
    the target asks for.

    Raises:
        StageError: a setting did not take effect, so that what is measured is not what ships.
    """
    wrong = [f"{name} {wanted} became {found}" for name, wanted, found in _differences(asked, session, got)]
    if wrong:
        raise StageError(
            f"the runtime does not do what the target asks for: {'; '.join(wrong)}",
            hint="change the target file to what the device can do",
        )


def _differences(asked: RuntimeSettings, session: Mapping[str, str], got: Settings) -> list[tuple[str, object, object]]:
    limit = asked.memory_limit_mb
    pairs: list[tuple[str, object, object]] = [
        ("threads", asked.threads, got.threads),
        ("inter_op_threads", asked.inter_op_threads, got.inter_op_threads),
        ("optimisation", asked.optimisation, got.optimisation),
        ("provider", asked.provider, got.provider),
        ("memory_limit_bytes", None if limit is None else int(limit * 1e6), got.memory_limit_bytes),
        ("spinning", asked.spinning, got.spinning),
        ("options", {**asked.options, **session}, got.options),
    ]
    if asked.nice is not None:
        pairs.append(("nice", asked.nice, got.nice))
    if asked.affinity is not None:
        wanted = tuple(sorted(set(asked.affinity)))
        pairs.append(("affinity", wanted, got.affinity))
        if got.worker_affinity:
            pairs.append(("affinity of the workers", wanted, got.worker_affinity))
    if asked.threads > 1 and not asked.spinning:
        pairs.append(("spinning", False, got.worker_seconds_after_a_run > SPIN_SEEN_S))
    return [(name, wanted, found) for name, wanted, found in pairs if wanted != found]


def spins_idle(runtime: RuntimeSettings) -> bool:
    """Whether a session's idle workers keep cores busy, so that two sessions side by side disturb each other."""
    return runtime.spinning and max(runtime.threads, runtime.inter_op_threads) > 1
