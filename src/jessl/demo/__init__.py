"""`jessl demo`: a named sweep on real images, its baselines, and what a few labels say of it."""

from jessl.demo.closing_check import cost_of_choice
from jessl.demo.study import demo

__all__ = ["cost_of_choice", "demo"]
