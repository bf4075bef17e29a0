"""Loggers: one file each, named as `--log` names it; the folder is the registry.

A file imports its library where it opens a run, and not before.
"""
