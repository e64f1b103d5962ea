"""A small pipeline with a search for its student's shape, and prices for it that nobody had to measure."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from edgekd.records.pricing import Priced, PricedFile, PricingRecord

PIPELINE = """\
name: small
data: {use: digits, validation: 0.15}
teacher: {model: {use: conv, width: 12, stages: 2}, epochs: 2}
student:
  model: {use: conv, width: 9, stages: 2} # of 9 channels
distill:
  epochs: 3
  views: 2
  losses: [{use: cross_entropy}, {use: kd}]
quantize: {candidates: [fp32, int8_weights], max_accuracy_drop: 0.1}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
fit:
  budget: {p50_ms: 5}
  minutes: 60
"""


def priced(shape: Mapping[str, JsonValue], p50_s: float, size: int, unfit: str = "") -> Priced:
    file = PricedFile(candidate="int8_weights", size_bytes=size, p50_s=p50_s, interval_s=(p50_s, p50_s), unfit=unfit)
    return Priced(shape=dict(shape), parameters=size, macs=10 * size, files={"here": (file,)}, unfit=unfit)


def conv(width: int, **options: JsonValue) -> dict[str, JsonValue]:
    return {"use": "conv", "width": width, "depth": 1, "stages": 2, **options}


PRICING = PricingRecord(
    shapes=(
        *(priced(conv(width), width * 1e-6, 400 * width) for width in (2, 4, 8, 16)),
        priced({"use": "mlp", "width": 16}, 3e-6, 1200),
        priced(conv(64), 1e-2, 90_000, unfit="int8_weights takes 10.0 ms"),
    ),
    predictions=(),
    seconds=1.0,
)
