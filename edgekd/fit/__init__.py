"""Finding the shape of the student: priced on the targets untrained, then the few that could be best trained."""
