"""Sessions with the settings that ship, and proof that the settings took effect."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

import onnxruntime

from .machine import read
from .options import OPTIMISATION, merged, session_options
from .report import Refusal
from .subject import Subject


def apply_to_process(runtime: dict[str, Any]) -> None:
    """Sets affinity, niceness and memory limit of this process.

    Raises:
        Refusal: the system did not accept one of them.
    """
    try:
        if runtime["affinity"] is not None:
            os.sched_setaffinity(0, runtime["affinity"])
        if runtime["nice"] is not None:
            os.setpriority(os.PRIO_PROCESS, 0, runtime["nice"])
        if runtime["memory_limit_mb"] is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (int(runtime["memory_limit_mb"] * 1e6),) * 2)
    except (OSError, ValueError) as error:
        wanted = {key: runtime[key] for key in ("affinity", "nice", "memory_limit_mb") if runtime[key] is not None}
        raise Refusal("setting", f"this system refuses {wanted}: {error}") from None


def observe_settings(runtime: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """What the settings came to in a session of the model: read back from it, and seen in its threads."""
    before = _threads()
    session = load(model, runtime)
    workers = sorted(_threads() - before)
    subject = Subject(session, model)
    subject.run_once()
    burnt_before = _thread_seconds(workers)
    time.sleep(0.004)
    burnt = _thread_seconds(workers) - burnt_before
    options = session.get_session_options()
    cores = {core for worker in workers for core in os.sched_getaffinity(int(worker))}
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return {
        "threads": 1 + len(workers) if runtime["inter_op_threads"] <= 1 else options.intra_op_num_threads,
        "inter_op_threads": options.inter_op_num_threads,
        "affinity": sorted(os.sched_getaffinity(0)),
        "worker_affinity": sorted(cores),
        "worker_seconds_after_a_run": burnt,
        "spinning": options.get_session_config_entry("session.intra_op.allow_spinning") == "1",
        "optimisation": next(
            name for name, level in OPTIMISATION.items() if level == options.graph_optimization_level.name
        ),
        "provider": session.get_providers()[0],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "memory_limit_bytes": None if soft == resource.RLIM_INFINITY else soft,
        "options": {key: options.get_session_config_entry(key) for key in merged(runtime, model["session"])},
    }


def _threads() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


def _thread_seconds(threads: list[str]) -> float:
    return sum(int((read(f"/proc/self/task/{t}/schedstat") or "0").split()[0]) for t in threads) / 1e9


def save_graph(model: dict[str, Any], runtime: dict[str, Any], path: str) -> bool:
    """Writes the graph that the runtime makes of the model, without its large constants; False if it cannot: other
    processors than the CPU have parts that no file holds."""
    beside = Path(f"{path}.constants")
    small = {
        "session.optimized_model_external_initializers_file_name": beside.name,
        "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    }
    try:
        load({**model, "session": {**model["session"], **small}}, runtime, {"result": path, "format": "ONNX"})
    except Refusal:
        return False
    finally:
        beside.unlink(missing_ok=True)
    return Path(path).is_file()


def load(model: dict[str, Any], runtime: dict[str, Any], saved: dict[str, Any] | None = None) -> Any:
    """A fresh session of the model's file, with the model's own session options over the target's.

    saved: the `format` (ONNX or ORT) and the path `result` of a file to write what runs to.

    Raises:
        Refusal: the runtime does not take the file, or one of the options.
    """
    known = onnxruntime.get_available_providers()
    if runtime["provider"] not in known:  # another one would be taken silently
        raise Refusal("setting", f"there is no provider {runtime['provider']}, but {', '.join(known)}")
    try:
        options = session_options(runtime, model["session"])
        if saved is not None:
            options.optimized_model_filepath = saved["result"]
            options.add_session_config_entry("session.save_model_format", saved["format"])
        return onnxruntime.InferenceSession(model["path"], options, providers=[runtime["provider"]])
    except MemoryError:
        raise Refusal("memory", f"there is not enough memory to load {model['name']}") from None
    except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
        cause = "memory" if "bad_alloc" in str(error) else "load"
        raise Refusal(cause, " ".join(str(error).split())) from None
