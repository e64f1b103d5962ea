"""Whether images that are more than memory go through: python benchmarks/large_folder.py [--images 100000] [--side 224]

It makes a folder of synthetic JPEGs (with --tar a tar file), few different ones under many names, and runs
`edgekd run --until data` on it. Then it reads every training sample once, in random order and in batches, as an epoch
does; with --train it trains a small network for an epoch instead. Of each it tells the time, and the peak memory of the
process: all that is resident, and of that what is no page of a file (goal: under 3 GiB). The disk needs about 3 bytes a
pixel, besides the files.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

DIFFERENT = 64  # images; a file system allows only so many names for one file, which is far more than are used
CLASSES = 10
LOOK_S = 0.05
GIB = 2**30

PIPELINE = """\
name: large
data: {{use: image_folder, path: {source}}}
teacher: {{model: {{use: conv, width: 8, stages: 4}}, epochs: 1, min_accuracy: 0}}
student: {{model: {{use: conv, width: 4, stages: 4}}}}
distill: {{epochs: 1, losses: [kd]}}
quantize: {{candidates: [int8_qdq]}}
targets: [here.yaml]
release: {{max_accuracy_drop: 1.0}}
"""

READ = """
import sys
from pathlib import Path
from edgekd.config.training import TrainingOptions
from edgekd.records.contract import ModelContract
from edgekd.stages.files import load_record, load_split
from edgekd.training.views import Views

split = load_split(Path(sys.argv[1]))
options = TrainingOptions(epochs=1, batch_size=128, learning_rate=0.01)
views = Views(split, load_record(ModelContract, Path(sys.argv[2])), options, seed=0, section="teacher")
print(sum(len(batch.rows) for batch in views.epoch(0)), "of", len(split), "training images read at random")
"""


def jpegs(side: int) -> list[bytes]:
    """Pictures with coarse shapes, as photographs have: some 10 KB each at 224 x 224."""
    found = []
    for seed in range(DIFFERENT):
        coarse = np.random.default_rng(seed).integers(0, 256, (max(2, side // 8), max(2, side // 8), 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
        found.append(stream.getvalue())
    return found


def file_name(number: int) -> str:
    return f"class-{number % CLASSES}/{number:07}.jpg"


def make_folder(root: Path, images: int, side: int) -> None:
    for each in range(CLASSES):
        (root / f"class-{each}").mkdir(parents=True)
    for number, content in enumerate(jpegs(side)[:images]):
        (root / file_name(number)).write_bytes(content)
    for number in range(DIFFERENT, images):
        (root / file_name(number)).hardlink_to(root / file_name(number % DIFFERENT))


def make_tar(path: Path, images: int, side: int) -> None:
    contents = jpegs(side)
    with tarfile.open(path, "w") as archive:
        for number in range(images):
            entry = tarfile.TarInfo(file_name(number))
            entry.size = len(contents[number % DIFFERENT])
            archive.addfile(entry, io.BytesIO(contents[number % DIFFERENT]))


def measured(label: str, command: list[str], folder: Path) -> str:
    """What the command prints; tells its time and memory."""
    environment = {**os.environ, "EDGEKD_STORE": str(folder / "store"), "XDG_CACHE_HOME": str(folder / "cache")}
    begin = time.monotonic()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        resident = anonymous = 0
        while process.poll() is None:
            now = memory_bytes(process.pid)
            resident, anonymous = max(resident, now.get("VmHWM", 0)), max(anonymous, now.get("RssAnon", 0))
            time.sleep(LOOK_S)
    said = (folder / "output.txt").read_text()
    if process.returncode:
        raise SystemExit(said)
    print(
        f"{label}: {time.monotonic() - begin:.0f} s, peak memory {resident / GIB:.2f} GiB, "
        f"{anonymous / GIB:.2f} GiB of it no pages of files (goal: under 3 GiB)"
    )
    return said


def memory_bytes(process: int) -> dict[str, int]:
    """The lines of Linux's status that are in kB; nothing once the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return {name: 1024 * int(rest[0]) for name, rest in fields.items() if rest[1:] == ["kB"]}


def size_bytes(folder: Path) -> int:
    """What the files hold, several names of one counted once."""
    sizes = {status.st_ino: status.st_size for status in (path.lstat() for path in folder.rglob("*") if path.is_file())}
    return sum(sizes.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--tar", action="store_true", help="a tar file in place of a folder")
    parser.add_argument("--train", action="store_true", help="an epoch of a small network in place of reading")
    parser.add_argument("--folder", type=Path, help="where to work; in the system's temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        source = folder / ("images.tar" if options.tar else "images")
        begin = time.monotonic()
        (make_tar if options.tar else make_folder)(source, options.images, options.side)
        pixels = 3 * options.images * options.side**2
        print(
            f"{options.images:,} images of {options.side} x {options.side}, {pixels / GIB:.2f} GiB of pixels, "
            f"made in {time.monotonic() - begin:.0f} s"
        )
        (folder / "large.yaml").write_text(PIPELINE.format(source=source.name))
        (folder / "here.yaml").write_text("name: here\ndevice: local\n")
        run = [sys.executable, "-m", "edgekd", "run", "large.yaml"]
        measured("data stage", [*run, "--until", "data"], folder)
        print(f"store: {size_bytes(folder / 'store') / GIB:.2f} GiB")
        if options.train:
            measured("an epoch of training", [*run, "--until", "train@teacher"], folder)
            return
        (record,) = folder.glob("runs/large/*/run.json")
        outputs = json.loads(record.read_text())["stages"][0]["outputs"]
        blobs = [
            folder / "store" / "blobs" / each["digest"][:2] / f"{each['digest']}.{each['kind']}"
            for each in (outputs["train"], outputs["contract"])
        ]
        print(measured("an epoch of reading", [sys.executable, "-c", READ, *map(str, blobs)], folder).strip())


if __name__ == "__main__":
    main()
