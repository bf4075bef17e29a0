"""Risk decomposition: where the error of an encoder with a probe comes from, and advice.

May import probes, schema, embeddings and core.
"""

from __future__ import annotations

from jessl.probes.bootstrap import Estimate
from jessl.risk.decomposition import decompose
from jessl.risk.result import RiskDecomposition

__all__ = ["Estimate", "RiskDecomposition", "decompose"]
