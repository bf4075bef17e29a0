"""RankMe in other libraries: `torchmetrics`, `lightning`, `huggingface`.

Each of these files is named after the library that it imports; nothing else here imports one
(`pip install 'jessl[integrations]'` brings all three). May import scores and core.
"""

from jessl.integrations.layer_rankme import Features as Features
from jessl.integrations.layer_rankme import Measure as Measure

__all__ = ["Features", "Measure"]
