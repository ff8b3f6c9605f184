"""Files that every node of a cluster reaches, and a run folder that is kept there; no torch, no ray."""
