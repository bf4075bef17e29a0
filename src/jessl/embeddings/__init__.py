"""Embeddings: features of images with labels, ids, groups and provenance, and their files.

Everything that extracts features produces them; everything that evaluates features takes them. May
import jessl.core only.
"""

from jessl.embeddings.embeddings import Embeddings as Embeddings
from jessl.embeddings.embeddings import as_embeddings as as_embeddings
