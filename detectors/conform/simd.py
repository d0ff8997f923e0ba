"""Many bytes at once for compiled loops: load, compare and copy 32 or 64 of them in a few instructions.

The functions here can only be called from ``models.jit.njit`` code, and look at no bounds: the caller sees to it that
all bytes that are loaded or stored lie within their array (uint8[n]). Offsets are unsigned.
"""

from __future__ import annotations

from typing import Any, Final

from models.jit import HAVE_NUMBA

#: bytes that ``differing`` and ``copy`` take, and ``stops``
WIDTH: Final = 32
WORD: Final = 64

if HAVE_NUMBA:
    from llvmlite import ir
    from numba import config, types
    from numba.extending import intrinsic

    _BYTE: Final = ir.IntType(8)
    _QUOTE, _BACKSLASH, _SPACE = 34, 92, 32
    COMPILED = not config.DISABLE_JIT

    def _at(context: Any, builder: Any, kind: Any, array: Any, offset: Any, what: Any) -> Any:
        """A pointer to what lies at an offset of an array."""
        data = context.make_array(kind)(context, builder, value=array).data
        return builder.bitcast(builder.gep(data, [offset]), what.as_pointer())

    def _bytes(context: Any, builder: Any, kind: Any, array: Any, offset: Any, count: int) -> Any:
        return builder.load(_at(context, builder, kind, array, offset, ir.VectorType(_BYTE, count)), align=1)

    def _all(value: int, count: int) -> Any:
        return ir.Constant(ir.VectorType(_BYTE, count), [value] * count)

    @intrinsic  # type: ignore[untyped-decorator]
    def stops(typing: Any, data: Any, at: Any, high: Any) -> Any:  # noqa: ARG001 - numba's protocol
        """uint64: a bit for each of 64 bytes that ends a plain stretch of JSON text; those of ``high`` beyond ASCII."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            loaded = _bytes(context, builder, signature.args[0], args[0], args[1], WORD)
            found = builder.or_(
                builder.icmp_unsigned("==", loaded, _all(_QUOTE, WORD)),
                builder.icmp_unsigned("==", loaded, _all(_BACKSLASH, WORD)),
            )
            found = builder.or_(found, builder.icmp_unsigned("<", loaded, _all(_SPACE, WORD)))
            beyond = builder.icmp_signed("<", loaded, _all(0, WORD))
            mask = ir.IntType(WORD)
            return builder.or_(builder.bitcast(found, mask), builder.and_(builder.bitcast(beyond, mask), args[2]))

        return types.uint64(data, at, types.uint64), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def differing(typing: Any, data: Any, one: Any, other: Any) -> Any:  # noqa: ARG001
        """uint32: a bit for each of 32 bytes at one offset that differs from its like at the other."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first = _bytes(context, builder, signature.args[0], args[0], args[1], WIDTH)
            second = _bytes(context, builder, signature.args[0], args[0], args[2], WIDTH)
            return builder.bitcast(builder.icmp_unsigned("!=", first, second), ir.IntType(WIDTH))

        return types.uint32(data, one, other), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def copy(typing: Any, data: Any, at: Any, out: Any, to: Any) -> Any:  # noqa: ARG001
        """32 bytes of one array into another."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            loaded = _bytes(context, builder, signature.args[0], args[0], args[1], WIDTH)
            target = _at(context, builder, signature.args[2], args[2], args[3], ir.VectorType(_BYTE, WIDTH))
            builder.store(loaded, target, align=1)
            return context.get_dummy_value()

        return types.void(data, at, out, to), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def word(typing: Any, data: Any, at: Any) -> Any:  # noqa: ARG001
        """uint64: 8 bytes as a number, in the processor's own order."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(_at(context, builder, signature.args[0], args[0], args[1], ir.IntType(64)), align=1)

        return types.uint64(data, at), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def ones(typing: Any, mask: Any) -> Any:  # noqa: ARG001
        """int64: how many bits are set."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
            return builder.ctpop(args[0])

        return types.int64(types.uint64), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def lowest(typing: Any, mask: Any) -> Any:  # noqa: ARG001
        """uint64: the number of the lowest bit that is set; 64 where none is."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

        return types.uint64(types.uint64), generate

else:
    COMPILED = False
