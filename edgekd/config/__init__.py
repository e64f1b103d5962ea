"""What the user writes: YAML read with positions, checked against a schema, never rewritten."""
