"""The start of the agent on the device: its turn, then the clock, because its imports are part of a cold start."""

import json
import os
import sys
import time

from agent.leash import follow_host  # type: ignore[import-not-found]  # a name that exists inside the zip only
from agent.turn import read_job, take_turn  # type: ignore[import-not-found]

follow_host()
os.environ["TMPDIR"] = os.path.dirname(os.path.abspath(sys.argv[1]))  # noqa: PTH100, PTH120 - ONNX Runtime writes .ses
JOB = read_job(sys.argv[1])
if JOB["task"] == "identify":  # without numpy and onnxruntime, which take seconds to import on a small device
    from agent.identify import identify  # type: ignore[import-not-found]

    sys.exit(identify())

TURN = take_turn(JOB)
START_NS = time.perf_counter_ns()
try:
    import numpy  # noqa: F401 - timed here
    import onnxruntime  # noqa: F401 - timed here
except ImportError as missing:
    why = {"event": "refusal", "cause": "missing", "what": f"this device's Python lacks {missing.name}: {missing}"}
    print(json.dumps(why))
    sys.exit(3)
IMPORT_NS = time.perf_counter_ns() - START_NS

from agent.main import main  # type: ignore[import-not-found]  # noqa: E402 - after what is timed

sys.exit(main(JOB, IMPORT_NS))
