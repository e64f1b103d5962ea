"""The frozen, serialisable facts that the parts of edgekd hand to each other; they import no other part."""
