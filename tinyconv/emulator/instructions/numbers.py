"""Arithmetic, comparisons, conversions: registers in, a register out.

Integers are computed as unsigned numbers where the bits are the same, because C++ leaves signed overflow open.
"""

from __future__ import annotations

from ..operation import CPP, OperandError, Operation
from ..ptx import SIZES, Integer, Vector
from .table import as_unsigned, opcode

# ------------------------------------------------------------------------------------------------ floating point

_MODES = {"rz": "FE_TOWARDZERO", "rm": "FE_DOWNWARD", "rp": "FE_UPWARD"}


def _floating(o: Operation, type_: str, functor: str, plain: str, count: int,
              flushing: str = "flush_arithmetic") -> str:
    """An operation of ``count`` sources that rounds: ``plain`` is its C++, with {0}, {1} ... for the sources;
    ``functor`` is the same as an object, for the rounding modes that C++ has no expression for; ``flushing`` what .ftz
    does, which is "flush" where the processor does not do it by itself."""
    mode, flush, saturate = o.take("rn", *_MODES), o.take("ftz"), o.take("sat")
    sources = [o.read(i + 1, type_) for i in range(count)]
    if flush:
        sources = [f"{flushing}({source})" for source in sources]
    result = plain.format(*sources)
    if mode in _MODES:
        result = f"rounded<{_MODES[mode]}>({functor}{{}}, {', '.join(sources)})"
    if flush:
        result = f"{flushing}({result})"
    return o.write(type_, f"saturate({result})" if saturate else result)


def _flush_of(type_: str) -> str:
    """.ftz of what is no arithmetic of the processor's."""
    return "flush" if type_ == "f32" else "flush_arithmetic"


_BINARY = {"add": ("Add", "+"), "sub": ("Subtract", "-"), "mul": ("Multiply", "*"), "div": ("Divide", "/")}


@opcode("add", "sub", "addc", "subc")
def _add(o: Operation) -> str:
    name, type_ = o.instruction.opcode, o.type("usf")
    if type_[0] == "f" and name in _BINARY:
        functor, sign = _BINARY[name]
        return _floating(o, type_, functor, f"{{0}} {sign} {{1}}", 2)
    unsigned = as_unsigned(type_)
    return o.write(unsigned, _sum(o, unsigned, o.read(1, unsigned), o.read(2, unsigned)))


def _sum(o: Operation, type_: str, a: str, b: str) -> str:
    """Or the difference.  Numbers of several words are added word by word: .cc leaves a carry behind, and an opcode
    that ends with c takes it up."""
    name, leaves = o.instruction.opcode, o.take("cc")
    takes, subtracts = name.endswith("c"), name.startswith("sub")
    if not takes and not leaves:
        return f"{a} {'-' if subtracts else '+'} {b}"
    o.writer.carries = True
    function = "subtract_with_borrow" if subtracts else "add_with_carry"
    return f"{function}<{CPP[type_]}>({a}, {b}, {'carry' if takes else 'false'}, {'&carry' if leaves else 'nullptr'})"


@opcode("mul", "mad", "madc")
def _multiply(o: Operation) -> str:
    type_ = o.type("usf")
    if type_[0] == "f":
        return _fma_of(o, type_) if o.instruction.opcode == "mad" else _floating(o, type_, "Multiply", "{0} * {1}", 2)
    form = o.need("lo", "hi", "wide")
    result = f"{type_[0]}{2 * int(type_[1:])}" if form == "wide" else type_
    if form == "hi":
        product = f"multiply_high<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, type_)})"
    elif form == "wide":
        product = f"{CPP[result]}({CPP[result]}({o.read(1, type_)}) * {o.read(2, type_)})"
    else:  # the low bits do not depend on the sign; 16-bit factors must not become signed ints
        product = f"{o.read(1, as_unsigned(type_))} * 1u * {o.read(2, as_unsigned(type_))}"
    result = as_unsigned(result)
    if o.instruction.opcode != "mul":
        product = _sum(o, result, f"{CPP[result]}({product})", o.read(3, result))
    return o.write(result, product)


@opcode("fma")
def _fma(o: Operation) -> str:
    return _fma_of(o, o.type("f"))


