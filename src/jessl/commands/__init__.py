"""The commands of the command line, a dataclass each."""

from jessl.commands.base import Interrupted as Interrupted
from jessl.commands.benching import Bench as Bench
from jessl.commands.choosing import Select as Select
from jessl.commands.explaining import Decompose as Decompose
from jessl.commands.explaining import Probe as Probe
from jessl.commands.judging import Score as Score
from jessl.commands.making import Demo as Demo
from jessl.commands.making import Embed as Embed
from jessl.commands.making import Report as Report
from jessl.commands.making import ViewsPicture as ViewsPicture
from jessl.commands.packing import Pack as Pack
from jessl.commands.sweeping import SweepRun as SweepRun
from jessl.commands.training import PretrainRun as PretrainRun
from jessl.commands.zoo import Zoo as Zoo
