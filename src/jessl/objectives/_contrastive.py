"""What contrastive methods share: heads, similarities of queries and keys, and drawn negatives.

Rows are images seen twice: of 2 n rows, row r and row r + n (modulo 2 n) are the views of one
image, and each is the other's positive. Queries look for their positive among the keys; with one
head for both, the keys are the queries themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from jessl.objectives._base import TrainingPosition, enough_views, unordered_pairs, whole_batch
from jessl.objectives._heads import Head, apply_to_views, expander_widths, head


def contrast_heads(
    method: str, projector: str | int | None, teacher_head: str | int | None, dim: int
) -> tuple[Head, Head | None]:
    """The head of the queries, and that of the keys where they have their own.

    Args:
        method: for the error.
        projector, teacher_head: heads (`jessl.objectives._heads.head`); the default is
            4 dim - 4 dim - dim, but a teacher_head of None is no head.
        dim: width of the representations.

    Raises:
        ValueError: when their outputs have unlike widths.
    """
    queries = head(projector, dim, expander_widths(dim))
    if teacher_head is None:
        return queries, None
    keys = head(teacher_head, dim, expander_widths(dim))
    same_width(method, "teacher_head", keys, queries)
    return queries, keys


def same_width(method: str, option: str, second: Head, projector: Head) -> None:
    """Refuse a second head that does not end as the projector does.

    Raises:
        ValueError: naming both widths.
    """
    if second.out != projector.out:
        raise ValueError(
            f"{option} of {method} must end in {projector.out}, as its projector does; "
            f"got {second.out}"
        )


def positive_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive.

    Raises:
        ValueError: naming it.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")


def paired_rows(
    projector: Head, teacher_head: Head | None, student: torch.Tensor, n_global: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Queries and keys [2 * global batch, out] of each unordered pair of views, one global.

    Args:
        projector, teacher_head: of `contrast_heads`; without the second, keys are queries.
        student: representations [views, batch, dim], all of which both heads see.
        n_global: the first so many views are global; None: all.

    Raises:
        ValueError: for a single view.
    """
    enough_views(len(student))
    queries = whole_batch(apply_to_views(projector, student))
    keys = queries if teacher_head is None else whole_batch(apply_to_views(teacher_head, student))
    for i, j in unordered_pairs(len(student), n_global):
        q = torch.cat([queries[i], queries[j]])
        yield q, q if teacher_head is None else torch.cat([keys[i], keys[j]])


def positives(rows: int, device: torch.device) -> torch.Tensor:
    """The row of each row's positive, int64 [rows]."""
    return torch.arange(rows, device=device).roll(rows // 2)


def all_logits(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cosines over temperature, [2 n, 2 n]; -inf between a row and itself."""
    q, k = _unit(queries, keys)
    logits = q @ k.T / temperature
    itself = torch.eye(len(q), dtype=torch.bool, device=q.device)
    return logits.masked_fill(itself, float("-inf"))


def drawn_logits(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float, drawn: torch.Tensor
) -> torch.Tensor:
    """Cosines over temperature with the positive, then with the drawn rows: [2 n, 1 + m].

    Takes memory for 2 n x m x out numbers, or for 2 n x 2 n where that is less.

    Args:
        queries, keys: [2 n, out].
        temperature: > 0.
        drawn: int64 [2 n, m], rows of the keys.
    """
    q, k = _unit(queries, keys)
    rows, m = drawn.shape
    if m * q.shape[1] < rows:
        negatives = (k[drawn] @ q[:, :, None]).squeeze(-1)
    else:
        negatives = (q @ k.T).gather(1, drawn)
    positive = (q * k[positives(rows, q.device)]).sum(dim=1, keepdim=True)
    return torch.cat([positive, negatives], dim=1) / temperature


def pool_logits(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float, pool: int
) -> torch.Tensor:
    """Cosines over temperature with the positive, then with the pool: [2 (n - pool), 1 + 2 pool].

    Args:
        queries, keys: [2 n, out].
        temperature: > 0.
        pool: the last so many of the n images, in both views, are the negatives of the others.

    Raises:
        ValueError: when no image is left.
    """
    n = len(queries) // 2
    if pool >= n:
        raise ValueError(f"pool must leave images to learn from: got {pool} of a batch of {n}")
    q, k = _unit(queries, keys)
    q, k = q.view(2, n, -1), k.view(2, n, -1)
    anchors = q[:, : n - pool].flatten(0, 1)
    partners = k[:, : n - pool].flip(0).flatten(0, 1)
    negatives = anchors @ k[:, n - pool :].flatten(0, 1).T
    return torch.cat([(anchors * partners).sum(dim=1, keepdim=True), negatives], 1) / temperature


def _unit(queries: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    q = F.normalize(queries, dim=1)
    return q, q if keys is queries else F.normalize(keys, dim=1)


def generator_of(moment: TrainingPosition) -> torch.Generator:
    """A generator on the CPU that hangs on seed and step only: alike on all processes."""
    return torch.Generator().manual_seed(hash((moment.seed, moment.step)) % 2**63)


def draw_negatives(rows: int, m: int, generator: torch.Generator) -> torch.Tensor:
    """For each row m unlike other rows, neither itself nor its positive: int64 [rows, m].

    All sets of m are equally likely, independently from row to row. They are positions in the
    global batch, drawn on the CPU, so that number of processes and device change nothing.

    Args:
        rows: 2 n.
        m: 1 to rows - 2.
        generator: of the draw.

    Raises:
        ValueError: when there are fewer than m others.
    """
    others = rows - 2
    if m > others:
        raise ValueError(
            f"negatives must be at most {others} (2 * batch - 2 of this batch), got {m}"
        )
    drawn = _without_replacement(rows, others, m, generator)
    itself = torch.arange(rows)[:, None]
    positive = positives(rows, itself.device)[:, None]
    # of the others in order, those from the row itself, or from its positive, on move up by one
    drawn += drawn >= torch.minimum(itself, positive)
    drawn += drawn >= torch.maximum(itself, positive)
    return drawn


def _without_replacement(rows: int, most: int, m: int, generator: torch.Generator) -> torch.Tensor:
    """In each of the rows m different numbers below `most`: int64 [rows, m]."""
    if m * m > most:
        # the m largest of random keys, in blocks that need no more memory than the result
        blocks = torch.arange(rows).split(max(1, rows * m // most))
        return torch.cat([_largest(len(block), most, m, generator) for block in blocks])
    # Floyd's algorithm (Bentley, Programming Pearls: a sample of brilliance, 1987)
    drawn = torch.empty(rows, m, dtype=torch.int64)
    for taken, last in enumerate(range(most - m, most)):
        number = torch.randint(last + 1, (rows, 1), generator=generator)
        again = (drawn[:, :taken] == number).any(dim=1, keepdim=True)
        drawn[:, taken : taken + 1] = torch.where(again, last, number)
    return drawn


def _largest(rows: int, most: int, m: int, generator: torch.Generator) -> torch.Tensor:
    keys = torch.rand(rows, most, generator=generator, dtype=torch.float64)
    return keys.topk(m, dim=1).indices
