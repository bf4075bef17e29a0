"""Probes: how well labels can be read off frozen embeddings; one file per kind in kinds/.

May import embeddings and core. `layers.LayerProbes` trains beside an encoder and needs torch,
which importing this package does not load.
"""

from __future__ import annotations

from jessl.probes.fewshot import few_shot
from jessl.probes.online import online_probes
from jessl.probes.registry import KINDS
from jessl.probes.result import FewShot, ProbeResult

# last and eager: the file bears the function's name, and a later import of the file would
# otherwise put the module in the function's place
from jessl.probes.probe import probe  # isort: skip

__all__ = ["KINDS", "FewShot", "ProbeResult", "few_shot", "online_probes", "probe"]
