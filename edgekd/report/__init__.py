"""A run record for people: on the terminal, while it runs and after."""
