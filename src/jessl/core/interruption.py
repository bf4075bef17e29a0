"""Work that is stopped from outside."""


class Stopped(Exception):
    """The work was asked to stop; what is complete is saved, and the same call goes on from it."""
