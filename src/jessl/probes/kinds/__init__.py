"""The kinds of probes: each public file defines `KIND` under its own name."""
