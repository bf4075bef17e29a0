"""Every objective: the published value, and what any objective must do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from helpers.commands import run_code
from helpers.paths import TESTS
from jessl import objectives
from jessl.objectives import CONFIGS, TrainingPosition, build_objective
from jessl.objectives.nnclr import nearest_neighbours

GOLDEN = json.loads((TESTS / "golden" / "losses.json").read_text())
FUNCTIONS: dict[str, Callable] = {
    "nt_xent T=0.1": lambda a, b: objectives.nt_xent(a, b, temperature=0.1),
    "nt_xent T=0.5": lambda a, b: objectives.nt_xent(a, b, temperature=0.5),
    "dcl T=0.1": lambda a, b: objectives.dcl(a, b, temperature=0.1),
    "dcl T=0.5": lambda a, b: objectives.dcl(a, b, temperature=0.5),
    "cissl T=0.1": lambda a, b: objectives.cissl(torch.stack([a, b]), torch.stack([a, b]), 0.1),
    "cissl T=0.5": lambda a, b: objectives.cissl(torch.stack([a, b]), torch.stack([a, b]), 0.5),
    "dissl": lambda a, b: objectives.dissl(torch.stack([a, b]), torch.stack([a, b])),
    "vicreg 25/25/1": lambda a, b: objectives.vicreg(a, b),
    "barlow_twins lambd=5e-3": lambda a, b: objectives.barlow_twins(a, b),
    "byol": lambda p, z: objectives.byol(p, z),
    "negative_cosine": lambda p, z: objectives.negative_cosine(p, z),
    "swav": lambda a, b: objectives.swav(_scores(a), _scores(b)),
    "dino": lambda a, b: objectives.dino(torch.stack([a, b]), _teacher_logits(a), 0),
    "nnclr T=0.1": lambda a, b: objectives.nnclr(_neighbours(a), b, temperature=0.1),
    "nnclr T=0.2": lambda a, b: objectives.nnclr(_neighbours(a), b, temperature=0.2),
    "feature_cosine": lambda p, t: objectives.feature_cosine(p, t),
    "relational_distance": lambda z, t: objectives.relational_distance(z, t),
    "visreg": lambda a, b: objectives.visreg(torch.stack([a, b]), directions=_directions(a)),
}
METHODS = sorted(CONFIGS)


def _scores(z: torch.Tensor) -> torch.Tensor:
    """Cosines with the six prototypes of the golden file."""
    w = torch.tensor(np.random.RandomState(7).randn(6, z.shape[1]))
    return torch.nn.functional.normalize(z, dim=1) @ torch.nn.functional.normalize(w, dim=1).T


def _teacher_logits(like: torch.Tensor) -> torch.Tensor:
    """The teacher's logits [2, n, d] of the golden file, not normalised."""
    seeded = [np.random.RandomState(seed).randn(*like.shape) for seed in (11, 12)]
    return torch.tensor(np.stack(seeded))


def _neighbours(z: torch.Tensor) -> torch.Tensor:
    """Nearest rows of the queue of the golden file."""
    queue = torch.tensor(np.random.RandomState(21).randn(40, z.shape[1]))
    return nearest_neighbours(z, queue)


def _directions(z: torch.Tensor) -> torch.Tensor:
    """The 64 directions of the golden file."""
    w = torch.tensor(np.random.RandomState(13).randn(z.shape[1], 64))
    return torch.nn.functional.normalize(w, dim=0)


