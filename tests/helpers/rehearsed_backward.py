"""The backward pass of a rehearsal: torch's graph, walked in Python.

torch's engine asks the CUDA runtime for its streams and fails without a GPU; the nodes of the graph
themselves can be called.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch


def backward(
    root: torch.Tensor, gradient: torch.Tensor | None = None, *_: object, **__: object
) -> None:
    """Put the gradients of `root` into the leaves, as Tensor.backward does."""
    if root.grad_fn is None:
        raise RuntimeError("element 0 of tensors does not require grad")
    # a number of the pass, by which torch.utils.checkpoint computes a block again once
    task = mock.patch.object(torch._C, "_current_graph_task_id", return_value=id(root))
    with torch.no_grad(), task:
        seed = torch.ones_like(root) if gradient is None else gradient
        waiting: dict[Any, list[torch.Tensor | None]] = {}
        _add(waiting, root.grad_fn, root.output_nr, seed)
        for node in _in_order(root.grad_fn):
            grads = waiting.pop(node, None)
            if grads is None:
                continue
            if hasattr(node, "variable"):
                leaf, [grad] = node.variable, grads
                if grad is not None:
                    grad = grad.to(leaf.dtype)
                    leaf.grad = grad.clone() if leaf.grad is None else leaf.grad + grad
                continue
            results = (node.apply if hasattr(node, "saved_for_backward") else node)(*grads)
            results = results if isinstance(results, tuple) else (results,)
            for (after, place), grad in zip(node.next_functions, results, strict=False):
                if after is not None and grad is not None:
                    _add(waiting, after, place, grad)


def _add(
    waiting: dict[Any, list[torch.Tensor | None]], node: Any, place: int, grad: torch.Tensor
) -> None:
    slots = waiting.setdefault(node, [None] * len(node._input_metadata))
    expected = node._input_metadata[place]
    if grad.dtype != expected.dtype:
        grad = grad.to(expected.dtype)
    if tuple(grad.shape) != tuple(expected.shape):
        grad = grad.sum_to_size(tuple(expected.shape))
    slots[place] = grad if slots[place] is None else slots[place] + grad


def _in_order(root: Any) -> list[Any]:
    """The nodes, each before those that it passes its gradients to."""
    order: list[Any] = []
    seen = set()
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(after, False) for after, _ in node.next_functions if after is not None]
    return order[::-1]
