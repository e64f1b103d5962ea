"""What an input is, one file a kind: nothing else in the package knows one of them by name.

Each is a module that is a `Modality` (`base.py`). At import it needs the standard library and numpy only, because the
same file travels in the bundle, as `inputs.py`.
"""
