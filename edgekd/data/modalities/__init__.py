"""What an input is, one package a kind: nothing else in edgekd knows one of them by name.

Each is a `Modality` (`base.py`). Its `inputs.py` reads files and makes a model's inputs of samples, in training and on
every device: it travels in the bundle, so it needs the standard library and numpy only. The rest, which describes,
changes and tells of samples, stays at home. A small kind may be one module, which travels as a whole.
"""
