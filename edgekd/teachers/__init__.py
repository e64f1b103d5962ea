"""Teachers that are not trained here, one file a kind: whatever answers with logits can teach."""
