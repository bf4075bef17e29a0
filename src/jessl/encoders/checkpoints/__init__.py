"""Checkpoints of other libraries: read as data, matched by tensor names, loaded as a whole."""
