"""The program that runs on the device: one file, standard library + numpy + onnxruntime, nothing of edgekd.

    python agent.py JOB.json

reads a job, does it, writes raw samples or raw outputs to the file that the job names, and reports on standard
output in JSON lines. It computes no statistics and never sees a label: the host does all of that, so every
old run can be analysed again. `protocol.py` describes both directions.
"""

from __future__ import annotations

import time

START_NS = time.perf_counter_ns()  # cold start counts from here: the imports below are part of it

import gc  # noqa: E402 - after the start of the clock
import itertools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from array import array  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

PROTOCOL = 1
BLOCK_LIMIT = 1 << 16  # inferences in one block at most
INPUT_ROWS = 64  # rows of a given input that are cycled through
OPTIMISATION = {"none": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
                "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}  # fmt: skip
NUMPY_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "int8": "int8", "uint8": "uint8",
    "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32", "int64": "int64",
    "uint64": "uint64", "bool": "bool",
}  # fmt: skip


class Refusal(Exception):  # noqa: N818 - it is an answer, not a bug
    """What the agent will not do, and the kind of reason for the host."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what


class Reporter:
    """JSON lines on the original standard output; whatever else prints there goes to standard error."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def __call__(self, event: str, **facts: Any) -> None:
        print(json.dumps({"event": event, **facts}), file=self.stream)


# --- the machine -----------------------------------------------------------------------------------------


