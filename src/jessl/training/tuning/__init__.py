"""Tuning of speed: which precision, memory format and the like train fastest on this machine.

Measured on copies of a trainer before its first step. May import the training engine and core.
"""
