"""The inner loops of resize and blur in explicit vectors, which the compiler does not find itself.

They use LLVM's vector types, so they run on every processor that numba supports. The resize makes
four rows of the view together: pixel x of the four rows is 16 floats, row by row, four channels
each, so that one vector instruction handles them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.core.typing.templates import Signature

    # the signature of an intrinsic, and the function that generates its code
    Intrinsic = tuple[
        Signature,
        Callable[[BaseContext, ir.IRBuilder, Signature, tuple[ir.Value, ...]], ir.Value],
    ]
    # gives the pointers from which a tap reads before and after the centre
    TapPointers = Callable[[ir.Value], tuple[ir.Value, ir.Value]]

# numba's own annotation counts the typing context as an argument of the caller
intrinsic: Any = extending.intrinsic

_FLOAT = ir.FloatType()
_FOUR = ir.VectorType(_FLOAT, 4)
_SIXTEEN = ir.VectorType(_FLOAT, 16)
_INT = ir.IntType(64)

# lanes that four shuffles interleave; see _transposed
_LOW_SINGLES = [4 * r + k for r in range(4) for k in (0, 16, 1, 17)]
_HIGH_SINGLES = [4 * r + k for r in range(4) for k in (2, 18, 3, 19)]
_LOW_PAIRS = [4 * r + k for r in range(4) for k in (0, 1, 16, 17)]
_HIGH_PAIRS = [4 * r + k for r in range(4) for k in (2, 3, 18, 19)]


@intrinsic
def spread_pixels(
    typingctx: object,
    row: types.Type,
    channels: types.Type,
    count: types.Type,
    block: types.Type,
    lane: types.Type,
) -> Intrinsic:
    """Pixel x of `row` (float32, `channels` apart) into block[16 x + 4 lane ...] for x < count.

    Four floats are moved whatever the number of channels; surplus ones are never read. `row` needs
    three floats beyond its end.
    """
    signature = types.void(row, channels, count, block, lane)

    def generate(
        context: BaseContext, builder: ir.IRBuilder, sig: Signature, args: tuple[ir.Value, ...]
    ) -> ir.Value:
        source, step, n, target, place = args
        start = context.make_array(sig.args[0])(context, builder, source).data
        end = context.make_array(sig.args[3])(context, builder, target).data
        end = builder.gep(end, [builder.mul(place, ir.Constant(_INT, 4))])
        with cgutils.for_range(builder, n) as loop:
            x = loop.index
            loaded = _load(builder, builder.gep(start, [builder.mul(x, step)]), _FOUR)
            at = builder.gep(end, [builder.mul(x, ir.Constant(_INT, 16))])
            _store(builder, loaded, at, _FOUR)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def resample_block(
    typingctx: object,
    block: types.Type,
    starts: types.Type,
    weights: types.Type,
    taps: types.Type,
    count: types.Type,
    out: types.Type,
    first: types.Type,
    stride: types.Type,
    plane: types.Type,
    channels: types.Type,
) -> Intrinsic:
    """Resize a block of four rows along x: `count` pixels, a multiple of four, in groups of four.

    Pixel x is the sum over k < taps of weights[x taps + k] block[16 (starts[x] + k) ...]. Channel c
    of row r goes to out[first + c plane + r stride + x].
    """
    signature = types.void(block, starts, weights, taps, count, out, first, stride, plane, channels)

    def generate(
        context: BaseContext, builder: ir.IRBuilder, sig: Signature, args: tuple[ir.Value, ...]
    ) -> ir.Value:
        def data(k: int) -> ir.Value:
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
                    loaded = _load(builder, builder.gep(source, [at]), _SIXTEEN)
                    total = builder.call(
                        muladd, [_splat(builder, factor), loaded, builder.load(sums[j])]
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
    typingctx: object,
    source: types.Type,
    before: types.Type,
    behind: types.Type,
    weights: types.Type,
    reach: types.Type,
    out: types.Type,
    first: types.Type,
    count: types.Type,
) -> Intrinsic:
    """out[first + i] = sum over k <= reach of weights[k] (s[before[k] + i] + s[behind[k] + i]).

    Tap 0 counts once, from before[0]. `count` is rounded up to 32; `out` and `source` need room.
    """
    signature = types.void(source, before, behind, weights, reach, out, first, count)

    def generate(
        context: BaseContext, builder: ir.IRBuilder, sig: Signature, args: tuple[ir.Value, ...]
    ) -> ir.Value:
        start, minus, plus, factors, target = (
            context.make_array(sig.args[k])(context, builder, args[k]).data for k in (0, 1, 2, 3, 5)
        )

        def places(k: ir.Value) -> tuple[ir.Value, ir.Value]:
            return tuple(
                builder.gep(start, [builder.sext(builder.load(builder.gep(at, [k])), _INT)])
                for at in (minus, plus)
            )

        _sum_pairs(builder, places, factors, args[4], builder.gep(target, [args[6]]), args[7])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def strided_sum(
    typingctx: object,
    source: types.Type,
    centre: types.Type,
    step: types.Type,
    weights: types.Type,
    reach: types.Type,
    out: types.Type,
    first: types.Type,
    count: types.Type,
) -> Intrinsic:
    """`symmetric_sum` with before[k] = centre - k step and behind[k] = centre + k step."""
    signature = types.void(source, centre, step, weights, reach, out, first, count)

    def generate(
        context: BaseContext, builder: ir.IRBuilder, sig: Signature, args: tuple[ir.Value, ...]
    ) -> ir.Value:
        start, factors, target = (
            context.make_array(sig.args[k])(context, builder, args[k]).data for k in (0, 3, 5)
        )
        middle = builder.gep(start, [args[1]])

        def places(k: ir.Value) -> tuple[ir.Value, ir.Value]:
            away = builder.mul(k, args[2])
            return builder.gep(middle, [builder.neg(away)]), builder.gep(middle, [away])

        _sum_pairs(builder, places, factors, args[4], builder.gep(target, [args[6]]), args[7])
        return context.get_dummy_value()

    return signature, generate


def _sum_pairs(
    builder: ir.IRBuilder,
    places: TapPointers,
    factors: ir.Value,
    reach: ir.Value,
    target: ir.Value,
    count: ir.Value,
) -> None:
    """The loops of a symmetric sum: 64 floats at a time, then 32.

    `places(k)` gives the pointers from which tap k reads before and behind the centre.
    """

    def number(value: int) -> ir.Constant:
        return ir.Constant(_INT, value)

    muladd = _muladd(builder)
    sums = [cgutils.alloca_once(builder, _SIXTEEN) for _ in range(4)]

    def part(begin: ir.Value, vectors: int) -> None:
        shifts = [builder.add(begin, number(16 * j)) for j in range(vectors)]
        factor = _splat(builder, builder.load(factors))
        middle, _ = places(number(0))
        for shift, total in zip(shifts, sums, strict=False):
            loaded = _load(builder, builder.gep(middle, [shift]), _SIXTEEN)
            builder.store(builder.fmul(factor, loaded), total)
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


def _muladd(builder: ir.IRBuilder) -> ir.Function:
    """a b + c, fused where the processor can."""
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_SIXTEEN, [_SIXTEEN] * 3), "llvm.fmuladd.v16f32"
    )


def _transposed(builder: ir.IRBuilder, pixels: list[ir.Value]) -> list[ir.Value]:
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


def _pick(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    first = builder.insert_element(
        ir.Constant(_SIXTEEN, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return _pick(builder, first, first, [0] * 16)


def _load(builder: ir.IRBuilder, pointer: ir.Value, kind: ir.Type) -> ir.Value:
    loaded = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    loaded.align = 4
    return loaded


def _store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, kind: ir.Type) -> None:
    builder.store(value, builder.bitcast(pointer, kind.as_pointer())).align = 4
