"""Exporting: an encoder as files that timm, torchvision, transformers, ONNX or torch load alone.

The verb is `export`, each format a file. May import classification (what it wrote), extraction
and what lies below it; no pretraining, scores or reports.
"""

from jessl.exporting._result import ExportResult as ExportResult

__all__ = ["ExportResult"]
