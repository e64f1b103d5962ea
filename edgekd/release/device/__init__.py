"""The programs that go into a bundle: python3, numpy and onnxruntime only, and nothing of edgekd."""
