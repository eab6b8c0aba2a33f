// Arithmetic, element by element: y = formula(a, b) or formula(x).  Neighbouring threads take neighbours along the last
// axis; operands have any strides, 0 where they are broadcast.  No __restrict__, for y may be one of the operands.

#include "elementwise/walk.cuh"

#define OF_TWO(name, formula)                                                                                          \
    extern "C" __global__ void name(SIZES, WALKED(const REAL, a_), WALKED(const REAL, b_), WALKED(REAL, y_))           \
    {                                                                                                                  \
        auto result = [=](Place p) {                                                                                   \
            REAL a = AT(a_), b = AT(b_);                                                                               \
            return REAL(formula);                                                                                      \
        };                                                                                                             \
        walk(count, n1, n2, n3, result, [=](Place p, REAL y) { AT(y_) = y; });                                         \
    }

#define OF_ONE(name, formula)                                                                                          \
    extern "C" __global__ void name(SIZES, WALKED(const REAL, x_), WALKED(REAL, y_), REAL number)                      \
    {                                                                                                                  \
        auto result = [=](Place p) {                                                                                   \
            REAL x = AT(x_);                                                                                           \
            return REAL(formula);                                                                                      \
        };                                                                                                             \
        walk(count, n1, n2, n3, result, [=](Place p, REAL y) { AT(y_) = y; });                                         \
    }

OF_TWO(add, a + b)
OF_TWO(sub, a - b)
OF_TWO(mul, a * b)
OF_TWO(div, a / b)

OF_ONE(scale, x * number)
OF_ONE(power, pow(x, number))
OF_ONE(exponential, exp(x))
OF_ONE(logarithm, log(x))