def read(path: str) -> str:
    """The text of a small file of the kernel's, empty where there is none."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def cpu_facts() -> dict[str, Any]:
    """What of the processor does not change: model, instruction sets, usable cores."""
    fields: dict[str, str] = {}
    for line in read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    known = ("sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8",
             "amx_bf16", "neon", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2")  # fmt: skip
    name = fields.get("model name") or read("/proc/device-tree/model").strip("\0") or fields.get("CPU part", "")
    return {
        "cpu": name or platform.processor() or "unknown",
        "machine": platform.machine(),
        "isa": [flag for flag in known if flag in flags],
        "cores": os.cpu_count() or 1,
    }


def kernel_state() -> dict[str, Any]:
    """What disturbs a measurement, now: tick counters, frequency, temperature, load."""
    ticks = [int(part) for part in read("/proc/stat").partition("\n")[0].split()[1:]] or [0] * 8
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hertz = os.sysconf("SC_CLK_TCK")
    frequencies = [int(text) * 1000 for text in map(read, _cpu_files("cpufreq/scaling_cur_freq")) if text]
    if not frequencies:
        frequencies = [
            int(float(line.partition(":")[2]) * 1e6)
            for line in read("/proc/cpuinfo").splitlines()
            if line.startswith("cpu MHz")
        ]
    zones = [read(str(zone)) for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp"))]
    return {
        "time_s": time.monotonic(),
        "busy_s": (sum(ticks[:8]) - ticks[3] - ticks[4]) / hertz,
        "steal_s": ticks[7] / hertz if len(ticks) > 7 else 0.0,
        "own_s": usage.ru_utime + usage.ru_stime,
        "involuntary_switches": usage.ru_nivcsw,
        "frequency_hz": frequencies,
        "temperature_c": [int(text) / 1000 for text in zones if text.lstrip("-").isdigit()],
        "throttled": sum(int(t) for t in map(read, _cpu_files("thermal_throttle/core_throttle_count")) if t),
        "load_average": os.getloadavg()[0],
    }


def machine_facts() -> dict[str, Any]:
    """What of the machine matters to a measurement and holds for its whole length."""
    import onnxruntime

    memory = next((int(line.split()[1]) * 1024 for line in read("/proc/meminfo").splitlines()), 0)
    limits = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    return {
        **cpu_facts(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
        "governor": next(iter(filter(None, map(read, _cpu_files("cpufreq/scaling_governor")))), ""),
        "turbo": {"0": "on", "1": "off"}.get(read("/sys/devices/system/cpu/intel_pstate/no_turbo"), "")
        or {"0": "off", "1": "on"}.get(read("/sys/devices/system/cpu/cpufreq/boost"), ""),
        "smt": read("/sys/devices/system/cpu/smt/active") == "1",
        "virtual": _virtual(),
        "cpu_quota": next(iter(filter(None, map(read, limits))), ""),
        "affinity": sorted(os.sched_getaffinity(0)),
    }


def _cpu_files(name: str) -> list[str]:
    return [str(path) for path in sorted(Path("/sys/devices/system/cpu").glob(f"cpu[0-9]*/{name}"))]


def _virtual() -> str:
    """The name of the virtual machine, or "" on bare metal."""
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("flags"):
            if " hypervisor" not in line:
                return ""
            return read("/sys/class/dmi/id/sys_vendor") or read("/sys/hypervisor/type") or "hypervisor"
    return ""


def memory_bytes(field: str) -> int:
    """VmHWM (peak) or VmRSS (now) of this process."""
    for line in read("/proc/self/status").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- the settings that ship, and whether they took effect ------------------------------------------------


def apply_to_process(runtime: dict[str, Any]) -> None:
    """Sets affinity, niceness and memory limit of this process.

    Raises:
        Refusal: the system did not accept one of them.
    """
    try:
        if runtime["affinity"] is not None:
            os.sched_setaffinity(0, runtime["affinity"])
        if runtime["nice"]:
            os.setpriority(os.PRIO_PROCESS, 0, runtime["nice"])
        if runtime["memory_limit_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (runtime["memory_limit_bytes"],) * 2)
    except (OSError, ValueError) as error:
        wanted = {key: runtime[key] for key in ("affinity", "nice", "memory_limit_bytes") if runtime[key]}
        raise Refusal("setting", f"this system refuses {wanted}: {error}") from None


def session_options(runtime: dict[str, Any]) -> Any:
    """onnxruntime's options for a job's runtime settings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime["threads"]
    options.inter_op_num_threads = runtime["inter_op_threads"]
    if runtime["inter_op_threads"] > 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    level = OPTIMISATION[runtime["optimisation"]]
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 3
    spinning = "1" if runtime["spinning"] else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    for key, value in runtime["options"].items():
        options.add_session_config_entry(key, value)
    return options


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
    masks = {read(f"/proc/self/task/{worker}/status").partition("Cpus_allowed_list:")[2].split("\n")[0].strip()
             for worker in workers}  # fmt: skip
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return {
        "threads": 1 + len(workers) if runtime["inter_op_threads"] <= 1 else options.intra_op_num_threads,
        "inter_op_threads": options.inter_op_num_threads,
        "affinity": sorted(os.sched_getaffinity(0)),
        "worker_affinity": sorted(masks),
        "worker_seconds_after_a_run": burnt,
        "spinning": options.get_session_config_entry("session.intra_op.allow_spinning") == "1",
        "optimisation": next(
            name for name, level in OPTIMISATION.items() if level == options.graph_optimization_level.name
        ),
        "provider": session.get_providers()[0],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "memory_limit_bytes": None if soft == resource.RLIM_INFINITY else soft,
        "options": {key: options.get_session_config_entry(key) for key in runtime["options"]},
    }


def _threads() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


def _thread_seconds(threads: list[str]) -> float:
    return sum(int((read(f"/proc/self/task/{t}/schedstat") or "0").split()[0]) for t in threads) / 1e9


# --- models and their inputs -----------------------------------------------------------------------------


