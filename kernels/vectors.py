"""Code on vectors, instruction by instruction: for the loops of which a compiler does not find the best form.

LLVM's vectors have any length; Numba compiles them for the processor at hand.
"""

from contextlib import contextmanager
from functools import reduce

from llvmlite import ir
from numba.core import cgutils

INT = ir.IntType(64)


class Code:
    """Writes instructions on vectors of V numbers; addresses are pointers, distances are in elements."""

    def __init__(self, builder, itemsize, lanes):
        self.b = builder
        self.item, self.lanes = itemsize, lanes
        # Of another size, numbers are but loaded and stored.
        self.number = {4: ir.FloatType(), 8: ir.DoubleType()}.get(itemsize) or ir.IntType(8 * itemsize)
        self.vector = ir.VectorType(self.number, lanes)

    def int(self, value):
        return ir.Constant(INT, value)

    def numbers(self, address):
        """An address (an integer) as a pointer to numbers; ``table``: to integers."""
        return self.b.inttoptr(address, self.number.as_pointer())

    def table(self, address):
        return self.b.inttoptr(address, INT.as_pointer())

    def at(self, pointer, *distances):
        for distance in distances:
            pointer = self.b.gep(pointer, [self.int(distance) if isinstance(distance, int) else distance])
        return pointer

    def spaced(self, pointer, distance, count):
        """So many pointers, ``distance`` apart."""
        return [self.at(pointer, self.b.mul(distance, self.int(i))) for i in range(count)]

    def entry(self, table, i):
        return self.b.load(self.at(table, i))

    def load(self, pointer):
        value = self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()))
        value.align = self.item  # a vector may begin at any number
        return value

    def store(self, value, pointer):
        self.b.store(value, self.b.bitcast(pointer, self.vector.as_pointer())).align = self.item

    def stream(self, value, pointer):
        """A store that does not fetch the cache line first.  It may come late, but not later than the end of a parallel
        loop: processors finish such stores before the atomic operations with which threads meet."""
        instruction = self.b.store(value, self.b.bitcast(pointer, self.vector.as_pointer()))
        instruction.align = self.item * self.lanes
        instruction.set_metadata("nontemporal", self.b.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))

    def splat(self, number):
        """One number in all lanes."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        value = self.b.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return self.b.shuffle_vector(value, undefined, self.lanes_of([0] * self.lanes))

    def lanes_of(self, which):
        return ir.Constant(ir.VectorType(ir.IntType(32), len(which)), which)

    def fma(self, x, y, z):
        """x * y + z, rounded once: one instruction, where the processor has it; on others, a multiplication and an
        addition."""
        function = cgutils.get_or_insert_function(
            self.b.module, ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fmuladd.v{self.lanes}f{8 * self.item}")
        return self.b.call(function, [x, y, z])

    def floor(self, relu):
        """What a result must not be below: 0 if the integer ``relu`` is not 0, or anything."""
        is_one = self.b.icmp_signed("!=", relu, self.int(0))
        return self.splat(self.b.select(is_one, self.number(0.0), self.number(float("-inf"))))

    def clip(self, value, floor):
        """The floor where the value is below; NaN is not."""
        return self.b.select(self.b.fcmp_ordered("<", value, floor), floor, value)

    def constant(self, number):
        return ir.Constant(self.vector, [float(number)] * self.lanes)

    def sum(self, vector):
        """Of all lanes: half onto half, until one is left."""
        lanes, undefined = self.lanes, ir.Constant(self.vector, ir.Undefined)
        while lanes > 1:
            lanes //= 2
            upper = self.lanes_of([min(lane + lanes, self.lanes - 1) for lane in range(self.lanes)])
            vector = self.b.fadd(vector, self.b.shuffle_vector(vector, undefined, upper))
        return self.b.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    def room(self, vectors):
        """Memory for so many vectors, on the stack."""
        space = cgutils.alloca_once(self.b, self.vector, vectors)
        return self.b.bitcast(space, self.number.as_pointer())

    def expect(self, pointer, writing=False, cache=1):
        """Have a line fetched to the first or the second cache that will be read; or written, for a store to what is
        not there must wait too."""
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = self.b.module.declare_intrinsic(
            "llvm.prefetch", (byte,), ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]))
        self.b.call(function, [self.b.bitcast(pointer, byte), flag(int(writing)), flag(4 - cache), flag(1)])  # data

    def expect_rows(self, targets, columns):
        """Have all of a tile's y fetched, before it is multiplied."""
        for target in targets:
            for j in range(columns):
                self.expect(self.at(target, self.lanes * j), writing=True)

    def opaque(self, value):
        """The same integer, of which the compiler knows nothing: it cannot replace it by another plus a distance."""
        same = ir.InlineAsm(ir.FunctionType(INT, [INT]), "", "=r,0")
        return self.b.call(same, [value])

    @contextmanager
    def when(self, numbers, wanted):
        """``if numbers == wanted:``, what is written inside."""
        same = [self.b.icmp_signed("==", number, self.int(want)) for number, want in zip(numbers, wanted, strict=True)]
        with self.b.if_then(reduce(self.b.and_, same)):
            yield

    def loop(self, count, state, body):
        """``for i in range(count): state = body(i, state)``, with the state (a list of values) in registers."""
        slots = [cgutils.alloca_once_value(self.b, value) for value in state]
        with cgutils.for_range(self.b, count) as inside:
            for slot, value in zip(slots, body(inside.index, [self.b.load(slot) for slot in slots]), strict=True):
                self.b.store(value, slot)
        return [self.b.load(slot) for slot in slots]
