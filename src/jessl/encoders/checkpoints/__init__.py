"""Weights of files, of jessl and of other libraries, into encoders: data, never code."""
