"""What is fuzzed: an area makes a damaged case, gives it to the code that reads such things, and says how it ended."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from hypothesis import strategies as st
from PIL import Image
from pydantic import JsonValue
from scipy.io import wavfile

from edgekd.cli.subjects import given as given_model
from edgekd.cli.subjects import load_target
from edgekd.config.pipeline import load_pipeline
from edgekd.data.csv import Csv
from edgekd.data.image_folder import ImageFolder
from edgekd.data.modalities.base import contract_for, feeds_for, modality
from edgekd.data.sound_folder import SoundFolder
from edgekd.data.text import Text
from edgekd.devices.channel import Channel
from edgekd.devices.ssh import SshWorkspace
from edgekd.graph.classifier import opened
from edgekd.graph.inspect import describe
from edgekd.harness.protocol import read_event
from edgekd.harness.replies import read_integers, read_outputs
from edgekd.pipeline.collect import collect
from edgekd.pipeline.store import Store
from edgekd.progress import Silent
from edgekd.reading import RefusedError, parse_json
from edgekd.records.base import digest, file_digest
from edgekd.records.stage import StageRecord
from edgekd.release.archive import unpack_archive, write_archive
from edgekd.release.bundle import build_bundle
from edgekd.release.device.predict import UnusableError
from edgekd.release.verify import load_model, read_manifest, verify
from edgekd.report.runs import load_run
from tests.command import REPOSITORY
from tests.fuzz import foreign_models, own_code, signals
from tests.fuzz.mutations import ODD_TEXTS, damaged_bytes, damaged_text, damaged_tree, odd_scalars, odd_values
from tests.fuzz.place import Area, Draw, Place, WrongError, removed
from tests.harness.conftest import convolutions
from tests.release.conftest import bundle_inputs, save_model

# pipelines, targets, --set

PIPELINES = sorted((REPOSITORY / "pipelines").glob("*.yaml"))
TARGETS = sorted((REPOSITORY / "targets").glob("*.yaml"))


def written(draw: Draw, place: Place, source: Path) -> Path:
    """A damaged copy of a YAML file, beside the targets that it names."""
    path = place.inside / source.name
    text = source.read_text(encoding="utf-8").replace("../targets", str(REPOSITORY / "targets"))
    if draw(st.booleans()):
        path.write_text(draw(damaged_text(text)), encoding="utf-8", errors="replace")
    else:
        path.write_text(yaml.safe_dump(draw(damaged_tree(yaml.safe_load(text)))), encoding="utf-8", errors="replace")
    return path


def pipelines(draw: Draw, place: Place) -> None:
    load_pipeline(written(draw, place, draw(st.sampled_from(PIPELINES))))


def targets(draw: Draw, place: Place) -> None:
    load_target(written(draw, place, draw(st.sampled_from(TARGETS))))


def key_paths(node: Any, before: str = "") -> list[str]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, value in items for path in (f"{before}{key}", *key_paths(value, f"{before}{key}."))]


KEYS = sorted({key for path in PIPELINES for key in key_paths(yaml.safe_load(path.read_text(encoding="utf-8")))})


def assignments(draw: Draw, place: Place) -> None:
    key = draw(st.sampled_from(KEYS) | st.text(max_size=10))
    if draw(st.booleans()):
        key += "." + draw(st.sampled_from(ODD_TEXTS) | st.text(max_size=5))
    value = draw(odd_values.map(json.dumps) | odd_scalars.map(str) | st.text(max_size=20))
    load_pipeline(draw(st.sampled_from(PIPELINES)), assignments=[f"{key}={value}"])


# data


def data_folders(draw: Draw, place: Place) -> None:
    root = place.inside / "pets"
    pictures = []
    for split in ("train", "test"):
        for kind in ("cat", "dog"):
            (root / split / kind).mkdir(parents=True)
            for number in range(2):
                path = root / split / kind / f"{number}.png"
                pixels = np.full((4, 4, 3), 40 * number, np.uint8)
                Image.fromarray(pixels).save(path)
                pictures.append(path)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(pictures))
        kind = draw(
            st.sampled_from(["bytes", "link", "loop", "pipe", "folder", "gone", "mode", "name", "outside", "empty"])
        )
        if kind == "bytes" and path.is_file() and not path.is_symlink():
            path.write_bytes(draw(damaged_bytes(path.read_bytes())))
            continue
        removed(path)
        if kind == "link":
            path.symlink_to(draw(st.sampled_from([str(pictures[0]), "/dev/zero", "nowhere", str(place.outside)])))
        elif kind == "loop":
            path.symlink_to(path.parent if draw(st.booleans()) else path.name)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "mode":
            mode = draw(st.sampled_from(["1", "L", "LA", "P", "I;16", "I", "F", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"]))
            ending = draw(st.sampled_from(["png", "tiff", "jpg", "bmp", "gif", "webp"]))
            try:
                Image.new(mode, draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))).save(
                    path.with_suffix(f".{ending}")
                )
            except (OSError, ValueError):
                path.with_suffix(f".{ending}").unlink(missing_ok=True)
        elif kind == "name":
            name = draw(st.binary(min_size=1, max_size=20)).replace(b"/", b"").replace(b"\0", b"") or b"x"
            (Path(os.fsdecode(os.fsencode(path.parent) + b"/" + name + b".png"))).write_bytes(b"\x89PNG")
        elif kind == "outside":
            path.symlink_to(place.witness)
        elif kind == "empty":
            path.touch()
    options = {"use": "image_folder", "path": str(root), **draw(st.sampled_from([{}, {"size": [6, 6]}]))}
    if draw(st.booleans()):
        archive = place.inside / "pets.tar"
        with tarfile.open(archive, "w") as packed:
            packed.add(root, ".")
        if draw(st.booleans()):
            archive.write_bytes(draw(damaged_bytes(archive.read_bytes())))
        options["path"] = str(archive)
    data = ImageFolder.model_validate(options).load(Silent())
    for part in (data.train, data.test):
        assert len(np.asarray(part.samples)) == len(part.labels)


def tables(draw: Draw, place: Place) -> None:
    rows = "".join(f"{number},{number / 4},{'odd' if number % 2 else 'even'}\n" for number in range(12))
    text = draw(damaged_text(f"count,quarter,kind\n{rows}"))
    path = place.inside / "table.csv"
    path.write_bytes(draw(damaged_bytes(text.encode())) if draw(st.booleans()) else text.encode("utf-8", "replace"))
    data = Csv.model_validate({"use": "csv", "path": str(path), "label": "kind"}).load(Silent())
    assert np.isfinite(np.asarray(data.train.samples)).all()


def texts(draw: Draw, place: Place) -> None:
    """Lines, tables and objects with a label and a text each; then what a device reads, one text a line."""
    ending = draw(st.sampled_from(["txt", "csv", "tsv", "jsonl"]))
    told = [("good", f"a fine day, number {number}") for number in range(6)] + [("bad", "rain\u00e9") for _ in range(6)]
    forms = {"txt": "{} {}", "csv": '{},"{}"', "tsv": "{}\t{}", "jsonl": '{{"label": "{}", "text": "{}"}}'}
    head = {"csv": "label,text\n", "tsv": "label\ttext\n"}.get(ending, "")
    text = head + "".join(f"{forms[ending].format(*each)}\n" for each in told)
    path = place.inside / f"texts.{ending}"
    damaged = draw(damaged_text(text))
    path.write_bytes(draw(damaged_bytes(text.encode())) if draw(st.booleans()) else damaged.encode("utf-8", "replace"))
    with contextlib.suppress(ValueError):
        assert modality("text").read(path, []).dtype.kind == "S"
    data = Text.model_validate({"use": "text", "train": str(path), "test": 0.3}).load(Silent())
    contract = contract_for("text", data.train.samples, data.classes, data.reading)
    ids = feeds_for(contract, data.test.samples)["ids"]
    vocabulary = contract.inputs[0].preprocessing["vocabulary"]
    assert isinstance(vocabulary, list)
    assert (ids < len(vocabulary)).all()
    assert (ids[:, 0] > 0).all()


def sounds(draw: Draw, place: Place) -> None:
    root = place.inside / "sounds"
    files = []
    for word in ("yes", "no"):
        (root / word).mkdir(parents=True)
        for number in range(4):
            files.append(root / word / f"{number}.wav")
            wavfile.write(files[-1], 8000, np.arange(900, dtype=np.int16))
    for path in draw(st.lists(st.sampled_from(files), min_size=1, max_size=3, unique=True)):
        path.write_bytes(draw(damaged_bytes(path.read_bytes())))
    options = {"use": "sound_folder", "path": str(root), "rate": 8000, "seconds": 0.1, "test": 0.5}
    data = SoundFolder.model_validate(options).load(Silent())
    assert np.asarray(data.train.samples).dtype == np.int16
    contract = contract_for("sound", data.train.samples, data.classes, data.reading)
    assert np.isfinite(feeds_for(contract, data.test.samples)["mel"]).all()


# ONNX files


def onnx_honest(folder: Path) -> None:
    convolutions(folder / "convolutions.onnx", 4, 2, 8)
    save_model(folder / "linear.onnx")
    for path in (REPOSITORY / "tests/golden/schema1/bundle").glob("*.onnx"):
        shutil.copy(path, folder / f"golden-{path.name}")


def onnx_files(draw: Draw, place: Place) -> None:
    source = draw(st.sampled_from(sorted(place.honest.glob("*.onnx"))))
    path = place.inside / source.name
    content = source.read_bytes()
    path.write_bytes(draw(damaged_bytes(content)) if draw(st.booleans()) else damaged_model(draw, content))
    given_model(path, "local")
    describe(path)
    opened(path)  # what `edgekd quantize` makes of a file before it runs it


def damaged_model(draw: Draw, content: bytes) -> bytes:
    """The model with some of its parts exchanged, by the fields of the format."""
    model = onnx.load_from_string(content)
    graph = model.graph
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(
            st.sampled_from(
                ["op", "input", "output", "dims", "type", "opset", "ir", "drop", "shape", "external", "raw"]
            )
        )
        node = graph.node[draw(st.integers(0, len(graph.node) - 1))] if graph.node else onnx.NodeProto()
        constants = list(graph.initializer)
        tensor = draw(st.sampled_from(constants)) if constants else onnx.TensorProto()
        if kind == "op":
            node.op_type = draw(st.sampled_from(["Relu", "Loop", "If", "", "NoSuchOp", "Conv", "Concat", "Constant"]))
        elif kind == "input":
            node.input.append(draw(st.sampled_from(["", "x", "nowhere", "y"])))
        elif kind == "output" and node.output:
            node.output[0] = draw(st.sampled_from(["", "x", "y", "w"]))
        elif kind == "dims":
            tensor.dims.append(draw(st.sampled_from([0, -1, 1, 2**40])))
        elif kind == "type":
            tensor.data_type = draw(st.integers(0, 30))
        elif kind == "opset":
            del model.opset_import[:]
            if draw(st.booleans()):
                model.opset_import.add(
                    domain=draw(st.sampled_from(["", "ai.onnx", "other"])), version=draw(st.integers(-1, 99))
                )
        elif kind == "ir":
            model.ir_version = draw(st.integers(-1, 99))
        elif kind == "drop" and graph.node:
            del graph.node[draw(st.integers(0, len(graph.node) - 1))]
        elif kind == "shape":
            value = draw(st.sampled_from([*graph.input, *graph.output])) if graph.input or graph.output else None
            if value is not None and draw(st.booleans()):
                value.ClearField("type")
                value.type.sequence_type.elem_type.tensor_type.elem_type = 1
            elif value is not None:
                value.type.tensor_type.elem_type = draw(st.integers(0, 30))
                value.type.tensor_type.shape.dim.add(dim_value=draw(st.sampled_from([-1, 0, 2**40])))
        elif kind == "external":
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key in ("location", "offset", "length"):
                tensor.external_data.add(
                    key=key,
                    value=draw(
                        st.sampled_from(["../outside/witness", "/etc/passwd", "x", "-1", "0", "9" * 30, "", "."])
                    ),
                )
        elif kind == "raw":
            tensor.raw_data = draw(st.binary(max_size=20))
    return bytes(model.SerializeToString())


# bundles and archives


def bundle_honest(folder: Path) -> None:
    build_bundle(bundle_inputs(folder), folder / "bundle")
    assert verify(folder / "bundle") == []
    write_archive(folder / "bundle", folder / "bundle.zip")


def manifests(draw: Draw, place: Place) -> None:
    old = draw(st.booleans())
    source = REPOSITORY / "tests/golden/schema1/bundle" if old else place.honest / "bundle"
    bundle = place.inside / "bundle"
    shutil.copytree(source, bundle)
    path = bundle / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if draw(st.booleans()):
        path.write_text(json.dumps(draw(damaged_tree(content))), encoding="utf-8", errors="replace")
    else:
        path.write_bytes(draw(damaged_bytes(path.read_bytes())))
    problems = verify(bundle)
    assert all(len(problem.splitlines()) <= 1 for problem in problems)
    manifest = read_manifest(bundle)
    if problems:
        raise UnusableError(problems[0])
    load_model(bundle, manifest).logits(np.load(bundle / manifest.golden_samples))


def bundle_files(draw: Draw, place: Place) -> None:
    """Any change of any file but the manifest is a problem."""
    bundle = place.inside / "bundle"
    shutil.copytree(place.honest / "bundle", bundle)
    path = draw(st.sampled_from(sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != "manifest.json")))
    before = path.read_bytes()
    kind = draw(st.sampled_from(["bytes", "gone", "link", "pipe", "folder", "added", "linked folder", "added folder"]))
    if kind == "bytes":
        path.write_bytes(draw(damaged_bytes(before)))
        if path.read_bytes() == before:
            return
    elif kind == "added":
        (path.parent / draw(st.sampled_from(["numpy.py", "x", ".hidden", "manifest.sig2", "json.py"]))).touch()
    elif kind == "linked folder":
        (path.parent / "more").symlink_to(place.root)
    elif kind == "added folder":
        (path.parent / "numpy").mkdir()
    else:
        path.unlink()
        if kind == "link":
            (place.inside / "same").write_bytes(before)
            path.symlink_to(place.inside / "same")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
    problems = verify(bundle)
    if not problems:
        raise WrongError(f"{kind} of {path.name} passes")
    raise UnusableError(problems[0])


def archives(draw: Draw, place: Place) -> None:
    archive = place.inside / "bundle.zip"
    if draw(st.booleans()):
        archive.write_bytes(draw(damaged_bytes((place.honest / "bundle.zip").read_bytes())))
    else:
        names = st.sampled_from(
            [
                "a",
                "../b",
                "/tmp/edgekd-fuzz-outside",
                "a/b",
                "a/../../c",
                "..",
                ".",
                "a//b",
                "C:\\x",
                "..\\x",
                "a/",
                "x\n",
            ]
        )
        with zipfile.ZipFile(archive, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as packed:
            for _ in range(draw(st.integers(0, 4))):
                entry = zipfile.ZipInfo(draw(names | st.text(min_size=1, max_size=300)))
                entry.external_attr = draw(st.sampled_from([0, 0o100644, 0o120777, 0o020666, 0o010644, 0o040755])) << 16
                content = draw(st.sampled_from([b"", b"../../outside/witness", b"x" * 1000]))
                packed.writestr(entry, content)
        if draw(st.booleans()):
            archive.write_bytes(draw(damaged_bytes(archive.read_bytes())))
    unpack_archive(archive, place.inside / "unpacked")
    if Path("/tmp/edgekd-fuzz-outside").exists():
        raise WrongError("unpacked outside")
    for path in (place.inside / "unpacked").rglob("*"):
        assert not path.is_symlink()


# boards

EVENTS: list[dict[str, Any]] = [
    {"event": "step", "what": "loading", "model": "m"},
    {"event": "waited", "seconds": 1.0},
    {"event": "refusal", "cause": "load", "what": "no"},
    {
        "event": "cold",
        "model": "m",
        "import_ns": 1,
        "load_ns": 2,
        "first_ns": 3,
        "peak_rss_bytes": 4,
        "runtime_rss_bytes": 5,
    },
    {"event": "overhead", "inside_ns": 1.0, "between_ns": 2.0},
    {"event": "predicted", "model": "m", "rows": 3},
    {"event": "graph", "model": "m", "saved": True},
    {"event": "identity", "cpu": "x", "machine": "y", "isa": ["a"], "cores": 2, "onnxruntime": "1.23"},
    {"event": "done"},
]


class _Process:
    """A process of which only the pipes are looked at."""

    def __init__(self, said: bytes, errors: bytes) -> None:
        self.stdin = Path("/dev/null").open("wb", buffering=0)  # noqa: SIM115
        self.stdout = _pipe(said)
        self.stderr = _pipe(errors)

    def poll(self) -> int:
        return 255

    def wait(self, timeout: float | None = None) -> int:
        return 255

    def kill(self) -> None:
        pass


def _pipe(content: bytes) -> io.FileIO:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.write(writing, content[:60_000])
    os.close(writing)
    return io.FileIO(reading)


def _hear(line: str) -> None:
    read_event(line)


def replies(draw: Draw, place: Place) -> None:
    """What a keeper says over the line, and what its files hold."""
    content = b"0123456789" * 20
    answers: list[Any] = [
        {"known": False},
        {},
        {"line": json.dumps(draw(st.sampled_from(EVENTS)))},
        {"ended": 0, "errors": ""},
        {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    ]
    if draw(st.booleans()):
        answers = draw(damaged_tree(answers, most=3))
    lines = [json.dumps(each).encode() for each in (answers if isinstance(answers, list) else [answers])]
    said = b"\n".join(lines) + b"\n" + content
    if draw(st.booleans()):
        said = draw(damaged_bytes(said))
    process = _Process(said, draw(st.binary(max_size=50)))
    channel = Channel(process)  # type: ignore[arg-type]
    workspace = SshWorkspace("board", channel, "python3", "/work")
    try:
        (place.inside / "sent").write_bytes(b"sent")
        workspace.put(place.inside / "sent")
        workspace.run(["python3"], _hear, 5)
        workspace.fetch("result", place.inside / "result")
        if (place.inside / "result").read_bytes() != content and said.endswith(content):
            raise WrongError("a damaged file is taken")
    finally:
        channel.close()
        assert not list(place.inside.glob(".*.part"))


def events(draw: Draw, place: Place) -> None:
    event = draw(damaged_tree(draw(st.sampled_from(EVENTS))))
    text = json.dumps(event)
    found = read_event(draw(damaged_bytes(text.encode())).decode("utf-8", "replace") if draw(st.booleans()) else text)
    if found is None:
        raise RefusedError("is no event")


def array_files(draw: Draw, place: Place) -> None:
    buffer, several = io.BytesIO(), draw(st.booleans())
    if several:
        np.savez(buffer, blocks=np.zeros((4, 6), np.int64), samples=np.arange(9))
    else:
        np.save(buffer, draw(st.sampled_from([np.zeros((3, 5), np.float32), np.zeros((3, 5)), np.zeros(3, "U2")])))
    path = place.inside / ("r.npz" if several else "r.npy")
    path.write_bytes(draw(damaged_bytes(buffer.getvalue())))
    if several:
        found = read_integers(path, {"blocks": 6, "samples": 0})
        assert set(found) == {"blocks", "samples"}
    else:
        assert len(read_outputs(path, "m", 3)) == 3


# records and the store


def json_texts(draw: Draw, place: Place) -> None:
    text = (REPOSITORY / "tests/golden/schema1/run.json").read_bytes()[:3000]
    parse_json(
        draw(damaged_bytes(text) | st.binary(max_size=60) | odd_values.map(lambda each: json.dumps(each).encode()))
    )


def run_records(draw: Draw, place: Place) -> None:
    path = place.inside / "run.json"
    source = REPOSITORY / "tests/golden/schema1/run.json"
    if draw(st.booleans()):
        content = draw(damaged_tree(json.loads(source.read_text(encoding="utf-8"))))
        path.write_text(json.dumps(content), encoding="utf-8", errors="replace")
    else:
        path.write_bytes(draw(damaged_bytes(source.read_bytes())))
    load_run(path)


class _AStage:
    name = "made"
    records: dict[str, Any] = {}


def store_contents(draw: Draw, place: Place) -> None:
    store = Store(place.inside / "store")
    source = place.inside / "model.onnx"
    source.write_bytes(b"0123456789" * 50)
    artifact = store.ingest(source)
    preimage: dict[str, JsonValue] = {"options": {"epochs": 3}}
    record = StageRecord(
        stage="made", fingerprint=digest(preimage), preimage=preimage, outputs={"model": artifact}, headline="made",
        seconds=1.0, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    store.commit(record)
    blob, entry = store.path(artifact), store.records_folder / "made" / f"{record.fingerprint}.json"
    honest = entry.read_bytes()
    elsewhere = place.inside / "elsewhere"  # a folder of the store on another disk is its user's choice
    elsewhere.mkdir()
    for _ in range(draw(st.integers(1, 2))):
        # no `store.root`, and nothing above it: it is removed and exchanged for links
        path = draw(st.sampled_from([blob, entry, entry.parent, blob.parent, store.work_folder, store.last_folder]))
        kind = draw(st.sampled_from(["bytes", "tree", "gone", "folder", "link", "pipe", "file", "loop"]))
        if not path.parent.is_dir() or (path.parent.is_symlink() and path.parent != store.root):
            continue
        if kind in ("bytes", "tree") and path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            path.unlink()
            if kind == "tree" and path == entry and content == honest:
                path.write_text(json.dumps(draw(damaged_tree(json.loads(content)))), encoding="utf-8", errors="replace")
            else:
                path.write_bytes(draw(damaged_bytes(content)))
            continue
        if kind in ("bytes", "tree"):
            continue
        removed(path)
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(draw(st.sampled_from([str(place.witness), "/dev/zero", "nowhere", str(elsewhere)])))
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "file":
            path.write_bytes(b"x")
    store = Store(store.root)
    collect(store, older_than_days=1, dry_run=True)
    found = store.find(_AStage(), record.fingerprint, Silent())  # type: ignore[arg-type]
    with store.stage_lock("made", record.fingerprint, Silent()), store.in_use():
        store.work(record.fingerprint, fresh=draw(st.booleans()))
        store.discard_work(record.fingerprint)
    collect(store, older_than_days=1, dry_run=False)
    if found is None:
        source.write_bytes(b"0123456789" * 50)
        store.ingest(source)
        store.commit(record)
        found = store.find(_AStage(), record.fingerprint, Silent())  # type: ignore[arg-type]
        if found is None:
            raise WrongError("what was made again is not found")
        raise RefusedError("is damaged")
    if found.model_copy(update={"checksum": ""}) != record or file_digest(blob) != artifact.digest:
        raise WrongError("a damaged entry passes")


AREAS = (
    Area("pipelines", pipelines),
    Area("targets", targets),
    Area("assignments", assignments),
    Area("data folders", data_folders),
    Area("tables", tables),
    Area("texts", texts),
    Area("sounds", sounds),
    Area("onnx files", onnx_files, onnx_honest),
    Area("manifests", manifests, bundle_honest),
    Area("bundle files", bundle_files, bundle_honest),
    Area("archives", archives, bundle_honest),
    Area("replies", replies),
    Area("events", events),
    Area("array files", array_files),
    Area("json", json_texts),
    Area("run records", run_records),
    Area("store", store_contents),
    own_code.AREA,
    foreign_models.AREA,
    signals.AREA,
)
