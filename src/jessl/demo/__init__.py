"""`jessl demo`: a study on real images, from training to what was found."""

from jessl.demo.story import closing_table as closing_table
from jessl.demo.story import demo as demo

__all__ = ["closing_table", "demo"]
