"""The start of the agent on the device: the clock first, because its imports are part of a cold start."""

import json
import sys
import time

START_NS = time.perf_counter_ns()
try:
    import numpy  # noqa: F401 - timed here
    import onnxruntime  # noqa: F401 - timed here
except ImportError as missing:
    why = {"event": "refusal", "kind": "missing", "what": f"this device's Python lacks {missing.name}: {missing}"}
    print(json.dumps(why))
    sys.exit(3)
IMPORT_NS = time.perf_counter_ns() - START_NS

from agent.main import main  # type: ignore[import-not-found]  # noqa: E402 - a name that exists inside the zip only

sys.exit(main(sys.argv[1], IMPORT_NS))