def load(model: dict[str, Any], runtime: dict[str, Any]) -> Any:
    """A fresh session of the model's file.

    Raises:
        Refusal: the runtime does not take the file.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(
            model["path"], session_options(runtime), providers=[runtime["provider"]]
        )
    except MemoryError:
        raise Refusal("memory", f"there is not enough memory to load {model['name']}") from None
    except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
        kind = "memory" if "bad_alloc" in str(error) else "load"
        raise Refusal(kind, " ".join(str(error).split())) from None


def input_rows(session: Any, model: dict[str, Any]) -> list[dict[str, Any]]:
    """The feeds to cycle through: the rows of a given file, or one made from the signature."""
    wanted = {each.name: _numpy_type(each) for each in session.get_inputs()}
    shapes = {each.name: _shape(each, model["shapes"]) for each in session.get_inputs()}
    if model["inputs"] is None:
        generator = np.random.default_rng(0)
        return [{name: _made(generator, shapes[name], wanted[name]) for name in wanted}]
    given = _given(Path(model["inputs"]), list(wanted))
    feeds: list[dict[str, Any]] = []
    for name, stored in given.items():
        shape, batch = shapes[name], (shapes[name] or (1,))[0]
        if stored.dtype != wanted[name]:
            raise Refusal("input", f"input {name!r} takes {wanted[name]}, the file holds {stored.dtype}")
        fits = stored.ndim == len(shape) and all(
            have == want or (position == 0 and have >= want)
            for position, (have, want) in enumerate(zip(stored.shape, shape, strict=True))
        )
        if not fits:
            raise Refusal("input", f"input {name!r} takes {list(shape)}, the file holds {list(stored.shape)}")
        rows = [stored] if not shape else [
            stored[n * batch : (n + 1) * batch] for n in range(min(len(stored) // batch, INPUT_ROWS))
        ]  # fmt: skip
        feeds = feeds or [{} for _ in rows]
        for feed, row in zip(feeds, rows, strict=False):
            feed[name] = np.ascontiguousarray(row)
    return [feed for feed in feeds if len(feed) == len(wanted)]


def _given(path: Path, names: list[str]) -> dict[str, Any]:
    try:
        stored = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        arrays = {names[0]: stored} if path.suffix == ".npy" else {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError) as error:
        raise Refusal("input", f"{path.name} is no .npy or .npz file: {error}") from None
    if set(arrays) != set(names):
        raise Refusal("input", f"the model takes {sorted(names)}, the file holds {sorted(arrays)}")
    return arrays


def _numpy_type(each: Any) -> str:
    element = each.type.removeprefix("tensor(").removesuffix(")")
    if element not in NUMPY_TYPES:
        raise Refusal("input", f"input {each.name!r} is a {each.type}, which cannot be fed")
    return NUMPY_TYPES[element]


def _shape(each: Any, given: dict[str, list[int]]) -> tuple[int, ...]:
    """The shape to run with: the user's, else the signature's with a free first dimension taken as 1."""
    if each.name in given:
        shape = tuple(given[each.name])
        if len(shape) != len(each.shape) or any(
            isinstance(fixed, int) and fixed != chosen for fixed, chosen in zip(each.shape, shape, strict=True)
        ):
            raise Refusal("shape", f"input {each.name!r} takes {each.shape}, not {list(shape)}")
        return shape
    if any(not isinstance(size, int) for size in each.shape[1:]):
        raise Refusal("shape", f"input {each.name!r} has the free shape {each.shape} and no shape is given for it")
    return tuple(size if isinstance(size, int) else 1 for size in each.shape)


def _made(generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Plausible content: normal floats, random pixels, and 0 for every index, which is always in range."""
    if dtype.startswith("float"):
        return generator.standard_normal(shape).astype(dtype)
    if dtype in ("uint8", "int8"):
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype)
    return np.zeros(shape, dtype)


