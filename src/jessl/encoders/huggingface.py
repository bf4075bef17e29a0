"""Encoders of Hugging Face transformers: `hf:NAME`, a name of the hub or a folder.

Weights are read from safetensors only, and code that comes with a model is never run.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from jessl.core.hubs import hub_or_cache, hub_remedy, is_network_error
from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.validation import escape_control
from jessl.encoders.encoder import Preprocess
from jessl.encoders.load_report import LoadReport

_BYTE = 1 / 255
_SIDE_PX = 224
# what transformers raises for files that are no model
_UNREADABLE = (ValueError, KeyError, RuntimeError, ImportError)


@dataclass(frozen=True)
class Pooling:
    """How one vector for each image is taken from the output of a model.

    Attributes:
        title: in words.
        code: the Python that follows the model's output.
        apply: the same as a function.
    """

    title: str
    code: str
    apply: Callable[[Any], torch.Tensor]


_POOLER = "the model's pooled output"
POOLED_VECTOR = Pooling(_POOLER, ".pooler_output", lambda out: out.pooler_output)
_POOLED_PLANES = Pooling(
    _POOLER, ".pooler_output.flatten(1)", lambda out: out.pooler_output.flatten(1)
)
_CLASS_TOKEN = Pooling(
    "the class token", ".last_hidden_state[:, 0]", lambda out: out.last_hidden_state[:, 0]
)
_POSITIONS = Pooling(
    "the mean over positions",
    ".last_hidden_state.mean(dim=(2, 3))",
    lambda out: out.last_hidden_state.mean(dim=(2, 3)),
)
_TOKENS = Pooling(
    "the mean of tokens",
    ".last_hidden_state.mean(dim=1)",
    lambda out: out.last_hidden_state.mean(dim=1),
)


class HuggingFaceModel(nn.Module):
    """A model of transformers: images in, one vector for each image out.

    The vector is the model's pooled output. Where it has none, or the file lacks the weights of its
    pooler, it is the class token, and without a class token the mean of tokens or positions.

    Attributes:
        report: of the weights that were loaded; None for random ones.
    """

    def __init__(self, model: nn.Module, *, use_pooler: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.use_pooler = use_pooler
        self.has_class_token = any(n.endswith("cls_token") for n, _ in model.named_parameters())
        self.takes_any_size = (
            "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters
        )
        self.report: LoadReport | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[n, 3, s, s] to [n, dim]."""
        return self.pooled(images)[0]

    def pooled(self, images: torch.Tensor) -> tuple[torch.Tensor, Pooling]:
        """The representation [n, dim], and how it was pooled."""
        options = {"interpolate_pos_encoding": True} if self.takes_any_size else {}
        out = self.model(pixel_values=images, **options)
        pooling = self._pooling(out)
        return pooling.apply(out), pooling

    def _pooling(self, out: Any) -> Pooling:
        pooled = getattr(out, "pooler_output", None) if self.use_pooler else None
        if pooled is not None:
            return POOLED_VECTOR if pooled.ndim == 2 else _POOLED_PLANES
        if out.last_hidden_state.ndim == 4:
            return _POSITIONS
        return _CLASS_TOKEN if self.has_class_token else _TOKENS


