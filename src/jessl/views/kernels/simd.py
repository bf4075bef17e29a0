"""The inner loops of resize and blur in explicit vectors: the compiler does not find them itself.

They are written in LLVM's own vector types, so they run on every processor that numba knows.
For the resize four rows of the view are made together: pixel x of the four lies in 16 floats, row
by row, four channels each, and one vector instruction serves them all.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

# numba's own annotation takes the typing context for an argument of the caller
intrinsic: Any = extending.intrinsic

_FLOAT = ir.FloatType()
_FOUR = ir.VectorType(_FLOAT, 4)
_SIXTEEN = ir.VectorType(_FLOAT, 16)
_INT = ir.IntType(64)

# lanes that are interleaved by four shuffles: see _transposed
_LOW_SINGLES = [4 * r + k for r in range(4) for k in (0, 16, 1, 17)]
_HIGH_SINGLES = [4 * r + k for r in range(4) for k in (2, 18, 3, 19)]
_LOW_PAIRS = [4 * r + k for r in range(4) for k in (0, 1, 16, 17)]
_HIGH_PAIRS = [4 * r + k for r in range(4) for k in (2, 3, 18, 19)]


@intrinsic
def spread_pixels(
    typingctx: Any, row: Any, channels: Any, count: Any, block: Any, lane: Any
) -> Any:
    """Pixel x of `row` (float32, `channels` apart) into block[16 x + 4 lane ...] for x < count.

    Four floats are moved whatever the channels: those too many are never looked at. `row` needs
    three floats behind its end.
    """
    signature = types.void(row, channels, count, block, lane)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source, step, n, target, place = args
        start = context.make_array(sig.args[0])(context, builder, source).data
        end = context.make_array(sig.args[3])(context, builder, target).data
        end = builder.gep(end, [builder.mul(place, ir.Constant(_INT, 4))])
        with cgutils.for_range(builder, n) as loop:
            x = loop.index
            got = _load(builder, builder.gep(start, [builder.mul(x, step)]), _FOUR)
            at = builder.gep(end, [builder.mul(x, ir.Constant(_INT, 16))])
            _store(builder, got, at, _FOUR)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def resample_block(
    typingctx: Any,
    block: Any,
    starts: Any,
    weights: Any,
    taps: Any,
    count: Any,
    out: Any,
    first: Any,
    stride: Any,
    plane: Any,
    channels: Any,
) -> Any:
    """Resize a block of four rows along x: `count` pixels, a multiple of four, in groups of four.

    Pixel x is the sum over k < taps of weights[x taps + k] block[16 (starts[x] + k) ...]. Channel c
    of row r goes to out[first + c plane + r stride + x].
    """
    signature = types.void(block, starts, weights, taps, count, out, first, stride, plane, channels)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def data(k: int) -> Any:
            return context.make_array(sig.args[k])(context, builder, args[k]).data

        source, begins, factors, target = data(0), data(1), data(2), data(5)
        taps_, count_, first_, stride_, plane_, channels_ = (args[k] for k in (3, 4, 6, 7, 8, 9))
        muladd = _muladd(builder)
        four, sixteen = ir.Constant(_INT, 4), ir.Constant(_INT, 16)
        sums = [cgutils.alloca_once(builder, _SIXTEEN) for _ in range(4)]
        quads = builder.sdiv(count_, four)
        with cgutils.for_range(builder, quads) as quad:
            x = builder.mul(quad.index, four)
            places = []
            for j in range(4):
                at = builder.add(x, ir.Constant(_INT, j))
                begin = builder.sext(builder.load(builder.gep(begins, [at])), _INT)
                places.append((begin, builder.mul(at, taps_)))
                builder.store(ir.Constant(_SIXTEEN, [0.0] * 16), sums[j])
            with cgutils.for_range(builder, taps_) as tap:
                for j, (begin, row) in enumerate(places):
                    factor = builder.load(builder.gep(factors, [builder.add(row, tap.index)]))
                    at = builder.mul(builder.add(begin, tap.index), sixteen)
                    got = _load(builder, builder.gep(source, [at]), _SIXTEEN)
                    total = builder.call(
                        muladd, [_splat(builder, factor), got, builder.load(sums[j])]
                    )
                    builder.store(total, sums[j])
            planes = _transposed(builder, [builder.load(s) for s in sums])
            base = builder.add(first_, x)
            for c, lanes in enumerate(planes):
                with builder.if_then(
                    builder.icmp_signed(">", channels_, ir.Constant(_INT, c)), likely=True
                ):
                    at_c = builder.add(base, builder.mul(plane_, ir.Constant(_INT, c)))
                    for r in range(4):
                        part = _pick(builder, lanes, lanes, [4 * r + k for k in range(4)])
                        at = builder.add(at_c, builder.mul(stride_, ir.Constant(_INT, r)))
                        _store(builder, part, builder.gep(target, [at]), _FOUR)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def symmetric_sum(
    typingctx: Any,
    source: Any,
    before: Any,
    behind: Any,
    weights: Any,
    reach: Any,
    out: Any,
    first: Any,
    count: Any,
) -> Any:
    """out[first + i] = sum over k <= reach of weights[k] (s[before[k] + i] + s[behind[k] + i]).

    Tap 0 counts once, from before[0]. `count` is rounded up to 32; `out` and `source` need room.
    """
    signature = types.void(source, before, behind, weights, reach, out, first, count)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start, minus, plus, factors, target = (
            context.make_array(sig.args[k])(context, builder, args[k]).data for k in (0, 1, 2, 3, 5)
        )

        def places(k: Any) -> tuple[Any, Any]:
            return tuple(
                builder.gep(start, [builder.sext(builder.load(builder.gep(at, [k])), _INT)])
                for at in (minus, plus)
            )

        _sum_pairs(builder, places, factors, args[4], builder.gep(target, [args[6]]), args[7])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def strided_sum(
    typingctx: Any,
    source: Any,
    centre: Any,
    step: Any,
    weights: Any,
    reach: Any,
    out: Any,
    first: Any,
    count: Any,
) -> Any:
    """`symmetric_sum` with before[k] = centre - k step and behind[k] = centre + k step."""
    signature = types.void(source, centre, step, weights, reach, out, first, count)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start, factors, target = (
            context.make_array(sig.args[k])(context, builder, args[k]).data for k in (0, 3, 5)
        )
        middle = builder.gep(start, [args[1]])

        def places(k: Any) -> tuple[Any, Any]:
            away = builder.mul(k, args[2])
            return builder.gep(middle, [builder.neg(away)]), builder.gep(middle, [away])

        _sum_pairs(builder, places, factors, args[4], builder.gep(target, [args[6]]), args[7])
        return context.get_dummy_value()

    return signature, generate


def _sum_pairs(
    builder: Any, places: Any, factors: Any, reach: Any, target: Any, count: Any
) -> None:
    """The loops of a symmetric sum: 64 floats at a time, then 32.

    `places(k)` gives the pointers from which tap k reads before and behind the centre.
    """

    def number(value: int) -> Any:
        return ir.Constant(_INT, value)

    muladd = _muladd(builder)
    sums = [cgutils.alloca_once(builder, _SIXTEEN) for _ in range(4)]

    def part(begin: Any, vectors: int) -> None:
        shifts = [builder.add(begin, number(16 * j)) for j in range(vectors)]
        factor = _splat(builder, builder.load(factors))
        middle, _ = places(number(0))
        for shift, total in zip(shifts, sums, strict=False):
            got = _load(builder, builder.gep(middle, [shift]), _SIXTEEN)
            builder.store(builder.fmul(factor, got), total)
        with cgutils.for_range(builder, reach) as tap:
            k = builder.add(tap.index, number(1))
            factor = _splat(builder, builder.load(builder.gep(factors, [k])))
            minus, plus = places(k)
            for shift, total in zip(shifts, sums, strict=False):
                pair = builder.fadd(
                    _load(builder, builder.gep(minus, [shift]), _SIXTEEN),
                    _load(builder, builder.gep(plus, [shift]), _SIXTEEN),
                )
                builder.store(builder.call(muladd, [factor, pair, builder.load(total)]), total)
        for shift, total in zip(shifts, sums, strict=False):
            _store(builder, builder.load(total), builder.gep(target, [shift]), _SIXTEEN)

    whole = builder.sdiv(count, number(64))
    with cgutils.for_range(builder, whole) as step:
        part(builder.mul(step.index, number(64)), 4)
    done = builder.mul(whole, number(64))
    left = builder.sdiv(builder.add(builder.sub(count, done), number(31)), number(32))
    with cgutils.for_range(builder, left) as step:
        part(builder.add(done, builder.mul(step.index, number(32))), 2)


def _muladd(builder: Any) -> Any:
    """a b + c, fused where the processor can."""
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_SIXTEEN, [_SIXTEEN] * 3), "llvm.fmuladd.v16f32"
    )


def _transposed(builder: Any, pixels: list[Any]) -> list[Any]:
    """From four pixels of (row, channel) to four channels of (row, pixel): eight shuffles."""
    a, b, c, d = pixels
    ab_low, ab_high = _pick(builder, a, b, _LOW_SINGLES), _pick(builder, a, b, _HIGH_SINGLES)
    cd_low, cd_high = _pick(builder, c, d, _LOW_SINGLES), _pick(builder, c, d, _HIGH_SINGLES)
    return [
        _pick(builder, ab_low, cd_low, _LOW_PAIRS),
        _pick(builder, ab_low, cd_low, _HIGH_PAIRS),
        _pick(builder, ab_high, cd_high, _LOW_PAIRS),
        _pick(builder, ab_high, cd_high, _HIGH_PAIRS),
    ]


def _pick(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def _splat(builder: Any, value: Any) -> Any:
    first = builder.insert_element(
        ir.Constant(_SIXTEEN, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return _pick(builder, first, first, [0] * 16)


def _load(builder: Any, pointer: Any, kind: Any) -> Any:
    got = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    got.align = 4
    return got


def _store(builder: Any, value: Any, pointer: Any, kind: Any) -> None:
    builder.store(value, builder.bitcast(pointer, kind.as_pointer())).align = 4
