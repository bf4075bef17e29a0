"""Options: one frozen dataclass for each verb, the same for Python and for the command line.

May import jessl.core only, and neither torch nor numpy, so that `jessl --help` answers at once.
"""

from jessl.config.classify import Classify as Classify
from jessl.config.compare import Compare as Compare
from jessl.config.curate import Curate as Curate
from jessl.config.decompose import Decompose as Decompose
from jessl.config.embed import Embed as Embed
from jessl.config.export import EXPORT_DESCRIPTION as EXPORT_DESCRIPTION
from jessl.config.export import EXPORT_FORMATS as EXPORT_FORMATS
from jessl.config.export import Export as Export
from jessl.config.field_types import matches_annotation as matches_annotation
from jessl.config.finetune import FINETUNE_HEADS as FINETUNE_HEADS
from jessl.config.finetune import FINETUNE_KEEP as FINETUNE_KEEP
from jessl.config.finetune import Finetune as Finetune
from jessl.config.hyperparameters import INCIDENTAL as INCIDENTAL
from jessl.config.hyperparameters import hyperparameters as hyperparameters
from jessl.config.option_names import option_name as option_name
from jessl.config.pack import Pack as Pack
from jessl.config.pretrain import Pretrain as Pretrain
from jessl.config.probe import Probe as Probe
from jessl.config.resolved_pretrain import ResolvedPretrain as ResolvedPretrain
from jessl.config.score import Score as Score
from jessl.config.select import Select as Select
from jessl.config.select import SelectCheckpoints as SelectCheckpoints
from jessl.config.sweep import Sweep as Sweep