def build_huggingface(
    name: str, size: int | None, pretrained: bool
) -> tuple[nn.Module, Preprocess]:
    """Build a model of transformers, with the preprocessing of its image processor.

    Args:
        name: of the hub, or a folder that save_pretrained wrote.
        size: side of the images, pixels; None: the image processor's.
        pretrained: with its weights, else random ones.

    Raises:
        ValueError: in one line, where transformers is missing, or the model cannot be read, needs
            its own code, lacks weights or does not take images.
    """
    try:
        import transformers
    except ImportError:
        raise ValueError(
            f"encoder hf:{name} needs transformers: pip install 'jessl[integrations]'"
        ) from None
    from safetensors import SafetensorError

    info: dict[str, Any] = {}
    is_folder = Path(name).is_dir()
    try:
        with silenced(transformers.utils.logging), nullcontext() if is_folder else hub_or_cache():
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            if hasattr(config, "mask_ratio"):
                config.mask_ratio = 0.0  # masked autoencoders drop patches in evaluation too
            if pretrained:
                model, info = transformers.AutoModel.from_pretrained(
                    name,
                    config=config,
                    trust_remote_code=False,
                    use_safetensors=True,
                    output_loading_info=True,
                )
            else:
                model = transformers.AutoModel.from_config(config, trust_remote_code=False)
            preprocess, notes = _read_preprocess(transformers, name, config, size)
    except Exception as error:
        of_network = is_network_error(error)
        if not of_network and not isinstance(error, (*_UNREADABLE, SafetensorError)):
            raise
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        if of_network and not is_folder:
            reason += f"; give a folder of save_pretrained as hf:FOLDER, or {hub_remedy()}"
        raise ValueError(escape_control(f"encoder hf:{name} cannot be loaded: {reason}")) from None
    if (
        not hasattr(model, "forward")
        or "pixel_values" not in inspect.signature(model.forward).parameters
    ):
        raise ValueError(f"encoder hf:{name} ({type(model).__name__}) does not take images")
    missing = sorted([*info.get("missing_keys", ()), *_names_of(info.get("mismatched_keys", ()))])
    without_pooler = [k for k in missing if not is_pooler(k)]
    if without_pooler:
        raise ValueError(
            f"encoder hf:{name}: {len(without_pooler)} tensors are missing from its weights or "
            f"have another shape, first {without_pooler[0]!r}"
        )
    body = HuggingFaceModel(model.float(), use_pooler=not missing)
    if pretrained:
        total = len(model.state_dict()) - len(missing)
        pooling = f"features are {_describe_pooling(body, preprocess.size, name)}"
        if missing:
            pooling += f" ({len(missing)} weights of a pooler are not in the file)"
        aside = len(info.get("unexpected_keys", ()))
        body.report = LoadReport(
            name, "transformers", "", total, total, aside=aside, notes=(pooling, *notes)
        )
    return body, preprocess


def is_pooler(name: str) -> bool:
    """Whether a tensor is of a model's pooler."""
    return "pooler" in name.split(".")


def _names_of(keys: Iterable[str | Sequence[str]]) -> list[str]:
    """Names of pairs or triples (name, shape in the file, shape in the model)."""
    return [key if isinstance(key, str) else key[0] for key in keys]


def _describe_pooling(body: HuggingFaceModel, size: int, name: str) -> str:
    """How the representation is pooled, from a trial run."""
    was_training = body.training
    body.eval()
    try:
        with torch.no_grad():
            return body.pooled(torch.zeros(1, 3, size, size))[1].title
    except (RuntimeError, ValueError, AttributeError) as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(
            f"encoder hf:{name} gives no features of {size} px images: {reason}"
        ) from None
    finally:
        body.train(was_training)


@contextlib.contextmanager
def silenced(logging: ModuleType) -> Iterator[None]:
    """Silence the library's progress bars and log; `LoadReport` has what matters."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _read_preprocess(
    transformers: ModuleType, name: str, config: object, size: int | None
) -> tuple[Preprocess, list[str]]:
    """Read preprocessor_config.json; without one use ImageNet's mean and std, with a note."""
    try:
        settings, _ = transformers.ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        px = _square_side(getattr(config, "image_size", None)) or _SIDE_PX
        note = "no image processor beside the weights: ImageNet's mean and std"
        return Preprocess(size or px, IMAGENET_MEAN, IMAGENET_STD), [note]
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if not settings.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    elif "image_mean" in settings and "image_std" in settings:
        mean, std = _three_floats(settings["image_mean"]), _three_floats(settings["image_std"])
    if not math.isclose(float(settings.get("rescale_factor", _BYTE)), _BYTE, rel_tol=1e-3):
        raise ValueError("its image processor does not scale pixels to 0..1")
    px, share = _square_side(settings.get("size")) or _SIDE_PX, 1.0
    if settings.get("do_center_crop") and (crop := _square_side(settings.get("crop_size"))):
        px, share = crop, min(1.0, crop / px)
    elif settings.get("crop_pct"):
        share = float(settings["crop_pct"])
    if size is not None:
        px, share = size, 1.0
    return Preprocess(px, mean, std, share), []


def _square_side(size: object) -> int | None:
    """Side of a square image, from an image processor's size in any of its formats."""
    if isinstance(size, dict):
        sides = {size[k] for k in ("height", "width", "shortest_edge") if size.get(k)}
    elif isinstance(size, list | tuple):
        sides = set(size)
    else:
        sides = {size} if size else set()
    if len(sides) > 1:
        raise ValueError(f"its images are not square: {size}")
    return int(sides.pop()) if sides else None


def _three_floats(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