def _inputs(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    i = GOLDEN["inputs"][name]
    r = np.random.RandomState(i["seed"])
    a, b = r.randn(i["n"], i["d"]), r.randn(i["n"], i["d"])
    z1 = i["scale"] * a + i["shift"]
    z2 = i["scale"] * (i["corr"] * a + np.sqrt(1 - i["corr"] ** 2) * b) + i["shift"]
    return torch.tensor(z1, requires_grad=True), torch.tensor(z2, requires_grad=True)


@pytest.mark.parametrize("data", ["A", "B"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_the_published_ones(data: str, name: str) -> None:
    z1, z2 = _inputs(data)
    loss = FUNCTIONS[name](z1, z2)
    loss.backward()
    golden = GOLDEN["losses"][data][name]
    assert loss.item() == pytest.approx(golden["loss"], rel=1e-9, abs=1e-9)
    for z, norm in zip((z1, z2), golden["grad_norms"], strict=True):
        if norm is None:
            assert z.grad is None
        else:
            assert z.grad is not None
            assert z.grad.norm().item() == pytest.approx(norm, rel=1e-9, abs=1e-9)


def test_losses_take_keywords() -> None:
    a, b = torch.randn(2, 8, 4).unbind()
    torch.testing.assert_close(objectives.vicreg(z1=a, z2=b), objectives.vicreg(a, b))
    torch.testing.assert_close(objectives.byol(p=a, z=b), objectives.byol(a, b))
    same = objectives.nt_xent(z2=b, temperature=0.1, z1=a)
    torch.testing.assert_close(same, objectives.nt_xent(a, b, 0.1))


# fewer classes than by default, which would only take longer
QUICK: dict[str, dict] = {"dissl": {"classes": 256}}


def _built(method: str, dim: int = 12, seed: int = 0) -> objectives.Objective:
    torch.manual_seed(seed)
    return build_objective(method, dim, QUICK.get(method)).double()


def _representations(views: int = 2, batch: int = 32, dim: int = 12) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    common = torch.randn(1, batch, dim, generator=g, dtype=torch.float64)
    return common + 0.3 * torch.randn(views, batch, dim, generator=g, dtype=torch.float64)


def _loss(
    objective: objectives.Objective,
    h: torch.Tensor,
    n_global: int | None = None,
    order: torch.Tensor | None = None,
) -> torch.Tensor:
    objective.begin_step(TrainingPosition(step=50, total_steps=100, steps_per_epoch=10))
    teacher = h[:n_global].detach() if objective.uses_teacher else None
    labels = torch.arange(h.shape[1]) % 3
    labels = labels if order is None else labels[order]
    labels = labels if objective.uses_labels else None
    targets = _targets(objective.target_dim).to(h.dtype)
    targets = targets if order is None else targets[order]
    return objective.loss(h, teacher, n_global=n_global, labels=labels, targets=targets).total


def _targets(width: int) -> torch.Tensor:
    """Features of a teacher [32, width], a linear function of the images' representations."""
    g = torch.Generator().manual_seed(4)
    w = torch.randn(12, width, generator=g, dtype=torch.float64)
    images = _representations().mean(dim=0)
    return (images - images.mean(dim=0)) @ w


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("views", "n_global"), [(2, None), (3, None), (4, 2)])
def test_gradients_are_finite_and_reach_everything(
    method: str, views: int, n_global: int | None
) -> None:
    objective = _built(method)
    h = _representations(views).requires_grad_()
    _loss(objective, h, n_global).backward()
    assert h.grad is not None
    assert torch.isfinite(h.grad).all()
    assert (h.grad.flatten(1).norm(dim=1) > 0).all()
    for name, p in objective.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            assert torch.isfinite(p.grad).all(), name


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_batch_changes_nothing(method: str) -> None:
    h = _representations()
    order = torch.randperm(32, generator=torch.Generator().manual_seed(2))
    # each on a fresh objective: a loss may leave a trace (DINO's centre)
    given = _loss(_built(method), h)
    other = _loss(_built(method), h[:, order], order=order)  # labels go with their images
    torch.testing.assert_close(given, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_collapse_is_worse_than_spread_where_the_loss_prevents_it(method: str) -> None:
    objective = _built(method)
    if not objective.prevents_collapse:
        assert method in {"byol", "simsiam", "dino", "supervised"}  # shown by a short training
        return
    spread = _representations()
    spread = spread[:1].expand(2, -1, -1)  # agreeing views
    heads = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(heads, lr=1e-3)
    for _ in range(10):  # heads that differ (student and teacher) first learn to agree
        optimizer.zero_grad()
        _loss(objective, spread).backward()
        optimizer.step()
    objective.eval()  # batch norm of a constant batch would spread its rounding
    if objective.uses_teacher:
        objective.predictor = torch.nn.Identity()  # a fresh one does not predict the teacher yet
    collapsed = spread.mean(dim=1, keepdim=True).expand(-1, 32, -1)
    assert _loss(objective, spread) < _loss(objective, collapsed)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_inputs_are_computed_in_float32(method: str) -> None:
    torch.manual_seed(0)
    objective = build_objective(method, 12)
    h = _representations().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = _loss(objective, h)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


@pytest.mark.parametrize("method", METHODS)
def test_state_goes_round(method: str) -> None:
    first, second = _built(method, seed=0), _built(method, seed=1)
    h = _representations()
    first.eval()
    second.eval()
    assert _loss(first, h) != _loss(second, h)
    second.load_state_dict(first.state_dict())
    assert _loss(first, h) == _loss(second, h)


@pytest.mark.parametrize("method", METHODS)
def test_projector_output_has_the_last_width(method: str) -> None:
    objective = build_objective(method, 12, {"projector": "20-6"})
    assert objective.project(torch.randn(5, 12)).shape == (5, 6)


@pytest.mark.parametrize("method", METHODS)
def test_the_projector_may_be_a_single_layer(method: str) -> None:
    assert build_objective(method, 12, {"projector": 6}).project(torch.randn(5, 12)).shape == (5, 6)
    for wrong in ("a-b", "0", "8--8"):
        with pytest.raises(ValueError, match="head: expected 8192"):
            build_objective(method, 12, {"projector": wrong})


@pytest.mark.parametrize("method", METHODS)
def test_layers_to_probe_are_run_by_project(method: str) -> None:
    objective = build_objective(method, 12, {"projector": "20-6"})
    actual: dict[str, torch.Tensor] = {}
    for name, module in objective.layers().items():
        module.register_forward_hook(lambda _m, _i, out, name=name: actual.update({name: out}))
    z = objective.project(torch.randn(5, 12))
    assert list(actual) == ["projector.1", "projector"]
    assert actual["projector.1"].shape == (5, 20)
    assert torch.equal(actual["projector"], z)


@pytest.mark.parametrize("method", METHODS)
def test_heads_are_linear_mlp_or_identity_by_one_word(method: str) -> None:
    h = _representations()
    default = build_objective(method, 12).project(torch.randn(5, 12)).shape[1]
    for spec, width in (("identity", 12), ("linear", None), ("mlp", default)):
        torch.manual_seed(0)
        objective = build_objective(method, 12, {"projector": spec}).double()
        assert torch.isfinite(_loss(objective, h))
        assert objective.project(h[0]).shape[1] == (width or objective.project(h[0]).shape[1])


@pytest.mark.parametrize("method", [m for m in METHODS if CONFIGS[m]().build(12).uses_teacher])
def test_teacher_heads_start_as_the_students_and_take_no_gradient(method: str) -> None:
    objective = build_objective(method, 12)
    assert objective.momentum_pairs()
    for student, teacher in objective.momentum_pairs():
        assert all(not p.requires_grad for p in teacher.parameters())
        for a, b in zip(student.parameters(), teacher.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_functions_stay_functions_in_any_order_of_imports() -> None:
    orders = [
        "import jessl.objectives.vicreg, jessl.objectives as o",
        "from jessl.objectives import byol; import jessl.objectives.byol, jessl.objectives as o",
        "import jessl, jessl.objectives.barlow_twins; o = jessl.objectives",
        "from jessl.objectives.vicreg import VICReg; import jessl.objectives as o",
    ]
    code = (
        "import importlib, sys, torch\n"
        "for order in sys.argv[1:]:\n"
        "    for name in [m for m in sys.modules if m.split('.')[0] == 'jessl']:\n"
        "        del sys.modules[name]\n"
        "    names = {}\n"
        "    exec(order, names)\n"
        "    o = names['o']\n"
        "    for n in ('vicreg', 'barlow_twins', 'simclr', 'byol'):\n"
        "        importlib.import_module('jessl.objectives.' + n)\n"
        "    assert callable(o.vicreg) and callable(o.barlow_twins) and callable(o.byol), order\n"
        "    assert callable(o.nt_xent), order\n"
    )
    done = run_code(code, *orders)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_objective("vicregg", 8), "did you mean 'vicreg'"),
        (lambda: build_objective("vicreg", 8, {"covv": 1}), "did you mean 'cov'"),
        (
            lambda: build_objective("vicreg", 8, {"cov": "x"}),
            "cov of vicreg: expected a number, got 'x'",
        ),
        (lambda: build_objective("vicreg", 8, {"cov": -1}), "cov: expected at least 0"),
        (
            lambda: build_objective("simclr", 8, {"temperature": 0}),
            "temperature: expected a number above 0",
        ),
        (
            lambda: build_objective("simclr", 8, {"projector": "8-x"}),
            "head: expected 8192-8192-2048",
        ),
        (lambda: objectives.vicreg(torch.ones(3, 2), torch.ones(3, 4)), "[3, 2], z2 [3, 4]"),
        (lambda: objectives.vicreg(torch.ones(1, 2), torch.ones(1, 2)), "at least 2 rows"),
        (lambda: objectives.barlow_twins(torch.ones(1, 2), torch.ones(1, 2)), "at least 2 rows"),
        (lambda: objectives.nt_xent(torch.ones(3), torch.ones(3), 0.1), "one shape [batch, dim]"),
        (lambda: build_objective("byol", 8).loss(torch.ones(2, 3, 8)), "teacher: expected"),
        (
            lambda: build_objective("distill", 8, {"teacher_dim": 5}).loss(torch.ones(2, 3, 8)),
            "targets: expected a tensor [3, 5], got None",
        ),
        (
            lambda: build_objective("distill", 8, {"variant": "cos"}),
            "unknown variant of distill 'cos'; did you mean 'cosine'",
        ),
        (
            lambda: build_objective("vicreg", 8).loss(torch.ones(1, 3, 8)),
            "expected at least 2 of an image",
        ),
    ],
)
def test_mistakes_are_named(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_all_compile_into_one_graph() -> None:
    """backend aot_eager needs no compiler; in a process of its own, as compiling warns."""
    code = (
        "import json, sys, torch\nfrom jessl.objectives import build_objective\n"
        "options = json.loads(sys.argv[1])\n"
        "h = torch.randn(2, 16, 12)\nlabels = torch.arange(16) % 3\n"
        "for name in sys.argv[2:]:\n"
        "    torch.manual_seed(0)\n"
        "    objective = build_objective(name, 12, options.get(name)).eval()\n"
        "    targets = torch.randn(16, objective.target_dim)\n"
        "    def loss(h):\n"
        "        return objective.loss(h, h.detach(), labels=labels, targets=targets).total\n"
        "    torch._dynamo.reset()\n"
        "    try:\n"
        "        compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')\n"
        "        torch.testing.assert_close(compiled(h), loss(h))\n"
        "    except Exception as error:\n"
        "        raise SystemExit(f'{name}: {error}')\n"
    )
    done = run_code(code, json.dumps(QUICK), *METHODS)
    assert done.returncode == 0, done.stderr
