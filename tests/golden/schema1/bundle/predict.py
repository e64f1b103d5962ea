#!/usr/bin/env python3
"""Label and confidence for images: python3 predict.py image.png ...

Needs python3 (3.9 or newer), numpy and onnxruntime. Reads .npy, .pgm and .ppm; with Pillow also PNG, JPEG and so on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import onnxruntime
except ImportError as missing:
    sys.exit(f"error: {missing.name} is not installed\nhint: python3 -m pip install numpy onnxruntime")

LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}


class UnusableError(Exception):
    """An image or a bundle that cannot be used, told in one line."""


class Model:
    """The model of a bundle, set up as it was measured."""

    def __init__(self, folder: Path, manifest: dict[str, Any], target: str | None = None) -> None:
        """`target`: whose session settings to use, the manifest's first by default."""
        targets = manifest["targets"]
        name = target or next(iter(targets), None)
        if name not in targets:
            known = ", ".join(targets) or "none"
            raise UnusableError(f"the bundle has no settings for target {name!r}; it has {known}")
        self.image = manifest["contract"]["inputs"][0]
        self.classes = manifest["contract"]["classes"]
        session = targets[name]["session"]
        try:
            self.session = onnxruntime.InferenceSession(
                str(folder / manifest["model_file"]), _options(session), providers=[session["provider"]]
            )
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise UnusableError(f"ONNX Runtime {onnxruntime.__version__} cannot load the model: {reason}") from error

    def logits(self, images: Any) -> Any:
        """float32 (N, classes); images: uint8 (N, H, W, C)."""
        fed = self.preprocessed(images)
        name, size = self.session.get_inputs()[0].name, self.session.get_inputs()[0].shape[0]
        if not isinstance(size, int):
            return self.session.run(None, {name: fed})[0]
        # a model with a fixed batch: the last one is filled up, and what that answers is dropped
        padded = np.concatenate([fed, np.zeros((-len(fed) % size, *fed.shape[1:]), fed.dtype)])
        answers = [self.session.run(None, {name: padded[at : at + size]})[0] for at in range(0, len(padded), size)]
        return np.concatenate(answers)[: len(fed)]

    def preprocessed(self, images: Any) -> Any:
        """(pixel / 255 - mean) / std as float32 (N, C, H, W); images: uint8 (N, H, W, C)."""
        mean, std = np.array(self.image["mean"]), np.array(self.image["std"])
        values = ((np.arange(256)[:, None] / 255.0 - mean) / std).astype(np.float32)
        return np.ascontiguousarray(
            np.stack([values[images[..., c], c] for c in range(self.image["channels"])], axis=1)
        )

    def read(self, path: Path) -> Any:
        """uint8 (H, W, C), in the size and channels that the model takes."""
        pixels = _read_pixels(path)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
            found = f"{pixels.dtype} {pixels.shape}"
            raise UnusableError(f"{path}: expected uint8 pixels (H, W) or (H, W, 1 or 3), found {found}")
        if pixels.shape[2] != self.image["channels"]:
            pixels = _grey(pixels) if self.image["channels"] == 1 else np.repeat(pixels, 3, axis=2)
        wanted = (self.image["height"], self.image["width"])
        if pixels.shape[:2] != wanted:
            raise UnusableError(
                f"{path}: the image is {pixels.shape[1]}x{pixels.shape[0]}, the model takes {wanted[1]}x{wanted[0]}; "
                "resize it as the training images were"
            )
        return pixels


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as plain data.

    Raises:
        UnusableError: it is missing, not JSON, or of a newer schema.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnusableError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        raise UnusableError(f"{path} is not JSON") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int) or schema < 1:
        raise UnusableError(f"{path} is not a bundle's manifest")
    if schema > 1:
        raise UnusableError(f"{path} has schema {schema}, made by a newer edgekd; this program knows schema 1")
    return dict(manifest)


def softmax(logits: Any) -> Any:
    """Probabilities (N, classes)."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _options(session: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = session["threads"]
    options.inter_op_num_threads = session["inter_op_threads"]
    if session["inter_op_threads"] > 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[session["optimisation"]])
    options.log_severity_level = 3
    spinning = "1" if session["spinning"] else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    for key, value in session["options"].items():
        options.add_session_config_entry(key, value)
    return options


def _read_pixels(path: Path) -> Any:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix in (".pgm", ".ppm"):
            return _read_netpbm(path)
        return _read_with_pillow(path)
    except OSError as error:
        raise UnusableError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UnusableError(f"cannot read {path}: {error}") from error


def _read_netpbm(path: Path) -> Any:
    """Binary PGM (P5) or PPM (P6) of one byte a sample."""
    content = path.read_bytes()
    fields: list[bytes] = []
    at = 0
    while len(fields) < 4 and at < len(content):
        if content[at : at + 1] == b"#":
            at = content.find(b"\n", at) + 1 or len(content)
        elif content[at : at + 1].isspace():
            at += 1
        else:
            start = at
            while at < len(content) and not content[at : at + 1].isspace():
                at += 1
            fields.append(content[start:at])
    if len(fields) < 4 or fields[0] not in (b"P5", b"P6") or fields[3] != b"255":
        raise ValueError("not a binary PGM or PPM with 255 levels")
    width, height, channels = int(fields[1]), int(fields[2]), 1 if fields[0] == b"P5" else 3
    pixels = np.frombuffer(content, np.uint8, offset=at + 1)
    if len(pixels) < width * height * channels:
        raise ValueError("the file is cut short")
    return pixels[: width * height * channels].reshape(height, width, channels)


def _read_with_pillow(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise UnusableError(
            f"{path}: reading {path.suffix or 'this file'} needs Pillow (python3 -m pip install pillow); "
            ".npy, .pgm and .ppm are read without"
        ) from None
    with Image.open(path) as image:
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _grey(pixels: Any) -> Any:
    """Luma of ITU-R BT.601 in the integers that Pillow uses, so that both ways of reading agree."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[..., None]


def main() -> int:
    parser = argparse.ArgumentParser(description="Label and confidence for images.")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--target", help="whose session settings to use; the first of the manifest by default")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent
    try:
        model = Model(folder, load_manifest(folder), arguments.target)
        pixels = np.stack([model.read(path) for path in arguments.images])
    except UnusableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        print(f"error: the manifest is damaged: {type(error).__name__} {error}", file=sys.stderr)
        return 2
    probabilities = softmax(model.logits(pixels))
    for number, path in enumerate(arguments.images):
        best = int(probabilities[number].argmax())
        print(f"{path}\t{model.classes[best]}\t{probabilities[number, best]:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
