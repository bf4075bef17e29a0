"""The label-free scores: each public file defines `SCORE` under its own name."""
