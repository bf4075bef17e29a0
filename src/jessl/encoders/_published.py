"""Fetching published weights: a failure becomes one line for the user."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from urllib.error import URLError

from torch import nn


def fetch(name: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Call `build`, which may download the weights of model `name`.

    Raises:
        ValueError: in one line, where the weights cannot be fetched.
    """
    # the hub's client logs each of its dozen retries
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm and torchvision warn about their own defaults
            return build()
    except (URLError, OSError) as error:
        raise ValueError(
            f"the published weights of {name} could not be fetched ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}); download them elsewhere and give the file to --init"
        ) from None
