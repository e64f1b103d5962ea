"""The stages of a pipeline, one thin file each, and what puts them together."""
