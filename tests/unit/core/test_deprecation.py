"""Old public names, which keep working with a warning."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from jessl import Run, Spectrum
from jessl.core.deprecation import RenamedMember
from jessl.views import Views, presets


class Renamed:
    """A class one of whose members had another name."""

    old = RenamedMember("new")

    def __init__(self) -> None:
        self.new = 3


def test_an_old_member_is_the_new_one_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"Renamed\.old is now called new") as caught:
        assert Renamed().old == 3
    assert caught[0].filename == __file__


def test_old_members_of_views() -> None:
    views = presets.simclr(size=8)
    with pytest.warns(DeprecationWarning, match=r"Views\.blank"):
        table = views.blank(2)
    np.testing.assert_array_equal(table, views.neutral_table(2))
    with pytest.warns(DeprecationWarning, match=r"Views\.named"):
        assert len(views.named(table)) == len(views)
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        renderer = views.painter(octets=True)
    assert renderer.dtype is np.uint8
    assert sorted(str(w.message) for w in caught) == [
        "Views.painter is now called renderer",
        "renderer: octets is now called as_uint8",
    ]


def test_old_members_of_spectra() -> None:
    spectrum = Spectrum(2).update(np.eye(2, dtype=np.float32))
    with pytest.warns(DeprecationWarning, match=r"Spectrum\.lengths"):
        lengths = spectrum.lengths
    np.testing.assert_array_equal(np.asarray(lengths), np.asarray(spectrum.norm_histogram))


@pytest.mark.parametrize(("old", "new"), [("asked", "config"), ("chosen", "resolved_config")])
def test_old_members_of_runs(tmp_path: Path, old: str, new: str) -> None:
    run = Run(tmp_path)
    with pytest.warns(DeprecationWarning, match=f"Run.{old} is now called {new}"):
        assert getattr(run, old) == getattr(run, new)


@pytest.mark.parametrize(
    ("module", "old", "home", "new"),
    [
        ("jessl.objectives", "Moment", "jessl.objectives", "TrainingPosition"),
        ("jessl.launch", "submit", "jessl.launch.slurm", "submit"),
        ("jessl.launch", "submit_sweep", "jessl.launch.slurm", "submit_sweep"),
    ],
)
def test_old_names_of_modules(module: str, old: str, home: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{module}.{old} is now {home}.{new}"):
        value = getattr(importlib.import_module(module), old)
    assert value is getattr(importlib.import_module(home), new)


@pytest.mark.parametrize("module", ["jessl.objectives", "jessl.launch"])
def test_other_names_are_unknown(module: str) -> None:
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = importlib.import_module(module).nothing_of_this_name


def test_old_members_do_not_hide_unknown_ones() -> None:
    for one in (Views, Run, Spectrum):
        assert not hasattr(one, "nothing_of_this_name")


def test_the_verdict_of_a_choice() -> None:
    from jessl.selection.result import Choice

    choice = object.__new__(Choice)
    object.__setattr__(choice, "regret", None)
    with pytest.warns(DeprecationWarning, match=r"Choice\.verdict is now called regret"):
        assert choice.verdict is None
