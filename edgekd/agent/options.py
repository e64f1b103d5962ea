"""The session options of onnxruntime for the settings that ship.

This file runs as it is wherever a model runs: in the agent, and in a bundle under the name `session.py`. It knows
Python 3.9 and onnxruntime, nothing else.
"""

from __future__ import annotations

from typing import Any

import onnxruntime

OPTIMISATION = {"none": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
                "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}  # fmt: skip
"""The levels of graph optimisation, by the names that settings give them."""


def merged(runtime: dict[str, Any], session: dict[str, str]) -> dict[str, str]:
    """The session configuration entries of a target's runtime settings, with those of the model over them."""
    return {**runtime["options"], **session}


def session_options(runtime: dict[str, Any], session: dict[str, str]) -> onnxruntime.SessionOptions:
    """What a session of a model is made with.

    runtime: `RuntimeSettings` as plain data; session: the configuration entries that belong to the model.
    """
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
    for key, value in merged(runtime, session).items():
        options.add_session_config_entry(key, value)
    return options
