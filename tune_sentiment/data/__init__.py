"""Reviews -> arrays: read any source, number its words, split it."""
