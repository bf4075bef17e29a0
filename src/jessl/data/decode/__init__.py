"""Encoded images to uint8 arrays."""
