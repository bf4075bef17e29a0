"""What every room may use: files, arguments, progress, processes, devices, hashing, resources.

Imports nothing of jessl but itself.
"""
