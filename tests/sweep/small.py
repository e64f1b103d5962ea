"""A pipeline whose trainings take a moment."""

from __future__ import annotations

PIPELINE = """\
name: small
data: {use: digits, validation: 0.15}
teacher: {model: {use: conv, width: 8, stages: 2}, epochs: 2}
student: {model: {use: conv, width: 4, stages: 2}}
distill:
  epochs: 3
  losses: [{use: cross_entropy}, {use: kd}]
quantize: {candidates: [fp32, int8_weights]}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
