// Arithmetic, element by element: y = formula(a, b) or formula(x).  One thread per element, neighbours along the last
// axis; operands have any strides, 0 where they are broadcast.  No __restrict__: y may be one of the operands, and each
// element is read before it is written.

#include "elementwise/walk.cuh"

#define OF_TWO(name, formula)                                                                                          \
    extern "C" __global__ void name(SIZES, WALKED(const REAL, a_), WALKED(const REAL, b_), WALKED(REAL, y_))           \
    {                                                                                                                  \
        EACH_ELEMENT                                                                                                   \
        REAL a = AT(a_), b = AT(b_);                                                                                   \
        AT(y_) = formula;                                                                                              \
    }

#define OF_ONE(name, formula)                                                                                          \
    extern "C" __global__ void name(SIZES, WALKED(const REAL, x_), WALKED(REAL, y_), REAL number)                      \
    {                                                                                                                  \
        EACH_ELEMENT                                                                                                   \
        REAL x = AT(x_);                                                                                               \
        AT(y_) = formula;                                                                                              \
    }

OF_TWO(add, a + b)
OF_TWO(sub, a - b)
OF_TWO(mul, a * b)
OF_TWO(div, a / b)

OF_ONE(scale, x * number)
OF_ONE(power, pow(x, number))
OF_ONE(exponential, exp(x))
OF_ONE(logarithm, log(x))