def _fma_of(o: Operation, type_: str) -> str:
    return _floating(o, type_, "Fma", "fma({0}, {1}, {2})", 3)


@opcode("div")
def _divide(o: Operation) -> str:
    type_ = o.type("usf")
    if type_[0] == "f":
        o.take("approx", "full")
        return _floating(o, type_, "Divide", "{0} / {1}", 2)
    return o.write(type_, f"divide<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, type_)})")


_FUNCTIONS = {"rcp": "reciprocal", "sqrt": "square_root", "rsqrt": "reciprocal_root", "ex2": "exp2", "lg2": "log2",
              "sin": "sine", "cos": "cosine", "tanh": "tangent_h"}
_ROUNDED_FUNCTIONS = {"rcp": "Reciprocal", "sqrt": "SquareRoot"}


@opcode(*_FUNCTIONS)
def _function(o: Operation) -> str:
    """.approx is computed exactly, or as well as the C library does: closer to the truth than the GPU."""
    name = o.instruction.opcode
    type_ = o.type("f")
    o.take("approx")
    if name not in _ROUNDED_FUNCTIONS and set(o.modifiers) & {"rn", *_MODES}:
        o.unknown("rounding of this instruction")
    flushing = "flush_arithmetic" if name in _ROUNDED_FUNCTIONS else _flush_of(type_)
    return _floating(o, type_, _ROUNDED_FUNCTIONS.get(name, ""), f"{_FUNCTIONS[name]}({{0}})", 1, flushing)


@opcode("neg", "abs")
def _negate(o: Operation) -> str:
    type_ = o.type("sf")
    value = o.read(1, type_)
    if type_[0] == "f":
        value = f"flush({value})" if o.take("ftz") else value
        return o.write(type_, f"-{value}" if o.instruction.opcode == "neg" else f"absolute({value})")
    unsigned = as_unsigned(type_)
    negative = f"{CPP[unsigned]}(0) - {o.read(1, unsigned)}"
    if o.instruction.opcode == "abs":
        negative = f"{value} < 0 ? {negative} : {o.read(1, unsigned)}"
    return o.write(unsigned, negative)


@opcode("min", "max")
def _minimum(o: Operation) -> str:
    type_ = o.type("usf")
    function = "minimum" if o.instruction.opcode == "min" else "maximum"
    if len(o.operands) != 3:
        o.unknown("number of operands")
    if type_[0] == "f":
        function += "_nan" if o.take("NaN") else ""
        return _floating(o, type_, "", f"{function}({{0}}, {{1}})", 2, _flush_of(type_))
    return o.write(type_, f"{function}<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, type_)})")


_CLASSES = {"finite": "is_finite({0})", "infinite": "is_infinite({0})", "number": "!is_nan({0})",
            "notanumber": "is_nan({0})", "normal": "is_normal({0})", "subnormal": "is_subnormal({0})"}


@opcode("testp")
def _testp(o: Operation) -> str:
    type_ = o.type("f")
    return o.write("pred", _CLASSES[o.need(*_CLASSES)].format(o.read(1, type_)))


# ------------------------------------------------------------------------------------------------ functions of numbers

# Instructions without modifiers: the types that they take; their sources and their result, each of the instruction's
# type (t), the same as unsigned (u) or 32 bits whatever the type (i); and the C++, in which T is the type.
_PLAIN = {
    "rem": ("us", "tt", "t", "remainder<{T}>({0}, {1})"),
    "copysign": ("f", "tt", "t", "copysign({0}, {1})"),
    "cnot": ("b", "t", "t", "{0} == 0"),
    "bfe": ("us", "tii", "t", "extract_field<{T}>({0}, {1}, {2})"),
    "bfi": ("b", "ttii", "t", "insert_field<{T}>({0}, {1}, {2}, {3})"),
    "brev": ("b", "t", "t", "reverse_bits({0})"),
    "popc": ("b", "t", "i", "population({0})"),
    "clz": ("b", "t", "i", "leading_zeros({0})"),
    "prmt": ("b", "ttt", "t", "permute_bytes({0}, {1}, {2})"),
    "sad": ("us", "ttu", "u", "absolute_difference<{T}>({0}, {1}) + {2}"),
}


