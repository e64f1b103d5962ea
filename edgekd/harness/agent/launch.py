"""The start of the agent on the device: its turn, then the clock, because its imports are part of a cold start."""

import json
import sys
import time

from agent.turn import take_turn  # type: ignore[import-not-found]  # a name that exists inside the zip only

TURN = take_turn(sys.argv[1])
START_NS = time.perf_counter_ns()
try:
    import numpy  # noqa: F401 - timed here
    import onnxruntime  # noqa: F401 - timed here
except ImportError as missing:
    why = {"event": "refusal", "kind": "missing", "what": f"this device's Python lacks {missing.name}: {missing}"}
    print(json.dumps(why))
    sys.exit(3)
IMPORT_NS = time.perf_counter_ns() - START_NS

from agent.main import main  # type: ignore[import-not-found]  # noqa: E402 - after what is timed

sys.exit(main(sys.argv[1], IMPORT_NS))
