"""What each PTX instruction means, as C++: one function per family, found through the table HANDLERS.

A handler takes the modifiers that it knows (``mul.wide.s32``: "wide", then the type) and returns a C++ statement.
Whatever it leaves is an error, so nothing is silently ignored.  Only what cannot change a result is taken and dropped: hints
to caches, promises that threads do the same (.uni, .aligned).

Integers are computed as unsigned numbers where the bits are the same, because C++ leaves signed overflow open.
"""

from __future__ import annotations

from collections.abc import Callable

from .ptx import SIZES, Address, Integer, Register, Symbol, Vector
from .translate import CPP, Operation, cpp_name, goto

Handler = Callable[[Operation], str]
HANDLERS: dict[str, Handler] = {}


def opcode(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler
    return register


def _unsigned(type_: str) -> str:
    return f"u{type_[1:]}"


def _signed(type_: str) -> str:
    return f"s{type_[1:]}"


# ---------------------------------------------------------------------------------------------------- floating point

_MODES = {"rz": "FE_TOWARDZERO", "rm": "FE_DOWNWARD", "rp": "FE_UPWARD"}


def _floating(o: Operation, type_: str, functor: str, plain: str, count: int) -> str:
    """An operation of ``count`` sources that rounds: ``plain`` is its C++, with {0}, {1} ... for the sources; ``functor``
    is the same as an object, for the rounding modes that C++ has no expression for."""
    mode, flush, saturate = o.take("rn", *_MODES), o.take("ftz"), o.take("sat")
    sources = [o.read(i + 1, type_) for i in range(count)]
    if flush:
        sources = [f"flush({source})" for source in sources]
    result = f"rounded<{_MODES[mode]}>({functor}{{}}, {', '.join(sources)})" if mode in _MODES else plain.format(*sources)
    if flush:
        result = f"flush({result})"
    return o.write(type_, f"saturate({result})" if saturate else result)


_BINARY = {"add": ("Add", "+"), "sub": ("Subtract", "-"), "mul": ("Multiply", "*"), "div": ("Divide", "/")}


@opcode("add", "sub")
def _add(o: Operation) -> str:
    functor, sign = _BINARY[o.instruction.opcode]
    type_ = o.type("usf")
    if type_[0] == "f":
        return _floating(o, type_, functor, f"{{0}} {sign} {{1}}", 2)
    unsigned = _unsigned(type_)
    return o.write(unsigned, f"{o.read(1, unsigned)} {sign} {o.read(2, unsigned)}")


@opcode("mul", "mad")
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
        product = f"{o.read(1, _unsigned(type_))} * 1u * {o.read(2, _unsigned(type_))}"
    if o.instruction.opcode == "mad":
        product = f"{CPP[_unsigned(result)]}({product}) + {o.read(3, _unsigned(result))}"
    return o.write(_unsigned(result), product)


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


@opcode("rem")
def _remainder(o: Operation) -> str:
    type_ = o.type("us")
    return o.write(type_, f"remainder<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, type_)})")


_UNARY = {"rcp": ("Reciprocal", "reciprocal({0})"), "sqrt": ("SquareRoot", "square_root({0})"), "rsqrt": ("", "reciprocal_root({0})"),
          "ex2": ("", "exp2({0})"), "lg2": ("", "log2({0})"), "sin": ("", "sine({0})"), "cos": ("", "cosine({0})"),
          "tanh": ("", "tangent_h({0})")}


@opcode(*_UNARY)
def _mathematics(o: Operation) -> str:
    """.approx is computed exactly, or as well as the C library does: closer to the truth than the GPU."""
    functor, plain = _UNARY[o.instruction.opcode]
    type_ = o.type("f")
    o.take("approx")
    if not functor and set(o.modifiers) - {"ftz"}:
        o.unknown(f"modifier .{o.modifiers[0]}")
    return _floating(o, type_, functor, plain, 1)


@opcode("neg", "abs")
def _negate(o: Operation) -> str:
    type_ = o.type("sf")
    value = o.read(1, type_)
    if type_[0] == "f":
        value = f"flush({value})" if o.take("ftz") else value
        return o.write(type_, f"-{value}" if o.instruction.opcode == "neg" else f"absolute({value})")
    unsigned = o.read(1, _unsigned(type_))
    negative = f"{CPP[_unsigned(type_)]}(0) - {unsigned}"
    return o.write(_unsigned(type_), negative if o.instruction.opcode == "neg" else f"{value} < 0 ? {negative} : {unsigned}")


@opcode("min", "max")
def _minimum(o: Operation) -> str:
    type_ = o.type("usf")
    function = "minimum" if o.instruction.opcode == "min" else "maximum"
    if type_[0] == "f":
        function += "_nan" if o.take("NaN") else ""
        return _floating(o, type_, "", f"{function}({{0}}, {{1}})", 2)
    return o.write(type_, f"{function}<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, type_)})")


@opcode("copysign")
def _copysign(o: Operation) -> str:
    type_ = o.type("f")
    return o.write(type_, f"copysign({o.read(1, type_)}, {o.read(2, type_)})")


_CLASSES = {"finite": "is_finite({0})", "infinite": "is_infinite({0})", "number": "!is_nan({0})", "notanumber": "is_nan({0})",
            "normal": "is_normal({0})", "subnormal": "is_subnormal({0})"}


@opcode("testp")
def _testp(o: Operation) -> str:
    type_ = o.type("f")
    return o.write("pred", _CLASSES[o.need(*_CLASSES)].format(o.read(1, type_)))


# ---------------------------------------------------------------------------------------------------- integers, bits

@opcode("and", "or", "xor", "not")
def _logical(o: Operation) -> str:
    type_ = o.type("bp")
    if o.instruction.opcode == "not":
        return o.write(type_, f"{'!' if type_ == 'pred' else '~'}{o.read(1, type_)}")
    sign = {"and": "&", "or": "|", "xor": "^"}[o.instruction.opcode]
    return o.write(type_, f"({o.read(1, type_)}) {sign} ({o.read(2, type_)})")


@opcode("cnot")
def _logical_not(o: Operation) -> str:
    type_ = o.type("b")
    return o.write(type_, f"{o.read(1, type_)} == 0")


@opcode("shl", "shr")
def _shift(o: Operation) -> str:
    type_ = o.type("bus")
    left = o.instruction.opcode == "shl"
    value, count = o.read(1, _unsigned(type_) if left else type_), o.operands[2]
    if isinstance(count, Integer) and 0 <= count.value < 8 * SIZES[type_]:
        return o.write(type_, f"{value} {'<<' if left else '>>'} {count.value}")
    return o.write(type_, f"shift_{'left' if left else 'right'}({value}, {o.read(2, 'u32')})")


@opcode("shf")
def _funnel_shift(o: Operation) -> str:
    o.type("b")
    direction, mode = o.need("l", "r"), o.need("wrap", "clamp")
    count = f"({o.read(3, 'u32')} & 31)" if mode == "wrap" else f"clamp_count({o.read(3, 'u32')})"
    return o.write("b32", f"funnel_{'left' if direction == 'l' else 'right'}({o.read(1, 'b32')}, {o.read(2, 'b32')}, {count})")


@opcode("bfe")
def _extract_field(o: Operation) -> str:
    type_ = o.type("us")
    return o.write(type_, f"extract_field<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, 'u32')}, {o.read(3, 'u32')})")


@opcode("bfi")
def _insert_field(o: Operation) -> str:
    type_ = o.type("b")
    return o.write(type_, f"insert_field<{CPP[type_]}>({o.read(1, type_)}, {o.read(2, type_)}, {o.read(3, 'u32')}, {o.read(4, 'u32')})")


@opcode("brev", "popc", "clz")
def _count_bits(o: Operation) -> str:
    type_ = o.type("b")
    function, result = {"brev": ("reverse_bits", type_), "popc": ("population", "u32"), "clz": ("leading_zeros", "u32")}[o.instruction.opcode]
    return o.write(result, f"{function}({o.read(1, type_)})")


@opcode("bfind")
def _find_bit(o: Operation) -> str:
    type_ = o.type("us")
    found = f"find_bit<{CPP[type_]}>({o.read(1, type_)})"
    if o.take("shiftamt"):
        found = f"shift_amount({found}, {8 * SIZES[type_] - 1})"
    return o.write("u32", found)


@opcode("lop3")
def _logic(o: Operation) -> str:
    o.type("b")
    table = o.operands[4]
    assert isinstance(table, Integer)
    return o.write("b32", f"logic<{table.value & 255}>({', '.join(o.read(i, 'b32') for i in (1, 2, 3))})")


@opcode("prmt")
def _permute(o: Operation) -> str:
    o.type("b")
    return o.write("b32", f"permute_bytes({', '.join(o.read(i, 'b32') for i in (1, 2, 3))})")


@opcode("sad")
def _absolute_difference(o: Operation) -> str:
    type_, unsigned = (t := o.type("us")), _unsigned(t)
    a, b = o.read(1, type_), o.read(2, type_)
    return o.write(unsigned, f"({a} < {b} ? {o.read(2, unsigned)} - {o.read(1, unsigned)} : "
                             f"{o.read(1, unsigned)} - {o.read(2, unsigned)}) + {o.read(3, unsigned)}")


# ---------------------------------------------------------------------------------------------------- choices

_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
# A comparison that is also true where an operand is NaN is the negation of one that is not.
_UNORDERED = {"ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<", "neu": "=="}


def _comparison(o: Operation, type_: str) -> str:
    kind = o.need(*_COMPARE, *_UNORDERED, "equ", "num", "nan")
    if kind in ("lo", "ls", "hi", "hs"):
        type_ = _unsigned(type_)
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
    combine = {"and": "&&", "or": "||", "xor": "!=", None: ""}[o.take("and", "or", "xor")]
    comparison = _comparison(o, type_)
    with_c = f" {combine} ({o.read(3, 'pred')})" if combine else ""
    targets = o.items(0)
    statements = [o.writer.write(targets[0], "pred", f"({negation}result){with_c}".replace("(result)", "result"))
                  for targets, negation in zip([targets[:1], targets[1:]], ("", "!"), strict=True) if targets]
    return f"{{ const bool result = {comparison}; {' '.join(statements)} }}" if combine or len(targets) > 1 \
        else o.writer.write(targets[0], "pred", comparison)


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


# ---------------------------------------------------------------------------------------------------- moves, conversions

@opcode("mov")
def _move(o: Operation) -> str:
    type_ = o.type("busfp")
    target, source = o.operands
    part = SIZES[type_] * 8
    if isinstance(source, Vector):  # pack: the first element becomes the lowest bits
        part //= len(source.items)
        parts = [f"{CPP[_unsigned(type_)]}({o.writer.read(item, f'b{part}')}) << {i * part}" for i, item in enumerate(source.items)]
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
    value = f"rounded<{_MODES[mode]}>(Convert<{CPP[target]}>{{}}, {value})" if mode in _MODES else f"{CPP[target]}({value})"
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


# ---------------------------------------------------------------------------------------------------- memory

_SPACES = {"global": "Global", "const": "Global", "shared": "Shared", "shared::cta": "Shared", "local": "Local"}
_CACHE_HINTS = ("ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
                "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B")
_SCOPES = ("cta", "cluster", "gpu", "sys")


def _space(o: Operation) -> str:
    return _SPACES.get(o.take(*_SPACES) or "", "Generic")


def _pointer(o: Operation, space: str, index: int, kind: str, nbytes: int) -> str:
    """``char* at``: where operand ``index`` points, after the checker has seen it."""
    return f"char* const at = {space.lower()}(thread, {o.writer.address(o.operands[index], space)}, {o.site(kind, space, nbytes)});"


def _synchronising(o: Operation) -> tuple[bool, str]:
    """Whether a load or store is one by which threads may synchronise; and a fence, if it publishes what came before."""
    order = o.take("relaxed", "acquire", "release", "acq_rel", "volatile", "weak")
    o.take(*_SCOPES)
    return order in ("relaxed", "acquire", "release", "acq_rel"), "memory_fence(thread); " if order in ("release", "acq_rel") else ""


def _drop_hints(o: Operation) -> None:
    while o.take(*_CACHE_HINTS):
        pass


@opcode("ld", "ldu")
def _load(o: Operation) -> str:
    type_ = o.type("busf")
    atomic, _ = _synchronising(o)
    _drop_hints(o)
    o.take("v2", "v4", "v8")
    size, copy = SIZES[type_], type_[0] == "b"
    targets = o.items(0)
    writes = " ".join(o.writer.write(target, type_, f"get<{CPP[type_]}>(at + {i * size})", copy) for i, target in enumerate(targets))
    if o.take("param", "param::entry", "param::func"):
        return f"{{ const char* const at = {_parameter(o, 1)}; {writes} }}"
    space = _space(o)
    return f"{{ {_pointer(o, space, 1, 'Atomic' if atomic else 'Read', size * len(targets))} {writes} }}"


@opcode("st")
def _store(o: Operation) -> str:
    type_ = o.type("busf")
    atomic, fence = _synchronising(o)
    _drop_hints(o)
    o.take("v2", "v4", "v8")
    size, copy = SIZES[type_], type_[0] == "b"
    sources = o.items(1)
    writes = " ".join(f"put<{CPP[type_]}>(at + {i * size}, {o.writer.read(source, type_, copy)});" for i, source in enumerate(sources))
    if o.take("param", "param::func"):
        return f"{{ char* const at = {_parameter(o, 0)}; {writes} }}"
    space = _space(o)
    return f"{{ {fence}{_pointer(o, space, 0, 'Atomic' if atomic else 'Write', size * len(sources))} {writes} }}"


def _parameter(o: Operation, index: int) -> str:
    """Where a parameter lies, as a C++ pointer.  It is the function's own and needs no checks."""
    address = o.operands[index]
    assert isinstance(address, Address)
    if isinstance(address.base, Symbol):
        return f"{cpp_name(address.base.name)} + {address.offset}"
    return f"reinterpret_cast<char*>({o.writer.address(address, 'Global')})"


_ATOMIC = {"add": "old + value", "and": "old & value", "or": "old | value", "xor": "old ^ value", "exch": "value",
           "min": "minimum(old, value)", "max": "maximum(old, value)", "cas": "old == compare ? value : old",
           "inc": "old >= value ? 0 : old + 1", "dec": "old == 0 || old > value ? value : old - 1"}


@opcode("atom", "red")
def _atomic(o: Operation) -> str:
    type_ = o.type("busf")
    first = 1 if o.instruction.opcode == "atom" else 0  # red returns nothing
    space, (_, fence) = _space(o), _synchronising(o)
    kind = o.need(*_ATOMIC)
    pointer = _pointer(o, space, first, "Atomic", SIZES[type_])
    value = f"const {CPP[type_]} value = {o.read(first + (2 if kind == 'cas' else 1), type_)};"
    if kind == "cas":
        value += f" const {CPP[type_]} compare = {o.read(first + 1, type_)};"
    result = _ATOMIC[kind]
    if type_ == "f32" and space == "Global":  # the hardware's float adder in the cache has no subnormal numbers
        result = "flush(flush(old) + flush(value))"
    update = f"atomic<{CPP[type_]}>(at, [&]({CPP[type_]} old) -> {CPP[type_]} {{ return {result}; }})"
    return f"{{ {fence}{pointer} {value} {o.write(type_, update) if first else update + ';'} }}"


@opcode("isspacep")
def _is_space(o: Operation) -> str:
    space = o.need("shared", "global")
    pointer = o.read(1, "u64")
    inside = f"in_shared(thread, {pointer})"
    return o.write("pred", inside if space == "shared" else f"!{inside}")


@opcode("prefetch", "prefetchu", "applypriority", "discard")
def _hint(o: Operation) -> str:
    o.modifiers.clear()  # all of them only speak to caches
    return ";"


@opcode("membar", "fence")
def _fence(o: Operation) -> str:
    o.take("sc", "acq_rel")
    o.need("gl", *_SCOPES)
    return "memory_fence(thread);"


@opcode("cp")
def _copy_async(o: Operation) -> str:
    o.need("async")
    if o.take("commit_group"):
        return "commit_group(thread);"
    if o.take("wait_all"):
        return "wait_all(thread);"
    if o.take("wait_group"):
        return f"wait_group(thread, {o.read(0, 'u32')});"
    o.need("ca", "cg")
    o.need("shared", "shared::cta")
    o.need("global")
    _drop_hints(o)
    size = o.operands[2]
    if not isinstance(size, Integer) or size.value not in (4, 8, 16):
        o.unknown("size of this copy")
    assert isinstance(size, Integer)
    valid = o.read(3, "u32") if len(o.operands) > 3 else str(size.value)
    write, read = o.site("Write", "Shared", size.value), o.site("Read", "Global", size.value)
    to, source = o.writer.address(o.operands[0], "Shared"), o.writer.address(o.operands[1], "Global")
    return f"copy_async(thread, {write}, {read}, {to}, {source}, {size.value}, {valid});"


# ---------------------------------------------------------------------------------------------------- control

@opcode("bra")
def _branch(o: Operation) -> str:
    o.take("uni")
    return goto(o.writer.targets(o.instruction)[0])


@opcode("brx")
def _branch_indexed(o: Operation) -> str:
    o.need("idx")
    o.take("uni")
    cases = " ".join(f"case {i}: {goto(name)}" for i, name in enumerate(o.writer.targets(o.instruction)))
    return f"switch ({o.read(0, 'u32')}) {{ {cases} }} __builtin_unreachable();"


@opcode("call")
def _call(o: Operation) -> str:
    o.take("uni")
    results, function, arguments = o.operands if isinstance(o.operands[0], Vector) else (Vector(()), *o.operands, Vector(()))[:3]
    if not isinstance(function, Symbol) or len(o.operands) > 3:
        o.unknown("call through a pointer")
    assert isinstance(function, Symbol) and isinstance(results, Vector) and isinstance(arguments, Vector)
    return o.writer.call(function.name, (*results.items, *arguments.items))


@opcode("ret", "exit")
def _return(o: Operation) -> str:
    o.take("uni")
    if o.instruction.opcode == "exit" and not o.writer.function.entry:
        o.unknown("exit from a function that is not a kernel")
    return "return;"


@opcode("trap", "brkpt")
def _trap(o: Operation) -> str:
    return f'fail(thread, {o.site()}, "the kernel stops itself ({o.instruction.opcode})");'


@opcode("nanosleep")
def _sleep(o: Operation) -> str:
    o.type("u")
    return ";"


# ---------------------------------------------------------------------------------------------------- meeting other threads

@opcode("bar", "barrier")
def _barrier(o: Operation) -> str:
    o.writer.meets = True
    o.take("cta")
    o.take("aligned")
    if o.take("warp"):
        o.need("sync")
        return f"warp_barrier(thread, {o.site()}, {o.read(0, 'u32')});"
    if o.take("sync"):
        threads = o.read(1, "u32") if len(o.operands) > 1 else "0"
        return f"barrier(thread, {o.site()}, {o.read(0, 'u32')}, {threads});"
    o.need("red")
    vote, type_ = {"popc": ("Count", "u32"), "and": ("All", "pred"), "or": ("Any", "pred")}[o.need("popc", "and", "or")], o.type("up")
    if vote[1] != type_:
        o.unknown(f"type .{type_}")
    threads = o.read(2, "u32") if len(o.operands) > 3 else "0"
    return o.write(type_, f"barrier(thread, {o.site()}, {o.read(1, 'u32')}, {threads}, Vote::{vote[0]}, {o.read(len(o.operands) - 1, 'pred')})")


@opcode("shfl")
def _shuffle(o: Operation) -> str:
    o.writer.meets = True
    o.need("sync")
    o.type("b")
    kind = {"up": "Up", "down": "Down", "bfly": "Butterfly", "idx": "Index"}[o.need("up", "down", "bfly", "idx")]
    target, *inside = o.items(0)
    b, c, mask = (o.read(i, "u32") for i in (2, 3, 4))
    call = f"shuffle(thread, {o.site()}, Shuffle::{kind}, {o.read(1, 'b32')}, {b}, {c}, {mask}, inside)"
    writes = o.writer.write(target, "b32", call) + "".join(" " + o.writer.write(p, "pred", "inside") for p in inside)
    return f"{{ bool inside; {writes} }}"


@opcode("vote")
def _vote(o: Operation) -> str:
    o.writer.meets = True
    o.need("sync")
    type_ = o.type("bp")
    kind = o.need("ballot", "any", "all", "uni")
    arguments = f"(thread, {o.site()}, {o.read(2, 'u32')}, {o.read(1, 'pred')})"
    result = {"ballot": f"ballot{arguments}", "any": f"ballot{arguments} != 0", "uni": f"vote_uniform{arguments}",
              "all": f"ballot(thread, {o.site()}, {o.read(2, 'u32')}, !({o.read(1, 'pred')})) == 0"}[kind]
    return o.write(type_, result)


@opcode("match")
def _match(o: Operation) -> str:
    o.writer.meets = True
    type_ = o.type("b")
    kind = o.need("any", "all")
    o.need("sync")
    target, *same = o.items(0)
    arguments = f"(thread, {o.site()}, {o.read(2, 'u32')}, {o.read(1, type_)}{', same' if kind == 'all' else ''})"
    writes = [o.writer.write(target, "b32", f"match_{kind}{arguments}"), *(o.writer.write(p, "pred", "same") for p in same)]
    return f"{{ bool same; {' '.join(writes)} }}"


@opcode("redux")
def _redux(o: Operation) -> str:
    o.writer.meets = True
    o.need("sync")
    type_, kind = o.type("bus"), o.need("add", "min", "max", "and", "or", "xor")
    kind = kind.capitalize() + ("Signed" if type_ == "s32" and kind in ("min", "max") else "")
    return o.write("b32", f"reduce(thread, {o.site()}, Reduction::{kind}, {o.read(2, 'u32')}, {o.read(1, 'b32')})")


@opcode("activemask")
def _active_mask(o: Operation) -> str:
    o.writer.meets = True
    return o.write(o.type("b"), "active_mask(thread)")


@opcode("mma")
def _matrix_multiply(o: Operation) -> str:
    o.writer.meets = True
    k = {"m16n8k4": 4, "m16n8k8": 8}[o.need("m16n8k4", "m16n8k8")]
    for modifier in ("sync", "aligned", "row", "col", "f32", "tf32", "tf32", "f32"):
        o.need(modifier)
    d, a, b, c = (o.items(i) for i in range(4))
    inputs = [f"const {CPP[type_]} {name}[] = {{{', '.join(o.writer.read(item, type_) for item in items)}}};"
              for name, type_, items in (("a", "b32", a), ("b", "b32", b), ("c", "f32", c))]
    outputs = [o.writer.write(item, "f32", f"d[{i}]") for i, item in enumerate(d)]
    return f"{{ float d[4]; {' '.join(inputs)} mma_tf32(thread, {o.site()}, {k}, d, a, b, c); {' '.join(outputs)} }}"


@opcode("ldmatrix")
def _load_matrix(o: Operation) -> str:
    o.writer.meets = True
    o.type("b")
    for modifier in ("sync", "aligned", "m8n8"):
        o.need(modifier)
    o.need("shared", "shared::cta")
    count, transposed = int(o.need("x1", "x2", "x4")[1]), str(o.take("trans") is not None).lower()
    address = o.writer.address(o.operands[1], "Shared")
    outputs = [o.writer.write(item, "b32", f"words[{i}]") for i, item in enumerate(o.items(0))]
    return (f"{{ uint32_t words[4]; load_matrices(thread, {o.site('Read', 'Shared', 16)}, {count}, {transposed}, {address}, words); "
            f"{' '.join(outputs)} }}")