@opcode(*_PLAIN)
def _plain(o: Operation) -> str:
    kinds, sources, result, cpp = _PLAIN[o.instruction.opcode]
    type_ = o.type(kinds)
    types = {"t": type_, "u": as_unsigned(type_), "i": "u32"}
    values = [o.read(i + 1, types[source]) for i, source in enumerate(sources)]
    return o.write(types[result], cpp.format(*values, T=CPP[type_]))


@opcode("and", "or", "xor", "not")
def _logical(o: Operation) -> str:
    type_ = o.type("bp")
    if o.instruction.opcode == "not":
        return o.write(type_, f"{'!' if type_ == 'pred' else '~'}{o.read(1, type_)}")
    sign = {"and": "&", "or": "|", "xor": "^"}[o.instruction.opcode]
    return o.write(type_, f"{o.read(1, type_)} {sign} {o.read(2, type_)}")


@opcode("shl", "shr")
def _shift(o: Operation) -> str:
    type_ = o.type("bus")
    left = o.instruction.opcode == "shl"
    value, count = o.read(1, as_unsigned(type_) if left else type_), o.operands[2]
    if isinstance(count, Integer) and 0 <= count.value < 8 * SIZES[type_]:
        return o.write(type_, f"{value} {'<<' if left else '>>'} {count.value}")
    return o.write(type_, f"shift_{'left' if left else 'right'}({value}, {o.read(2, 'u32')})")


@opcode("shf")
def _funnel_shift(o: Operation) -> str:
    o.type("b")
    function = {"l": "funnel_left", "r": "funnel_right"}[o.need("l", "r")]
    low, high, count = o.read(1, "b32"), o.read(2, "b32"), o.read(3, "u32")
    count = f"{count} & 31" if o.need("wrap", "clamp") == "wrap" else f"clamp_count({count})"
    return o.write("b32", f"{function}({low}, {high}, {count})")


@opcode("bfind")
def _find_bit(o: Operation) -> str:
    type_ = o.type("us")
    found = f"find_bit<{CPP[type_]}>({o.read(1, type_)})"
    return o.write("u32", f"shift_amount({found}, {8 * SIZES[type_] - 1})" if o.take("shiftamt") else found)


@opcode("lop3")
def _logic(o: Operation) -> str:
    o.type("b")
    table = o.operands[4]
    if not isinstance(table, Integer):
        raise OperandError
    return o.write("b32", f"logic<{table.value & 255}>({', '.join(o.read(i, 'b32') for i in (1, 2, 3))})")


# ------------------------------------------------------------------------------------------------ choices

_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">",
            "hs": ">="}
# A comparison that is also true where an operand is NaN is the negation of one that is not.
_UNORDERED = {"ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<", "neu": "=="}


def _comparison(o: Operation, type_: str) -> str:
    kind = o.need(*_COMPARE, *_UNORDERED, "equ", "num", "nan")
    if kind in ("lo", "ls", "hi", "hs"):
        type_ = as_unsigned(type_)
    a, b = o.read(1, type_), o.read(2, type_)
    if o.take("ftz"):
        a, b = f"flush({a})", f"flush({b})"
    if kind in _UNORDERED:
        return f"!({a} {_UNORDERED[kind]} {b})"
    if kind in ("num", "nan"):
        return f"{'!' if kind == 'num' else ''}(is_nan({a}) || is_nan({b}))"
    if type_[0] == "f" and kind in ("ne", "equ"):
        return f"{'' if kind == 'ne' else '!'}({a} < {b} || {a} > {b})"
    return f"{a} {_COMPARE[kind]} {b}"


@opcode("setp")
def _set_predicate(o: Operation) -> str:
    """p|q = (a compared with b) combined with c; q takes the negated comparison."""
    type_ = o.type("busf")
    combine = o.take("and", "or", "xor")
    comparison = _comparison(o, type_)
    if combine is None and len(o.items(0)) == 1:
        return o.write("pred", comparison)
    sign = {"and": "&", "or": "|", "xor": "!=", None: ""}[combine]
    with_c = f" {sign} {o.read(3, 'pred')}" if combine else ""
    writes = [o.writer.write(target, "pred", f"{negation}result{with_c}")
              for target, negation in zip(o.items(0), ("", "!"), strict=False)]
    return f"{{ const bool result = {comparison}; {' '.join(writes)} }}"


