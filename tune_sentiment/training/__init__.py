"""Arrays -> a model: the network, the loop and its checkpoints (no Ray in here)."""