class Subject:
    """A session with bound inputs and outputs, so that an inference allocates nothing in Python."""

    def __init__(self, session: Any, model: dict[str, Any]) -> None:
        self.session = session
        self.name = model["name"]
        self.preprocess = model["preprocess"]
        self.pixels: list[Any] = []
        self.feeds = input_rows(session, model) if self.preprocess is None else self._pixel_rows(model)
        self.names = [each.name for each in session.get_outputs()]
        self.bindings: list[Any] = []

    def run_once(self) -> tuple[int, list[Any]]:
        """The time of the first inference in ns, and its outputs; binds all inputs for the later ones."""
        begin = time.perf_counter_ns()
        outputs = self._run(self.feeds[0])
        taken = time.perf_counter_ns() - begin
        for feed in self.feeds:
            self.bindings.append(self._bind(feed, outputs))
        return taken, outputs

    def call(self) -> tuple[Any, list[Any]]:
        """The function to time and the arguments to cycle through."""
        if self.preprocess is not None:
            return self._label, self.pixels
        return self.session.run_with_iobinding, self.bindings

    def _run(self, feed: dict[str, Any]) -> list[Any]:
        try:
            return list(self.session.run(None, feed))
        except MemoryError:
            raise Refusal("memory", f"there is not enough memory to run {self.name}") from None
        except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
            kind = "memory" if "bad_alloc" in str(error) or "Failed to allocate" in str(error) else "run"
            raise Refusal(kind, " ".join(str(error).split())) from None

    def _bind(self, feed: dict[str, Any], outputs: list[Any]) -> Any:
        from onnxruntime import OrtValue

        binding = self.session.io_binding()
        for name, array_ in feed.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array_))
        for name, output in zip(self.names, outputs, strict=True):
            if isinstance(output, np.ndarray) and output.dtype != object:
                binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(output.copy()))
            else:
                binding.bind_output(name)
        return binding

    def _pixel_rows(self, model: dict[str, Any]) -> list[dict[str, Any]]:
        (only,) = self.session.get_inputs()
        _, channels, height, width = _shape(only, model["shapes"])
        self.scale = (np.float32(1) / (np.float32(255) * np.asarray(self.preprocess["std"], np.float32)))
        self.shift = np.asarray(self.preprocess["mean"], np.float32) / np.asarray(self.preprocess["std"], np.float32)
        self.input_name = only.name
        if model["inputs"] is None:
            generator = np.random.default_rng(0)
            images = generator.integers(0, 256, (8, height, width, channels), dtype=np.uint8)
        else:
            images = _given(Path(model["inputs"]), [only.name])[only.name][:INPUT_ROWS]
            if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
                raise Refusal("input", f"images are {images.dtype} {list(images.shape)}, "
                                       f"wanted uint8 (N, {height}, {width}, {channels})")  # fmt: skip
        self.pixels = [np.ascontiguousarray(image) for image in images]
        return [{only.name: self._prepared(self.pixels[0])}]

    def _prepared(self, pixels: Any) -> Any:
        return np.ascontiguousarray((pixels * self.scale - self.shift).transpose(2, 0, 1)[np.newaxis])

    def _label(self, pixels: Any) -> int:
        """From uint8 (H, W, C) to the number of the class."""
        return int(self.session.run(None, {self.input_name: self._prepared(pixels)})[0].argmax())


def require_finite(name: str, session: Any, outputs: list[Any]) -> None:
    for each, output in zip(session.get_outputs(), outputs, strict=True):
        if isinstance(output, np.ndarray) and output.dtype.kind == "f" and not np.isfinite(output).all():
            raise Refusal("nan", f"{name} returns NaN or infinity in its output {each.name!r}")


# --- timing ----------------------------------------------------------------------------------------------


def time_block(function: Any, arguments: Any, least_ns: int, buffer: memoryview) -> int:
    """Runs until `least_ns` have passed (once at least) and returns how many durations it wrote."""
    clock = time.perf_counter_ns
    begin = end = clock()
    limit = len(buffer)
    count = 0
    for argument in arguments:
        begin_one = clock()
        function(argument)
        end = clock()
        buffer[count] = end - begin_one
        count += 1
        if end - begin >= least_ns or count == limit:
            break
    return count


def loop_overhead_ns(buffer: memoryview) -> dict[str, float]:
    """What the loop adds: inside a duration (clock and call), and between two of them."""

    def nothing(_argument: object) -> None:
        pass

    rounds = 20000
    cycle = itertools.cycle([None])
    time_block(nothing, itertools.islice(cycle, 1000), 1 << 60, buffer)
    begin = time.perf_counter_ns()
    count = time_block(nothing, itertools.islice(cycle, rounds), 1 << 60, buffer)
    whole = time.perf_counter_ns() - begin
    inside = float(np.median(np.frombuffer(buffer, np.int64)[:count]))
    return {"inside_ns": inside, "between_ns": max(0.0, whole / count - inside)}


