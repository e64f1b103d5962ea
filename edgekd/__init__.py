"""edgekd: labelled data in, a small quantized model out, with the evidence that it may ship."""

__version__ = "0.1.0"
