"""Shared by contrastive methods: heads, similarities of queries and keys, and drawn negatives.

Rows are two views of n images: of 2 n rows, row r and row r + n (modulo 2 n) are the views of one
image, and each is the other's positive. Each query is classified by its positive among the keys;
with one head for both, the keys are the queries themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from jessl.objectives._checks import check_same_width
from jessl.objectives._heads import Head, apply_to_views, build_head, expander_widths
from jessl.objectives._views import gather_batch, unordered_pairs


def build_contrastive_heads(
    method: str, projector: str | int | None, teacher_head: str | int | None, dim: int
) -> tuple[Head, Head | None]:
    """Build the head of the queries, and that of the keys where they have their own.

    Args:
        method: name of the method, for errors.
        projector, teacher_head: heads (`_heads.build_head`); the default is
            4 dim - 4 dim - dim, but a teacher_head of None is no head.
        dim: width of the representations.

    Raises:
        ValueError: when their outputs have unlike widths.
    """
    queries = build_head(projector, dim, expander_widths(dim))
    if teacher_head is None:
        return queries, None
    keys = build_head(teacher_head, dim, expander_widths(dim))
    check_same_width(f"teacher_head of {method}", keys, queries)
    return queries, keys


def paired_rows(
    projector: Head, teacher_head: Head | None, student: torch.Tensor, n_global: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Queries and keys [2 * global batch, out] of each unordered pair of views, one global.

    Args:
        projector, teacher_head: from `build_contrastive_heads`; without the second, the keys are
            the queries.
        student: representations [views, batch, dim], at least 2 views; both heads see all.
        n_global: number of global views, the first ones; None: all.

    Raises:
        ValueError: for a single view.
    """
    queries = gather_batch(apply_to_views(projector, student))
    keys = queries if teacher_head is None else gather_batch(apply_to_views(teacher_head, student))
    for i, j in unordered_pairs(len(student), n_global):
        q = torch.cat([queries[i], queries[j]])
        yield q, q if teacher_head is None else torch.cat([keys[i], keys[j]])


def positive_rows(rows: int, device: torch.device) -> torch.Tensor:
    """The row of each row's positive, int64 [rows]."""
    return torch.arange(rows, device=device).roll(rows // 2)


def all_logits(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cosines over temperature, [2 n, 2 n]; -inf between a row and itself."""
    q, k = _normalize(queries, keys)
    logits = q @ k.T / temperature
    itself = torch.eye(len(q), dtype=torch.bool, device=q.device)
    return logits.masked_fill(itself, float("-inf"))


def drawn_logits(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float, drawn: torch.Tensor
) -> torch.Tensor:
    """Cosines over temperature with the positive, then with the drawn rows: [2 n, 1 + m].

    Memory: 2 n x m x out numbers, or 2 n x 2 n where that is less.

    Args:
        queries, keys: [2 n, out].
        temperature: > 0.
        drawn: int64 [2 n, m], rows of the keys.
    """
    q, k = _normalize(queries, keys)
    rows, m = drawn.shape
    if m * q.shape[1] < rows:
        negatives = (k[drawn] @ q[:, :, None]).squeeze(-1)
    else:
        negatives = (q @ k.T).gather(1, drawn)
    positive = (q * k[positive_rows(rows, q.device)]).sum(dim=1, keepdim=True)
    return torch.cat([positive, negatives], dim=1) / temperature


def pool_logits(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float, pool: int
) -> torch.Tensor:
    """Cosines over temperature with the positive, then with the pool: [2 (n - pool), 1 + 2 pool].

    Args:
        queries, keys: [2 n, out].
        temperature: > 0.
        pool: the last `pool` of the n images, in both views, are the negatives of the others.

    Raises:
        ValueError: when no image remains as an anchor.
    """
    n = len(queries) // 2
    if pool >= n:
        raise ValueError(f"pool: expected fewer than the {n} images of the batch, got {pool}")
    q, k = _normalize(queries, keys)
    q, k = q.view(2, n, -1), k.view(2, n, -1)
    anchors = q[:, : n - pool].flatten(0, 1)
    partners = k[:, : n - pool].flip(0).flatten(0, 1)
    negatives = anchors @ k[:, n - pool :].flatten(0, 1).T
    return torch.cat([(anchors * partners).sum(dim=1, keepdim=True), negatives], 1) / temperature


def _normalize(queries: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    q = F.normalize(queries, dim=1)
    return q, q if keys is queries else F.normalize(keys, dim=1)


def draw_negatives(rows: int, m: int, generator: torch.Generator) -> torch.Tensor:
    """Draw for each row m different rows, neither itself nor its positive: int64 [rows, m].

    All sets of m are equally likely, independently from row to row. They are positions in the
    global batch, drawn on the CPU, so they do not depend on the number of processes or the device.

    Args:
        rows: 2 n.
        m: 1 to rows - 2.
        generator: on the CPU.

    Raises:
        ValueError: when there are fewer than m other rows.
    """
    others = rows - 2
    if m > others:
        raise ValueError(
            f"negatives: expected at most {others} (2 * batch - 2 of this batch), got {m}"
        )
    drawn = _without_replacement(rows, others, m, generator)
    itself = torch.arange(rows)[:, None]
    positive = positive_rows(rows, itself.device)[:, None]
    # numbers count the other rows in order: skip the row itself and its positive
    drawn += drawn >= torch.minimum(itself, positive)
    drawn += drawn >= torch.maximum(itself, positive)
    return drawn


def _without_replacement(rows: int, most: int, m: int, generator: torch.Generator) -> torch.Tensor:
    """For each row m different numbers below `most`: int64 [rows, m]."""
    if m * m > most:
        # the m largest of random keys, in blocks that need no more memory than the result
        blocks = torch.arange(rows).split(max(1, rows * m // most))
        return torch.cat([_largest(len(block), most, m, generator) for block in blocks])
    # Floyd's algorithm (Bentley, Programming Pearls: a sample of brilliance, 1987)
    drawn = torch.empty(rows, m, dtype=torch.int64)
    for count, last in enumerate(range(most - m, most)):
        number = torch.randint(last + 1, (rows, 1), generator=generator)
        repeated = (drawn[:, :count] == number).any(dim=1, keepdim=True)
        drawn[:, count : count + 1] = torch.where(repeated, last, number)
    return drawn


def _largest(rows: int, most: int, m: int, generator: torch.Generator) -> torch.Tensor:
    keys = torch.rand(rows, most, generator=generator, dtype=torch.float64)
    return keys.topk(m, dim=1).indices
