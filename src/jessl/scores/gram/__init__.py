"""Sums over rows, and the spectra that follow from them."""
