"""A Spectrum that several processes fill is the one that a single process has."""

import numpy as np
import pytest
import torch
from torch import distributed
from torch import multiprocessing as mp

from helpers.processes import preload
from jessl.scores import Spectrum

D, N, BLOCKS = 6, 50, 4
# rows of each process: unequal shares, and one process without any
SHARES = {2: (20, 30), 4: (7, 0, 30, 13)}


def rows():
    return np.random.default_rng(0).standard_normal((N, D)), np.arange(N) + 7


def work(rank, world, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    z, ids = rows()
    start = sum(SHARES[world][:rank])
    mine = slice(start, start + SHARES[world][rank])
    state = Spectrum(D, blocks=BLOCKS, seed=3)
    if SHARES[world][rank]:
        state.update(z[mine], ids[mine])
    state.all_reduce()
    state.save(f"{folder}/{rank}.safetensors")
    told = ""
    try:
        Spectrum(D, blocks=2 if rank else 3).all_reduce()
    except ValueError as error:
        told = str(error)
    (folder / f"{rank}.txt").write_text(told)
    distributed.destroy_process_group()


@pytest.mark.parametrize("world", SHARES)
def test_all_processes_have_the_state_of_one(tmp_path, world):
    preload()
    mp.start_processes(work, args=(world, tmp_path), nprocs=world, start_method="forkserver")
    z, ids = rows()
    one = Spectrum(D, blocks=BLOCKS, seed=3).update(z, ids)
    for rank in range(world):
        state = Spectrum.load(tmp_path / f"{rank}.safetensors")
        np.testing.assert_array_equal(state.counts, one.counts)
        for mine, theirs in zip(state._sums, one._sums, strict=True):
            scale = np.abs(theirs.gram).max()
            np.testing.assert_allclose(mine.gram / scale, theirs.gram / scale, atol=1e-12)
            np.testing.assert_allclose(mine.total, theirs.total, rtol=1e-11)
        np.testing.assert_allclose(state.eigenvalues(), one.eigenvalues(), rtol=1e-10)
        assert state.score()["rankme"].sd == pytest.approx(one.score()["rankme"].sd, rel=1e-8)
        # on every process, and none is left waiting
        assert "processes differ" in (tmp_path / f"{rank}.txt").read_text()


def test_alone_it_is_the_identity():
    state = Spectrum(D).update(rows()[0])
    before = state.eigenvalues()
    np.testing.assert_array_equal(state.all_reduce().eigenvalues(), before)