@opcode("set")
def _set_value(o: Operation) -> str:
    source, target = o.type("busf"), o.type("usf")
    yes = "1.0f" if target == "f32" else "0xffffffffu"
    return o.write(target, f"({_comparison(o, source)}) ? {yes} : 0")


@opcode("selp")
def _select(o: Operation) -> str:
    type_ = o.type("busf")
    o.writer.alike(*o.operands[:3])
    copy = type_[0] == "b"
    return o.write(type_, f"{o.read(3, 'pred')} ? {o.read(1, type_, copy)} : {o.read(2, type_, copy)}", copy)


@opcode("slct")
def _select_by_sign(o: Operation) -> str:
    sign, type_ = o.type("sf"), o.type("busf")
    condition = o.read(3, sign)
    if o.take("ftz"):
        condition = f"flush({condition})"
    return o.write(type_, f"{condition} >= 0 ? {o.read(1, type_)} : {o.read(2, type_)}")


# ------------------------------------------------------------------------------------------------ moves, conversions

@opcode("mov")
def _move(o: Operation) -> str:
    type_ = o.type("busfp")
    target, source = o.operands
    part = SIZES[type_] * 8
    if isinstance(source, Vector):  # pack: the first element becomes the lowest bits
        part //= len(source.items)
        whole = CPP[as_unsigned(type_)]
        parts = [f"{whole}({o.writer.read(item, f'b{part}')}) << {i * part}" for i, item in enumerate(source.items)]
        return o.write(type_, " | ".join(parts))
    if isinstance(target, Vector):
        part //= len(target.items)
        writes = [o.writer.write(item, f"b{part}", f"packed >> {i * part}") for i, item in enumerate(target.items)]
        return f"{{ const {CPP[type_]} packed = {o.read(1, type_)}; {' '.join(writes)} }}"
    o.writer.alike(target, source)
    copy = type_[0] == "b"
    return o.write(type_, o.read(1, type_, copy), copy)


_TO_INTEGRAL = {"rni": "nearest_integer", "rzi": "toward_zero", "rmi": "floor", "rpi": "ceiling"}


@opcode("cvt")
def _convert(o: Operation) -> str:
    source = o.type("usf")
    if o.take("tf32"):
        ties_to_even = o.need("rna", "rn") == "rn"
        return o.write("b32", f"to_tf32({o.read(1, source)}, {str(ties_to_even).lower()})")
    target = o.type("usf")
    integral, flush, saturate = o.take(*_TO_INTEGRAL), o.take("ftz"), o.take("sat")
    mode = o.take("rn", *_MODES)
    value = o.read(1, source)
    if flush and source == "f32":
        value = f"flush({value})"
    if integral:
        value = f"{_TO_INTEGRAL[integral]}({value})"
    floats = (source[0] == "f", target[0] == "f")
    if floats == (True, False):
        if not integral:
            o.unknown("conversion to an integer without rounding")
        return o.write(target, f"to_integer<{CPP[target]}>({value})")
    if floats == (False, False):
        return o.write(target, f"clamp_integer<{CPP[target]}>({value})" if saturate else f"{CPP[target]}({value})")
    convert = f"rounded<{_MODES[mode]}>(Convert<{CPP[target]}>{{}}, " if mode in _MODES else f"{CPP[target]}("
    value = f"{convert}{value})"
    if flush and target == "f32":
        value = f"flush({value})"
    return o.write(target, f"saturate({value})" if saturate else value)


@opcode("cvta")
def _convert_address(o: Operation) -> str:
    """Between a space's addresses and generic ones.  Only shared memory's differ here."""
    type_ = o.type("u")
    space, to = o.need("global", "shared", "shared::cta", "local", "const", "param"), o.take("to")
    if not space.startswith("shared"):
        return o.write(type_, o.read(1, type_))
    base = "reinterpret_cast<uint64_t>(thread.shared)"
    return o.write(type_, f"{o.read(1, type_)} {'-' if to else '+'} {base}")
