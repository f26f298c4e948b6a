"""What Numba cannot say in Python, as LLVM IR: the register tile of dense convolution, unchecked indexing, a maximum.

Numba has no vector type, and LLVM does not promote an array of accumulators to registers, so that loop is built here.
LLVM splits its vectors of 64 bytes into what the machine has (2 AVX2 registers, 1 or 2 with AVX-512, 4 NEON).
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

MR = 6  # rows of a tile: MR × 2 accumulators, a row of B (2) and a broadcast fill 15 of AVX2's 16 registers
VECTOR_BYTES = 64  # a row of a tile: NR = 16 float32 or 8 float64


def _element(context, builder, signature, arguments, which, at):
    """Pointer to element `at` of the array that is argument number `which`."""
    array = context.make_array(signature.args[which])(context, builder, arguments[which])
    return builder.gep(array.data, [at])


def _results(builder):
    """The alias scope of all that `put` writes: what comes from read-only arrays stands outside of it."""
    domain = builder.module.add_metadata(["pyconv"])
    return builder.module.add_metadata([builder.module.add_metadata(["results", domain])])


@intrinsic
def get(typingctx, a, at):
    """a[at] of a 1-D contiguous array, with no wrapping of negative indices, so that loops over it vectorise.

    A read-only array must not overlap what `put` writes.
    """

    def generate(context, builder, signature, arguments):
        value = builder.load(_element(context, builder, signature, arguments, 0, arguments[1]))
        if not a.mutable:
            value.set_metadata("noalias", _results(builder))
        return value

    return a.dtype(a, types.intp), generate


@intrinsic
def put(typingctx, a, at, value):
    """a[at] = value, as `get`."""

    def generate(context, builder, signature, arguments):
        store = builder.store(arguments[2], _element(context, builder, signature, arguments, 0, arguments[1]))
        store.set_metadata("alias.scope", _results(builder))
        return context.get_dummy_value()

    return types.void(a, types.intp, a.dtype), generate


@intrinsic
def larger(typingctx, a, b):
    """The larger of two floats, NaN if either is, without a branch even where LLVM does not vectorise."""

    def generate(context, builder, signature, arguments):
        value = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.maximum", [value], ir.FunctionType(value, [value, value]))
        return builder.call(function, arguments, fastmath=("nsz",))

    return a(a, a), generate


@intrinsic
def place_of_larger(typingctx, old, value, old_place, place):
    """`place` if value > old or value is NaN, else `old_place`; without a branch too."""

    def generate(context, builder, signature, arguments):
        old, value, old_place, place = arguments
        wins = builder.or_(builder.fcmp_ordered(">", value, old), builder.fcmp_unordered("uno", value, value))
        return builder.select(wins, place, old_place)

    return place(old, old, place, place), generate


@intrinsic
def multiply_tile(typingctx, c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, depth, add):
    """c[c_at + i*c_row + j] = (or += if `add`) the sum over d of a[a_at + i*a_row + d*a_step] * b[b_at + d*b_step + j].

    c, a and b are 1-D contiguous arrays of one dtype; i < MR, j < NR, d < depth. The sum starts at zero and runs in the
    order of d, so a result does not depend on where in a tile it stands. Nothing is checked.
    """
    offsets = (types.intp,) * 3
    signature = types.void(c, *offsets[:2], a, *offsets, b, *offsets, types.boolean)

    def generate(context, builder, signature, arguments):
        _, c_at, c_row, _, a_at, a_row, a_step, _, b_at, b_step, depth, add = arguments
        scalar = context.get_value_type(c.dtype)
        itemsize = context.get_abi_sizeof(scalar)
        vector = ir.VectorType(scalar, VECTOR_BYTES // itemsize)
        index, lane = depth.type, ir.IntType(32)
        undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(vector, None)
        first_lane = ir.Constant(ir.VectorType(lane, vector.count), None)

        def row_at(which, at):
            pointer = _element(context, builder, signature, arguments, which, at)
            return builder.bitcast(pointer, vector.as_pointer())

        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(MR)]  # LLVM keeps these in registers
        with cgutils.for_range(builder, depth) as loop:
            b_row = builder.load(row_at(7, builder.add(b_at, builder.mul(loop.index, b_step))), align=itemsize)
            a_here = builder.add(a_at, builder.mul(loop.index, a_step))
            for i, total in enumerate(totals):
                at = builder.add(a_here, builder.mul(index(i), a_row))
                value = builder.load(_element(context, builder, signature, arguments, 3, at), align=itemsize)
                single = builder.insert_element(undefined, value, lane(0))
                spread = builder.shuffle_vector(single, undefined, first_lane)
                product = builder.fmul(spread, b_row, flags=("contract",))
                builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)

        results = [builder.load(total) for total in totals]
        rows = [row_at(0, builder.add(c_at, builder.mul(index(i), c_row))) for i in range(MR)]
        with builder.if_else(add) as (adding, writing):
            with adding:
                for row, result in zip(rows, results, strict=True):
                    builder.store(builder.fadd(builder.load(row, align=itemsize), result), row, align=itemsize)
            with writing:
                for row, result in zip(rows, results, strict=True):
                    builder.store(result, row, align=itemsize)
        return context.get_dummy_value()

    return signature, generate