class Measurement:
    """Raw samples of one process: blocks in the order in which they ran.

    Of a load that runs longer than `capacity` samples allow, every second turn is kept, then every fourth, and
    so on: by position alone, never by value. Inferences that were run and not kept are counted.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocks: list[tuple[int, int, int, int, int, int]] = []  # set, turn, model, start, settling, count
        self.samples: list[Any] = []
        self.inferences: list[int] = []
        self.buffer = memoryview(array("q", bytes(8 * BLOCK_LIMIT)))
        self._open_set(-1)

    def _open_set(self, number: int) -> None:
        self.set = number
        self.first = len(self.blocks)
        self.stride = 1

    def block(self, at: tuple[int, int, int], subject: Subject, arguments: Any, block_ns: int, settle_ns: int) -> None:
        """One block: inferences that settle caches and clocks after the change of model, then the timed ones."""
        number, turn, model = at
        if number != self.set:
            self._open_set(number)
        function, _ = subject.call()
        start = time.perf_counter_ns()
        settling = time_block(function, arguments, settle_ns, self.buffer)
        count = settling + time_block(function, arguments, block_ns, self.buffer[settling:])
        self.inferences[model] += count
        if turn % self.stride == 0:
            self.blocks.append((number, turn, model, start, settling, count))
            self.samples.append(np.frombuffer(self.buffer, np.int64)[:count].copy())
            if sum(block[5] for block in self.blocks[self.first :]) > self.capacity:
                self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        kept = [n for n in range(self.first, len(self.blocks)) if self.blocks[n][1] % self.stride == 0]
        self.blocks[self.first :] = [self.blocks[n] for n in kept]
        self.samples[self.first :] = [self.samples[n] for n in kept]

    def save(self, path: str, loads: list[tuple[int, int, int, int]]) -> None:
        arrays: dict[str, Any] = {
            "blocks": np.array(self.blocks, np.int64).reshape(-1, 6),
            "samples": np.concatenate(self.samples) if self.samples else np.zeros(0, np.int64),
            "loads": np.array(loads, np.int64).reshape(-1, 4),
            "inferences": np.array(self.inferences, np.int64),
        }
        with open(f"{path}.part", "wb") as stream:  # noqa: PTH123 - a name with a suffix of its own
            np.savez(stream, **arrays)
        Path(f"{path}.part").replace(path)


def measure(job: dict[str, Any], report: Reporter) -> None:
    """Sets of fresh loads: in each, every model is loaded anew and blocks of all are interleaved at random."""
    runtime, models = job["runtime"], job["models"]
    cold = cold_start(models[job["sets"][0][0]], runtime, report)
    report("cold", model=models[job["sets"][0][0]]["name"], **cold)
    if job["observe"]:
        report("settings", **observe_settings(runtime, models[0]))
    measurement = Measurement(job["capacity"])
    measurement.inferences = [0] * len(models)
    report("overhead", **loop_overhead_ns(measurement.buffer))
    generator = np.random.default_rng(job["seed"])
    loads: list[tuple[int, int, int, int]] = []
    gc.disable()
    for number, order in enumerate(job["sets"]):
        if number and time.perf_counter_ns() - START_NS > job["deadline_s"] * 1e9:
            break
        before = kernel_state()
        groups = [order] if job["together"] else [[position] for position in order]
        for group in groups:
            subjects, taken = load_all(models, group, runtime, report)
            loads += [(number, position, *taken[position]) for position in group]
            run_turns(measurement, subjects, number, job, generator)
            del subjects
            gc.collect()
        report("set", number=number, before=before, after=kernel_state())
    gc.enable()
    measurement.save(job["result"], loads)


def cold_start(model: dict[str, Any], runtime: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """The first load of this process: from its start to the first output, and the memory that took."""
    report("step", what="starting", model=model["name"])
    import onnxruntime  # noqa: F401 - its import is part of a cold start

    imported = time.perf_counter_ns()
    before = memory_bytes("VmHWM")
    session = load(model, runtime)
    loaded = time.perf_counter_ns()
    subject = Subject(session, model)
    first, outputs = subject.run_once()
    whole = loaded - START_NS + first
    require_finite(model["name"], session, outputs)
    return {
        "import_ns": imported - START_NS,
        "load_ns": loaded - imported,
        "first_ns": first,
        "cold_start_ns": whole,
        "peak_rss_bytes": memory_bytes("VmHWM"),
        "runtime_rss_bytes": before,
    }


def load_all(
    models: list[dict[str, Any]], order: list[int], runtime: dict[str, Any], report: Reporter
) -> tuple[dict[int, Subject], dict[int, tuple[int, int]]]:
    """Fresh sessions in the order given; per model the time to load and the first inference, in ns."""
    subjects: dict[int, Subject] = {}
    taken: dict[int, tuple[int, int]] = {}
    for position in order:
        model = models[position]
        report("step", what="loading", model=model["name"])
        begin = time.perf_counter_ns()
        session = load(model, runtime)
        load_ns = time.perf_counter_ns() - begin
        report("step", what="running", model=model["name"])
        subject = Subject(session, model)
        first, outputs = subject.run_once()
        require_finite(model["name"], session, outputs)
        subjects[position] = subject
        taken[position] = (load_ns, first)
    return subjects, taken


def run_turns(
    measurement: Measurement,
    subjects: dict[int, Subject],
    number: int,
    job: dict[str, Any],
    generator: np.random.Generator,
) -> None:
    """Turns until the set's time is over: in each, one block of every model, in an order drawn anew."""
    arguments = {position: itertools.cycle(subject.call()[1]) for position, subject in subjects.items()}
    share = len(subjects) / len(job["models"])
    begin = time.perf_counter_ns()
    for turn in itertools.count():
        if turn >= job["min_turns"] and time.perf_counter_ns() - begin > job["set_s"] * share * 1e9:
            break
        for position in generator.permutation(sorted(subjects)).tolist():
            at = (number, turn, position)
            measurement.block(
                at, subjects[position], arguments[position], int(job["block_s"] * 1e9), int(job["settle_s"] * 1e9)
            )


