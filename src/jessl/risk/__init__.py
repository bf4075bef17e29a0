"""Risk decomposition: where the error of an encoder with a probe comes from."""

from __future__ import annotations

from jessl.risk.decomposition import decompose
from jessl.risk.result import Estimate, RiskDecomposition

__all__ = ["Estimate", "RiskDecomposition", "decompose"]
