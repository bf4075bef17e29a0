import numpy as np
import torch
from torch import distributed
from torch import multiprocessing as mp

from jessl.scores import Spectrum

D, N, BLOCKS = 6, 50, 4


def rows():
    return np.random.default_rng(0).standard_normal((N, D)), np.arange(N) + 7


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    z, ids = rows()
    state = Spectrum(D, blocks=BLOCKS, seed=3)
    state.update(z[:20] if rank == 0 else z[20:], ids[:20] if rank == 0 else ids[20:])
    state.all_reduce()
    found = [state.eigenvalues(), *(state.eigenvalues(without=b) for b in range(BLOCKS))]
    np.savez(f"{folder}/{rank}.npz", eigenvalues=np.stack(found), counts=state.counts)
    distributed.destroy_process_group()


def test_two_processes_have_the_state_of_one(tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    z, ids = rows()
    one = Spectrum(D, blocks=BLOCKS, seed=3).update(z, ids)
    expected = [one.eigenvalues(), *(one.eigenvalues(without=b) for b in range(BLOCKS))]
    for rank in (0, 1):
        with np.load(tmp_path / f"{rank}.npz") as held:
            np.testing.assert_allclose(held["eigenvalues"], np.stack(expected), rtol=1e-10)
            np.testing.assert_array_equal(held["counts"], one.counts)


def test_alone_it_is_the_identity():
    state = Spectrum(D).update(rows()[0])
    before = state.eigenvalues()
    np.testing.assert_array_equal(state.all_reduce().eigenvalues(), before)
