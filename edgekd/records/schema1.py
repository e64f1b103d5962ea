"""What the first schema of run.json and of manifests said, in the words of the second: plain data in, plain data out.

It knew three models, `teacher`, `student` and `int8`, and images.
"""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]

SHIPPED, FP32, TEACHER = "int8", "fp32", "teacher"
NAMES = {"teacher": TEACHER, "student": FP32, "int8": SHIPPED}
STAGES = {"teacher": "train@teacher", "distill": "train@student", "quantize": f"quantize@{SHIPPED}"}


def run_from_1(content: Plain) -> Plain:
    """A run.json of schema 2.

    Raises:
        KeyError, TypeError: it is not what the first schema says.
    """
    kept = (
        "edgekd",
        "name",
        "seed",
        "created",
        "seconds",
        "peak_rss_bytes",
        "machine",
        "pipeline",
        "config",
        "targets",
    )
    records: dict[str, Plain] = {
        "network": {name: content[name] for name in ("teacher", "student") if content.get(name)},
        "exported": {name: _exported(each) for name, each in (content.get("exported") or {}).items()},
        "candidate": {SHIPPED: _candidate(content["quantized"])} if content.get("quantized") else {},
        "evaluation": {name: _evaluation(each) for name, each in content.get("evaluations", {}).items()},
        "latency": {name: _latency(each) for name, each in content.get("latencies", {}).items()},
        "instructions": {name: _instructions(each) for name, each in content.get("instructions", {}).items()},
        "release": {"release": _release(content["release"])} if content.get("release") else {},
    }
    return {
        "schema": 2,
        **{key: content[key] for key in kept},
        "stages": [_stage(each) for each in content["stages"]],
        "records": {kind: each for kind, each in records.items() if each},
        "unreachable": content.get("unreachable", {}),
        "error": content.get("error", ""),
    }


def manifest_from_1(content: Plain) -> Plain:
    """A bundle's manifest of schema 2; its files keep their names.

    Raises:
        KeyError, TypeError: it is not what the first schema says.
    """
    golden = content["golden"]
    return {
        "schema": 2,
        **{key: content[key] for key in ("edgekd", "name", "outcome", "source", "files")},
        "contract": _contract(content["contract"]),
        "models": {
            SHIPPED: {
                "file": content["model_file"],
                "scheme": content["scheme"],
                "session": {},
                "facts": content["model"],
                "golden": {key: golden[key] for key in ("logits", "tolerance", "onnxruntime")},
            }
        },
        "targets": {name: _target(each) for name, each in content["targets"].items()},
        "golden_samples": golden["images"],
    }


def _stage(content: Plain) -> Plain:
    outputs = {port: {k: v for k, v in each.items() if k != "meta"} for port, each in content["outputs"].items()}
    stage = "train" if content["stage"] in ("teacher", "distill") else content["stage"]
    return {**content, "id": STAGES.get(content["id"], content["id"]), "stage": stage, "outputs": outputs}


def _contract(content: Plain) -> Plain:
    (image,) = content["inputs"]
    spec = {
        "name": image["name"],
        "dtype": image["dtype"],
        "shape": [image["channels"], image["height"], image["width"]],
        "preprocessing": {"mean": image["mean"], "std": image["std"]},
    }
    return {"modality": "image", "inputs": [spec], "classes": content["classes"], "output": content["output"]}


def _exported(content: Plain) -> Plain:
    parity = content["parity"]
    return {
        "facts": content["facts"],
        "parity": {"samples": parity["images"], **{key: parity[key] for key in ("max_abs_difference", "flipped")}},
    }


def _candidate(content: Plain) -> Plain:
    quantization = content["quantization"]
    return {
        "name": SHIPPED,
        "network": "student",
        "scheme": content["scheme"],
        "file": {
            "facts": content["facts"],
            "execution": quantization["execution"],
            "session": {},
            "calibration_samples": quantization["calibration_images"],
            "saturates_without_vnni": quantization["saturates_without_vnni"],
        },
    }


def _evaluation(content: Plain) -> Plain:
    models = {NAMES[name]: each for name, each in content["models"].items()}
    pairs = [
        {"model": name, "reference": TEACHER, **each["against_teacher"]}
        for name, each in models.items()
        if name != TEACHER
    ]
    if SHIPPED in models:
        pairs.append({"model": SHIPPED, "reference": FP32, **content["int8_against_student"]})
    return {
        "target": content["target"],
        "samples": content["images"],
        "reference": TEACHER,
        "shipped": SHIPPED,
        "models": {
            name: {key: value for key, value in each.items() if key != "against_teacher"}
            for name, each in models.items()
        },
        "pairs": pairs,
    }


def _latency(content: Plain) -> Plain:
    return {
        **content,
        "models": [{**each, "name": NAMES[each["name"]]} for each in content["models"]],
        "comparisons": [
            {**each, "model": NAMES[each["model"]], "baseline": NAMES[each["baseline"]]}
            for each in content["comparisons"]
        ],
    }


def _instructions(content: Plain) -> Plain:
    return {"models": {NAMES[name]: each for name, each in content["models"].items()}}


def _release(content: Plain) -> Plain:
    return {
        "verdict": content["verdict"],
        "targets": content["targets"],
        "shipped": dict.fromkeys(content["targets"], SHIPPED),
        "checks": content["checks"],
        "agreements": {name: _agreement(each) for name, each in content.get("agreements", {}).items()},
    }


def _agreement(content: Plain) -> Plain:
    return {
        "reference": content["reference"],
        "samples": content["images"],
        "flipped": content["flipped"],
        "flips": [
            {"sample": each["image"], **{key: each[key] for key in ("expected", "found", "margin")}}
            for each in content["flips"]
        ],
        "largest_difference": content["largest_difference"],
    }


def _target(content: Plain) -> Plain:
    accuracy, latency = content["accuracy"], content["latency"]
    return {
        "model": SHIPPED,
        "runtime": content["session"],
        "outcome": content["outcome"],
        "checks": content["checks"],
        "accuracy": None if accuracy is None else _evaluation(accuracy),
        "latency": None if latency is None else _latency(latency),
    }
