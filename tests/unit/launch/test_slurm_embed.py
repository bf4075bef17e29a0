"""Embeddings and comparisons of encoders as jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from jessl import Embeddings
from jessl.cli.main import main
from jessl.config import Compare, Embed
from jessl.launch import slurm as launch
from jessl.launch.slurm import submit_compare, submit_embed

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'jessl[slurm]'")

LOCAL: dict[str, str | int] = {"cluster": "local"}


def test_the_processes_of_a_job_share_an_embedding(stripes: Path, tmp_path: Path) -> None:
    config = Embed(
        encoder="smallconv:4", data=str(stripes), out=str(tmp_path / "emb"), init="random",
        size=8, batch_size=16, workers=1, device="cpu",
    )  # fmt: skip
    sent = submit_embed(config, {**LOCAL, "tasks_per_node": 2})
    job = launch._children.pop()
    assert job.results() == [str(tmp_path / "emb")] * 2
    assert sent["logs"] == str(tmp_path / "emb-logs")
    assert Embeddings.load(sent["out"]).n == 96


def test_a_job_is_refused_before_it_is_queued(tmp_path: Path, monkeypatch, capsys) -> None:
    embed = ["embed", "smallconv:4", "--data", "digits", "--out", str(tmp_path / "emb")]
    assert main([*embed, "--slurm-options", "nodes", "2"]) == 2
    assert "with --slurm only" in capsys.readouterr().err
    (tmp_path / "emb").mkdir()
    (tmp_path / "emb" / "mine.txt").touch()
    assert main([*embed, "--slurm"]) == 2
    assert "expected a new or an empty folder" in capsys.readouterr().err
    compare = Compare(encoders=("smallconv:4",), data="digits", out=str(tmp_path / "choice"))
    with pytest.raises(ValueError, match="a comparison is one process"):
        submit_compare(compare, {**LOCAL, "tasks_per_node": 2})
    assert main(["select", str(tmp_path), "--slurm"]) == 2
    assert "--slurm has no meaning when choosing among runs" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*embed, "--slurm"]) == 2
    assert "run it alone" in capsys.readouterr().err
