"""Fetching published weights: a failure becomes one line for the user."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack

from torch import nn

from jessl.core.hubs import hub_or_cache, hub_remedy, is_network_error, no_stalled_downloads


def fetch(name: str, build: Callable[[], nn.Module], *, pretrained: bool, hub: bool) -> nn.Module:
    """Call `build`, which may download the weights of model `name`.

    Args:
        name: with its library, timm:resnet18.
        pretrained: whether `build` downloads weights.
        hub: whether they are on the Hugging Face Hub, which has a cache of its own.

    Raises:
        ValueError: in one line, where the weights cannot be fetched.
    """
    try:
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")  # timm and torchvision warn about their own defaults
            if pretrained:
                stack.enter_context(no_stalled_downloads())
                if hub:
                    stack.enter_context(hub_or_cache())
            return build()
    except Exception as error:
        if not pretrained or not is_network_error(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        cache = hub_remedy() if hub else "TORCH_HOME sets the folder of downloaded weights"
        raise ValueError(
            f"the published weights of {name} could not be fetched ({type(error).__name__}: "
            f"{reason}); download them elsewhere and give the file, to pretrain as --init FILE, "
            f"else as ckpt:FILE@{name}; {cache}"
        ) from None
