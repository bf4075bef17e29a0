"""Torture: damaged files (fuzz) and killed processes (kills), seeded, so that each case repeats."""
