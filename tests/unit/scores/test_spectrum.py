"""A Spectrum on disk, in little memory, and as its own judge; scores beside each other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jessl.core import resources
from jessl.embeddings import Embeddings
from jessl.scores import SPECTRAL, Spectrum, score
from jessl.scores.compare import compare
from jessl.scores.gram import in_memory_gram
from jessl.scores.gram.gram import RowSums
from jessl.scores.rows import jackknife_blocks
from jessl.scores.score import blocks_for


def rows(n=300, d=12, seed=0):
    z = np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5
    return (z + 0.1).astype(np.float32)


def same(a, b):
    assert a.value == pytest.approx(b.value, rel=1e-9, nan_ok=True)
    assert (a.sd is None) == (b.sd is None)
    assert a.sd is None or a.sd == pytest.approx(b.sd, rel=1e-6)
    assert a.warnings == b.warnings


def test_saved_and_loaded_it_goes_on(tmp_path):
    z = rows()
    ids = np.arange(300)
    whole = Spectrum(12, blocks=5, seed=2).update(z, ids)
    half = Spectrum(12, blocks=5, seed=2).update(z[:100], ids[:100])
    file = half.save(tmp_path / "deep" / "half.safetensors")
    again = Spectrum.load(file).update(z[100:], ids[100:])
    assert again.n == 300
    np.testing.assert_allclose(again.eigenvalues(without=3), whole.eigenvalues(without=3))
    assert sorted(p.name for p in file.parent.iterdir()) == ["half.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "another", "missing"])
def test_a_damaged_file_is_named(tmp_path, damage):
    file = tmp_path / "s.safetensors"
    Spectrum(12).update(rows()).save(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "text":
        file.write_text("not a state")
    elif damage == "another":
        from safetensors.numpy import save_file

        save_file({"gram": np.eye(3)}, file)
    else:
        file.unlink()
    with pytest.raises(ValueError, match=r"s\.safetensors"):
        Spectrum.load(file)


def test_more_memory_than_there_is_is_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(resources, "available_memory", lambda: 2**20)
    with pytest.raises(ValueError, match=r"1024 features in 20 blocks: needs 0\.2 GiB.*0\.0 GiB"):
        Spectrum(1024, blocks=20)
    assert Spectrum(64).nbytes == 8 * 64**2
    assert Spectrum(64, blocks=2).nbytes == 3 * 8 * 64**2
    monkeypatch.setattr(
        resources, "available_memory", lambda: None
    )  # where the system does not say
    Spectrum(1024, blocks=2)


def test_blocks_that_do_not_fit_are_summed_again(monkeypatch):
    z = rows()
    kept = score(z, SPECTRAL, jackknife=6)
    monkeypatch.setattr(in_memory_gram, "_MOST_BLOCK_BYTES", 0)
    for name, again in score(z, SPECTRAL, jackknife=6).items():
        same(again, kept[name])


@pytest.mark.parametrize("n", [300, 30])
def test_it_scores_itself_as_the_rows_are_scored(n):
    z = rows(n)
    names = [name for name in SPECTRAL if name not in ("matrix_entropy", "self_cluster")]
    state = Spectrum(12, blocks=6, seed=1).update(z)
    told = []
    found = state.score(names, progress=lambda done, total: told.append((done, total)))
    direct = score(z, names, jackknife=6, seed=1)
    for name in names:
        same(found[name], direct[name])
    assert told[0] == (1, 7)
    assert told[-1] == (7, 7)
    assert Spectrum(12).update(z).score()["rankme"].sd is None


def test_rows_of_zeros_are_rows():
    for seed in range(20):
        z = rows(50, 8, seed=seed)
        z[::5] = 0
        whole = score(z, seed=seed)["rankme"]
        state = Spectrum(8, blocks=20, seed=seed)
        for start in range(0, 50, 2):
            state.update(z[start : start + 2], np.arange(start, start + 2))
        assert state.score()["rankme"].value == pytest.approx(whole.value, rel=1e-9)
    assert score(np.eye(300, 16))["rankme"].value == pytest.approx(16, rel=1e-4)


def test_what_it_cannot_score():
    with pytest.raises(ValueError, match="matrix_entropy: needs the rows"):
        Spectrum(3).update(np.eye(3)).score("matrix_entropy")
    with pytest.raises(ValueError, match="twonn: needs the rows"):
        Spectrum(3).update(np.eye(3)).score("twonn")
    with pytest.raises(ValueError, match="no rows yet"):
        Spectrum(3).score()


def test_a_centred_spectrum_of_few_rows_ends_in_zero():
    for n in (4, 9, 12):
        sums = RowSums.empty(12)
        sums.add(rows(n))
        assert sums.spectra().centred[-1] == 0.0
        assert sums.spectra().raw[-1] > 0


def test_fewer_blocks_where_a_deletion_is_dear():
    assert [blocks_for(d) for d in (8, 2048, 2049, 4096, 8192)] == [20, 20, 10, 10, 6]
    assert score(rows())["rankme"].params["jackknife"] == 20


def test_the_curve_is_of_random_rows():
    z = np.zeros((800, 12), np.float32)  # a sorted folder: each half has features of its own
    z[:400, :6], z[400:, 6:] = rows(400, 6), rows(400, 6, seed=1)
    found = score(z, ("rankme", "twonn"), converge=True, jackknife=0)
    for result in found.values():
        assert [n for n, _ in result.curve] == [200, 400, 800]
        assert result.curve[-1][1] == result.value
    quarter = found["rankme"].curve[0][1]
    assert quarter == pytest.approx(found["rankme"].value, rel=0.05)
    assert quarter > 8 > score(z[:400])["rankme"].value
    assert score(z[:1], converge=True)["rankme"].curve == ((1, pytest.approx(1.0, abs=1e-4)),)
    assert score(z)["rankme"].curve == ()


def judged(*shapes, metas=None, names=("rankme", "self_cluster", "alpha_req"), force=False):
    found = {
        f"e{k}": score(Embeddings(rows(n, d, seed=k) ** (1 + k)), names)
        for k, (n, d) in enumerate(shapes)
    }
    return compare(found, metas or {path: {} for path in found}, force=force)


def test_what_can_be_compared_is_in_order():
    found = judged((300, 12), (300, 12), (300, 12))
    assert found.reasons == ()
    # odd powers make tails and even ones a mean: fewer directions
    assert found.order["rankme"][0] == "e0"
    assert set(found.order) == {"rankme", "self_cluster"}  # alpha has no direction
    one = judged((300, 12))
    assert one.order == {}


@pytest.mark.parametrize(
    ("shapes", "metas", "reason"),
    [
        (((300, 12), (290, 12)), None, "differ in n"),
        (((300, 12), (300, 10)), None, "differ in d"),
        (((300, 12),) * 2, [{"layer": "backbone"}, {"layer": "projector"}], "same layer"),
        (((300, 12),) * 2, [{"data_checksum": "a"}, {"data_checksum": "b"}], "same images"),
    ],
)
def test_what_cannot_is_not(shapes, metas, reason):
    metas = None if metas is None else {f"e{k}": m for k, m in enumerate(metas)}
    found = judged(*shapes, metas=metas)
    assert found.order == {}
    assert len(found.reasons) == 1
    assert reason in found.reasons[0]
    forced = judged(*shapes, metas=metas, force=True)
    assert set(forced.order["rankme"]) == {"e0", "e1"}
    assert forced.reasons == found.reasons


def test_a_first_place_with_warnings_is_told():
    found = {
        "flat": score(np.ones((300, 12)), "self_cluster"),
        "zeros": score(np.zeros((300, 12)), "self_cluster"),
    }
    told = compare(found, {"flat": {}, "zeros": {}})
    assert told.order["self_cluster"] == ("flat", "zeros")  # what is not defined comes last
    assert "self_cluster: flat, the first, has warnings of its own" in told.warnings


def test_what_an_order_may_hide_is_told():
    metas = {"e0": {"objective": "vicreg"}, "e1": {"objective": "simclr"}}
    assert (
        "different methods (simclr, vicreg)"
        in judged((300, 12), (300, 12), metas=metas).warnings[0]
    )
    z = rows()
    near = {"a": score(z), "b": score(z * 1.5)}
    assert "within two standard deviations" in compare(near, {"a": {}, "b": {}}).warnings[0]


def test_each_score_must_have_the_same_rows():
    # idest takes 4,096 rows at most: its n agree, those of rankme do not
    found = {
        path: score(rows(n, 2), ("idest", "rankme"), jackknife=0)
        for path, n in (("a", 4100), ("b", 4200))
    }
    assert {r["idest"].n for r in found.values()} == {4096}
    assert "rows: 4100, 4200" in compare(found, {"a": {}, "b": {}}).reasons[0]


def test_the_curve_is_of_the_rows_that_a_score_uses():
    found = score(rows(4100, 2), ("idest", "rankme"), jackknife=0, converge=True)
    assert [n for n, _ in found["idest"].curve] == [1024, 2048, 4096]
    assert [n for n, _ in found["rankme"].curve] == [1025, 2050, 4100]


def test_two_threads_leave_the_threads_of_blas_as_they_were():
    from threadpoolctl import threadpool_info

    def blas():
        return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    score(rows())  # whatever is loaded at the first call is loaded
    before = blas()
    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(lambda _: score(rows())["rankme"].sd, range(12)))
    assert blas() == before
    assert len(set(values)) == 1


def test_a_row_that_drowns_the_others_leaves_a_true_deletion():
    z = rows(400).astype(np.float64)
    z[7] *= 1e10
    block = jackknife_blocks(np.arange(400), 8, 0)
    expected = np.linalg.svd(z[block != block[7]], compute_uv=False) ** 2
    for state in (Spectrum(12, blocks=8).update(z), in_memory_gram.InMemoryGram(z, block, 8)):
        left = state.spectra(int(block[7])).raw
        np.testing.assert_allclose(left, expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e150])
def test_extreme_scales(scale):
    z = np.random.default_rng(0).standard_normal((40, 4))
    z /= np.abs(z).max() * 20
    assert score(z * scale, jackknife=0)["rankme"].value == pytest.approx(
        score(z, jackknife=0)["rankme"].value, rel=1e-9
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: Spectrum(8, blocks=2.5),
        lambda: Spectrum("4"),
        lambda: Spectrum(3).merge(None),
        lambda: score(rows(), None),
        lambda: score(rows(), [5]),
        lambda: score(rows(), []),
        lambda: score(rows(), jackknife=2.5),
        lambda: score(rows(), jackknife=10**20),
        lambda: score(rows(), seed=1.5),
        lambda: score(rows(), "idest:sizes=1000000000"),
        lambda: score(rows(), "rankme:eps=1e308"),
        lambda: score(rows(), "alpha_req:first=5:first=6"),
    ],
)
def test_nonsense_is_one_line(call):
    with pytest.raises(ValueError, match=r"^[^\n]{20,160}$"):
        call()


def test_few_digits_are_told(tmp_path):
    import torch
    from safetensors.torch import save_file

    half = rows().astype(np.float16)
    np.save(tmp_path / "half.npy", half)
    np.savez(tmp_path / "half.npz", z=half)
    save_file({"z": torch.from_numpy(rows()).bfloat16()}, tmp_path / "b.safetensors")
    files = [Embeddings.load(tmp_path / name) for name in ("half.npy", "half.npz", "b.safetensors")]
    for z in (half, torch.from_numpy(half), torch.from_numpy(rows()).bfloat16(), *files):
        assert any("use float32" in w for w in score(z)["rankme"].warnings)
    assert not any("use float32" in w for w in score(rows())["rankme"].warnings)


def test_squares_that_vanish_are_refused():
    with pytest.raises(ValueError, match="so small that their squares vanish"):
        score(np.full((5, 2), 1e-170))
    for size, said in ((1e-170, "so small"), (2.0**511.6, "so large")):
        state = Spectrum(2, blocks=3).update(np.eye(2))
        with pytest.raises(ValueError, match=said):
            state.update(np.full((5, 2), size))
        assert state.n == state.norm_histogram().sum() == 2  # as it was
    assert score(np.zeros((5, 2)))["rankme"].value == 0.0
