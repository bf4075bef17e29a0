"""Sums over rows from which spectra follow, in memory and streaming."""
