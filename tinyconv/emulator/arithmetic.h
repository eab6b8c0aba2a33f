// What PTX's arithmetic instructions compute, where that differs from C++'s operators.  Pure functions, one value each.
#pragma once
#include <cfenv>
#include <cstdint>
#include <type_traits>

namespace emulator {

// The same bits as another type.
template <class To, class From> inline To bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

template <class T> using Unsigned = std::make_unsigned_t<T>;
template <class T> constexpr int width = 8 * sizeof(T);
template <class T> constexpr bool is_signed = std::is_signed_v<T>;
template <class T> constexpr T largest = is_signed<T> ? T(Unsigned<T>(~Unsigned<T>(0)) >> 1) : T(~T(0));
template <class T> constexpr T smallest = is_signed<T> ? T(-largest<T> - 1) : T(0);

// ------------------------------------------------------------------------------------------------ floating point

inline bool is_nan(float x) { return __builtin_isnan(x); }
inline bool is_nan(double x) { return __builtin_isnan(x); }

inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float square_root(float x) { return __builtin_sqrtf(x); }
inline double square_root(double x) { return __builtin_sqrt(x); }
inline float absolute(float x) { return __builtin_fabsf(x); }
inline double absolute(double x) { return __builtin_fabs(x); }
inline float copysign(float sign, float x) { return __builtin_copysignf(x, sign); }  // PTX's order of operands
inline double copysign(double sign, double x) { return __builtin_copysign(x, sign); }
inline float nearest_integer(float x) { return __builtin_rintf(x); }
inline double nearest_integer(double x) { return __builtin_rint(x); }
inline float toward_zero(float x) { return __builtin_truncf(x); }
inline double toward_zero(double x) { return __builtin_trunc(x); }
inline float floor(float x) { return __builtin_floorf(x); }
inline double floor(double x) { return __builtin_floor(x); }
inline float ceiling(float x) { return __builtin_ceilf(x); }
inline double ceiling(double x) { return __builtin_ceil(x); }
inline float exp2(float x) { return __builtin_exp2f(x); }
inline float log2(float x) { return __builtin_log2f(x); }
inline float sine(float x) { return __builtin_sinf(x); }
inline float cosine(float x) { return __builtin_cosf(x); }
inline float tangent_h(float x) { return __builtin_tanhf(x); }
template <class T> inline T reciprocal(T x) { return T(1) / x; }
template <class T> inline T reciprocal_root(T x) { return T(1) / square_root(x); }

// .ftz: a subnormal number becomes a zero of its sign.
inline float flush(float x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }
// The same for what arithmetic reads and makes: there the processor can do it by itself, if a launch tells it to.
#ifdef PROCESSOR_FLUSHES
inline float flush_arithmetic(float x) { return x; }
#else
inline float flush_arithmetic(float x) { return flush(x); }
#endif
inline double flush_arithmetic(double x) { return x; }  // of an approximation: exact here, subnormal numbers included
// .sat: into [0, 1]; NaN becomes 0.
template <class T> inline T saturate(T x) { return x > T(0) ? (x < T(1) ? x : T(1)) : T(0); }

// PTX: the other operand if one is NaN, and -0 < +0.  With .NaN: NaN if one is NaN.
template <class T> inline T minimum(T a, T b)
{
    if constexpr (std::is_floating_point_v<T>) {
        if (is_nan(a) || is_nan(b)) return is_nan(a) ? b : a;
        if (a == b) return __builtin_signbit(a) ? a : b;
    }
    return a < b ? a : b;
}
template <class T> inline T maximum(T a, T b)
{
    if constexpr (std::is_floating_point_v<T>) {
        if (is_nan(a) || is_nan(b)) return is_nan(a) ? b : a;
        if (a == b) return __builtin_signbit(a) ? b : a;
    }
    return a > b ? a : b;
}
template <class T> inline T minimum_nan(T a, T b) { return is_nan(a) ? a : is_nan(b) ? b : minimum(a, b); }
template <class T> inline T maximum_nan(T a, T b) { return is_nan(a) ? a : is_nan(b) ? b : maximum(a, b); }

// Operations as objects, for `rounded`.
struct Add { template <class T> T operator()(T a, T b) const { return a + b; } };
struct Subtract { template <class T> T operator()(T a, T b) const { return a - b; } };
struct Multiply { template <class T> T operator()(T a, T b) const { return a * b; } };
struct Divide { template <class T> T operator()(T a, T b) const { return a / b; } };
struct Fma { template <class T> T operator()(T a, T b, T c) const { return fma(a, b, c); } };
struct SquareRoot { template <class T> T operator()(T x) const { return square_root(x); } };
struct Reciprocal { template <class T> T operator()(T x) const { return T(1) / x; } };
template <class To> struct Convert { template <class T> To operator()(T x) const { return To(x); } };

template <class T> inline T opaque(T x)
{
    volatile T hidden = x;  // reads and writes of it stay where they are, between the calls around them
    return hidden;
}

// An operation in the processor's rounding mode `mode`: FE_TOWARDZERO, FE_DOWNWARD or FE_UPWARD.
template <int mode, class Operation, class... T> inline auto rounded(Operation operation, T... x)
{
    std::fesetround(mode);
    auto result = opaque(operation(opaque(x)...));
    std::fesetround(FE_TONEAREST);
    return result;
}

// A floating-point number that is integral already, as an integer.  NaN becomes 0, what does not fit the nearest that
// does.
// NaN becomes 0, or where one side has 64 bits the top bit alone (PTX, cvt).
template <class To, class From> inline To to_integer(From x)
{
    if (is_nan(x)) return sizeof(To) == 8 || sizeof(From) == 8 ? To(To(1) << (8 * sizeof(To) - 1)) : To(0);
    if (x >= From(largest<To>)) return largest<To>;
    return x <= From(smallest<To>) ? smallest<To> : To(x);
}

// cvt.sat between integers
template <class To, class From> inline To clamp_integer(From x)
{
    __int128 wide = x;
    return wide > __int128(largest<To>) ? largest<To> : wide < __int128(smallest<To>) ? smallest<To> : To(x);
}

// TF32 has float's 8 bits of exponent and 10 of its 23 bits of mantissa.
// rna: to nearest, ties away from zero; rn: to nearest, ties to even.  Infinity and NaN stay.
inline uint32_t to_tf32(float x, bool ties_to_even)
{
    uint32_t u = bits<uint32_t>(x);
    if ((u & 0x7f800000u) == 0x7f800000u) return u;
    return (u + (ties_to_even ? 0xfffu + (u >> 13 & 1) : 0x1000u)) & 0xffffe000u;
}

// testp: the classes of floating-point numbers
template <class T> inline bool is_finite(T x) { return __builtin_isfinite(x); }
template <class T> inline bool is_infinite(T x) { return __builtin_isinf(x); }
template <class T> inline bool is_normal(T x) { return __builtin_isnormal(x); }
template <class T> inline bool is_subnormal(T x) { return x != 0 && is_finite(x) && !is_normal(x); }

// ------------------------------------------------------------------------------------------------ integers

template <class T> inline T multiply_high(T a, T b)
{
    using Wide = std::conditional_t<sizeof(T) == 8, std::conditional_t<is_signed<T>, __int128, unsigned __int128>,
                                    std::conditional_t<is_signed<T>, int64_t, uint64_t>>;
    return T((Wide(a) * Wide(b)) >> width<T>);
}

// A digit of a sum of numbers of several words.  `out`: where the carry goes, if anywhere.
template <class T> inline T add_with_carry(T a, T b, bool in, bool* out)
{
    T sum = a + b, total = sum + in;
    if (out) *out = sum < a || total < sum;
    return total;
}
template <class T> inline T subtract_with_borrow(T a, T b, bool in, bool* out)
{
    T difference = a - b, total = difference - in;
    if (out) *out = a < b || difference < T(in);
    return total;
}

// Division by zero: PTX leaves the result open, C++ would end the process.  The GPU's answer is all ones.
template <class T> inline T divide(T a, T b)
{
    if constexpr (is_signed<T>)
        if (b == -1) return T(Unsigned<T>(0) - Unsigned<T>(a));
    return b == 0 ? T(-1) : a / b;
}
template <class T> inline T remainder(T a, T b)
{
    if constexpr (is_signed<T>)
        if (b == -1) return 0;
    return b == 0 ? a : a % b;
}

// Shifts by the width or more are defined: zeros, or copies of the sign, come in.
template <class T> inline T shift_left(T a, uint32_t n) { return n >= width<T> ? T(0) : T(a << n); }
template <class T> inline T shift_right(T a, uint32_t n)
{
    if (n >= width<T>) n = is_signed<T> ? width<T> - 1 : width<T>;
    return n >= width<T> ? T(0) : T(a >> n);
}

// shf: 32 bits out of the 64 bits high:low.  .wrap takes the count modulo 32, .clamp stops at 32.
inline uint32_t funnel_left(uint32_t low, uint32_t high, uint32_t n)
{
    return uint32_t((uint64_t(high) << 32 | low) << n >> 32);
}
inline uint32_t funnel_right(uint32_t low, uint32_t high, uint32_t n)
{
    return uint32_t((uint64_t(high) << 32 | low) >> n);
}
inline uint32_t clamp_count(uint32_t n) { return n < 32 ? n : 32; }

template <class T> inline Unsigned<T> absolute_difference(T a, T b)
{
    return a < b ? Unsigned<T>(b) - Unsigned<T>(a) : Unsigned<T>(a) - Unsigned<T>(b);
}

inline uint32_t population(uint64_t x) { return uint32_t(__builtin_popcountll(x)); }
inline uint32_t leading_zeros(uint32_t x) { return x ? uint32_t(__builtin_clz(x)) : 32; }
inline uint32_t leading_zeros(uint64_t x) { return x ? uint32_t(__builtin_clzll(x)) : 64; }

template <class T> inline T reverse_bits(T x)
{
    T reversed = 0;
    for (int i = 0; i < width<T>; ++i) reversed |= (x >> i & 1) << (width<T> - 1 - i);
    return reversed;
}

// bfind: the place of the highest bit that differs from the sign; all ones if there is none.
template <class T> inline uint32_t find_bit(T x)
{
    Unsigned<T> u = is_signed<T> && x < 0 ? Unsigned<T>(~x) : Unsigned<T>(x);
    return u ? width<T> - 1 - leading_zeros(u) : ~0u;
}

// bfe: `length` bits of `a` from bit `start` up, extended by zeros or by the sign of the field.
template <class T> inline T extract_field(T a, uint32_t start, uint32_t length)
{
    start &= 0xff, length &= 0xff;
    if (length == 0) return 0;
    uint32_t last = start + length - 1 < width<T> ? start + length - 1 : width<T> - 1;
    bool ones = is_signed<T> && (a >> last & 1);
    Unsigned<T> field = start < width<T> ? Unsigned<T>(a) >> start : 0;
    Unsigned<T> mask = length < width<T> ? (Unsigned<T>(1) << length) - 1 : ~Unsigned<T>(0);
    if (start + length > width<T>) mask = start < width<T> ? ~Unsigned<T>(0) >> start : 0;
    return T((field & mask) | (ones ? ~mask : 0));
}
// bfi: `b` with `length` bits from bit `start` up replaced by the low bits of `a`.
template <class T> inline T insert_field(T a, T b, uint32_t start, uint32_t length)
{
    start &= 0xff, length &= 0xff;
    if (start >= width<T> || length == 0) return b;
    T mask = (length < width<T> ? (T(1) << length) - 1 : ~T(0)) << start;
    return (b & ~mask) | (a << start & mask);
}

// lop3: the truth table's bit 4a + 2b + c, for each bit.
template <uint32_t table> inline uint32_t logic(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t result = 0;
    if (table & 0x01) result |= ~a & ~b & ~c;
    if (table & 0x02) result |= ~a & ~b & c;
    if (table & 0x04) result |= ~a & b & ~c;
    if (table & 0x08) result |= ~a & b & c;
    if (table & 0x10) result |= a & ~b & ~c;
    if (table & 0x20) result |= a & ~b & c;
    if (table & 0x40) result |= a & b & ~c;
    if (table & 0x80) result |= a & b & c;
    return result;
}

// prmt: each of the result's bytes is one of the eight of b:a, or eight copies of its sign, as a nibble of the selector
// says.
inline uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector)
{
    uint64_t bytes = uint64_t(b) << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
        uint32_t nibble = selector >> (4 * i) & 15, byte = uint32_t(bytes >> (8 * (nibble & 7))) & 0xff;
        if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
        result |= byte << (8 * i);
    }
    return result;
}

}  // namespace emulator
