"""Helpers for every room: files, validation, messages, processes, devices, hashing, resources.

Imports nothing of jessl outside core.
"""
