"""The program that runs on the device: standard library, numpy and onnxruntime, nothing of edgekd.

It is shipped as one file, a zip of this folder that Python runs as it is, with `launch.py` as its `__main__`:

    python agent.pyz JOB.json

It reads a job, does it, writes raw samples or raw outputs to the file that the job names, and reports on
standard output in JSON lines (`harness/protocol.py` describes both directions). It computes no statistics and
never sees a label: the host does all of that, so every old run can be analysed again.
"""
