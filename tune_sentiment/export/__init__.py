"""A trial -> a bundle: export it, check it, predict with it."""
