"""A network in the arithmetic that its 8-bit file has, to be trained in it."""
