"""Many runs of one pipeline with other settings: proposed, trained here or on a cluster, and compared."""