# --- the other jobs --------------------------------------------------------------------------------------


def predict(job: dict[str, Any], report: Reporter) -> None:
    """The raw outputs of each model for all rows of the inputs, in their order."""
    rows = np.load(job["inputs"], mmap_mode="r", allow_pickle=False)
    for model in job["models"]:
        report("step", what="loading", model=model["name"])
        session = load(model, job["runtime"])
        (only,) = session.get_inputs()
        fixed = only.shape[0]
        batch = fixed if isinstance(fixed, int) else job["batch"]
        report("step", what="running", model=model["name"])
        outputs: list[Any] = []
        reported = time.monotonic()
        done = 0
        for begin in range(0, len(rows), batch):
            part = np.ascontiguousarray(rows[begin : begin + batch])
            missing = fixed - len(part) if isinstance(fixed, int) else 0
            if missing:
                part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            try:
                output = session.run(None, {only.name: part})[0]
            except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
                raise Refusal("run", " ".join(str(error).split())) from None
            outputs.append(output[: len(part) - missing])
            if time.monotonic() - reported > 0.1 or begin + batch >= len(rows):
                reached = min(begin + batch, len(rows))
                report("predicted", model=model["name"], rows=reached - done)
                reported, done = time.monotonic(), reached
        result = np.concatenate(outputs)
        np.save(f"{model['result']}.part.npy", result, allow_pickle=False)
        Path(f"{model['result']}.part.npy").replace(model["result"])


def describe(_job: dict[str, Any], report: Reporter) -> None:
    """The machine and its state over a short while, for `edgekd doctor`."""
    before = kernel_state()
    time.sleep(0.5)
    report("state", before=before, after=kernel_state())


JOBS = {"measure": measure, "predict": predict, "describe": describe}


def main() -> int:
    report = Reporter()
    threading.current_thread().name = "agent"
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["protocol"] != PROTOCOL:
        report("refusal", kind="protocol", what=f"this agent speaks protocol {PROTOCOL}, not {job['protocol']}")
        return 3
    try:
        apply_to_process(job["runtime"])
        JOBS[job["kind"]](job, report)
        report("machine", **machine_facts())
    except Refusal as refusal:
        report("refusal", kind=refusal.kind, what=refusal.what)
        return 3
    except MemoryError:
        report("refusal", kind="memory", what="there is not enough memory")
        return 3
    report("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
