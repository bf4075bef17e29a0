"""Probes: how well labels can be read off frozen embeddings.

`layers.LayerProbes` trains beside an encoder and needs torch, which this room does not import.
"""

from __future__ import annotations

from jessl.probes.kinds import KINDS
from jessl.probes.online import online_probes
from jessl.probes.result import ProbeResult

# last and eager: the file bears the function's name, and a later import of the file would
# otherwise put the module in the function's place
from jessl.probes.probe import probe  # isort: skip

__all__ = ["KINDS", "ProbeResult", "online_probes", "probe"]
