"""The exception of work that was stopped from outside."""


class Stopped(Exception):
    """Stopped on request: what is complete is saved, and the same call continues the work."""
