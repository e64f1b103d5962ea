"""The machine below the stages: plan, fingerprints, content-addressed store, engine; it knows no ML library."""
