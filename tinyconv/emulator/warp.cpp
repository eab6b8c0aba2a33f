// What the lanes of a warp do together.  Each function hands its lane's values in; when the last lane has come, the
// operation sees all of them and fills in every lane's result.
#include "runtime.h"

namespace emulator {

template <class Visit> static void each(uint32_t present, Visit visit)
{
    for (uint32_t lane = 0; lane < 32; ++lane)
        if (present >> lane & 1) visit(lane);
}

void warp_barrier(Thread& thread, uint32_t site, uint32_t mask)
{
    warp(thread, site, [](uint32_t, Lane*) {}, mask, nullptr, nullptr);
}

// Every lane gets what all of them brought (32 words), and who is present.
static uint32_t gather(Thread& thread, uint32_t site, uint32_t mask, uint32_t value, uint32_t* values)
{
    uint32_t out[33];
    warp(thread, site, [](uint32_t present, Lane* lanes) {
        uint32_t all[33] = {};
        each(present, [&](uint32_t lane) { all[lane] = *lanes[lane].in; });
        all[32] = present;
        each(present, [&](uint32_t lane) { __builtin_memcpy(lanes[lane].out, all, sizeof all); });
    }, mask, &value, out);
    __builtin_memcpy(values, out, 32 * sizeof(uint32_t));
    return out[32];
}

// PTX's definition: c holds the highest lane to read (bits 0-4) and which bits of the lane number name its segment
// (bits 8-12).
uint32_t shuffle(Thread& thread, uint32_t site, Shuffle kind, uint32_t value, uint32_t b, uint32_t c, uint32_t mask,
                 bool& inside)
{
    uint32_t values[32], present = gather(thread, site, mask, value, values);
    int lane = int(thread.lane()), segment = int(c >> 8 & 31), clamp = int(c & 31), offset = int(b & 31);
    int highest = (lane & segment) | (clamp & ~segment), lowest = lane & segment, source;
    switch (kind) {
    case Shuffle::Up: source = lane - offset, inside = source >= highest; break;
    case Shuffle::Down: source = lane + offset, inside = source <= highest; break;
    case Shuffle::Butterfly: source = lane ^ offset, inside = source <= highest; break;
    default: source = lowest | (offset & ~segment), inside = source <= highest;
    }
    if (!inside) source = lane;
    if (!(present >> source & 1))
        fail(thread, site, "the shuffle reads from lane ", source, ", which does not take part (mask ",
             hexadecimal(mask), ", taking part ", hexadecimal(present), ")");
    return values[source];
}

uint32_t ballot(Thread& thread, uint32_t site, uint32_t mask, bool vote)
{
    uint32_t values[32], result = 0;
    each(gather(thread, site, mask, vote, values), [&](uint32_t lane) { result |= values[lane] << lane; });
    return result;
}

bool vote_uniform(Thread& thread, uint32_t site, uint32_t mask, bool vote)
{
    uint32_t values[32], present = gather(thread, site, mask, vote, values), agree = 0;
    each(present, [&](uint32_t lane) { agree |= uint32_t(values[lane] == uint32_t(vote)) << lane; });
    return agree == present;
}

uint32_t match_any(Thread& thread, uint32_t site, uint32_t mask, uint64_t value)
{
    uint32_t low[32], high[32], result = 0;
    gather(thread, site, mask, uint32_t(value), low);
    each(gather(thread, site, mask, uint32_t(value >> 32), high), [&](uint32_t lane) {
        if ((uint64_t(high[lane]) << 32 | low[lane]) == value) result |= 1u << lane;
    });
    return result;
}

uint32_t match_all(Thread& thread, uint32_t site, uint32_t mask, uint64_t value, bool& same)
{
    uint32_t equal = match_any(thread, site, mask, value);
    uint32_t unused[32], present = gather(thread, site, mask, 0, unused);
    same = equal == present;
    return same ? mask : 0;
}

uint32_t reduce(Thread& thread, uint32_t site, Reduction kind, uint32_t mask, uint32_t value)
{
    uint32_t values[32], present = gather(thread, site, mask, value, values);
    uint32_t first = uint32_t(__builtin_ctz(present)), result = values[first];
    each(present & ~(1u << first), [&](uint32_t lane) {
        uint32_t x = values[lane];
        switch (kind) {
        case Reduction::Add: result += x; break;
        case Reduction::Min: result = minimum(result, x); break;
        case Reduction::Max: result = maximum(result, x); break;
        case Reduction::MinSigned: result = uint32_t(minimum(int32_t(result), int32_t(x))); break;
        case Reduction::MaxSigned: result = uint32_t(maximum(int32_t(result), int32_t(x))); break;
        case Reduction::And: result &= x; break;
        case Reduction::Or: result |= x; break;
        case Reduction::Xor: result ^= x; break;
        }
    });
    return result;
}

// The tensor cores ignore the 13 low bits of a TF32 operand.
static double tf32(uint32_t x) { return bits<float>(x & 0xffffe000u); }

// Lane 4g + t holds, of the 16 x k matrix A, the elements of rows g and g + 8, columns t and (k = 8) t + 4; of the
// k x 8 matrix B, rows t and t + 4 of column g; of C and D, rows g and g + 8, columns 2t and 2t + 1.  Sums are exact to
// a double's precision, then rounded once to float: the hardware's own order and rounding are not documented.
template <int K> static void multiply_fragments(uint32_t present, Lane* lanes)
{
    constexpr int halves = K / 4;
    each(present, [&](uint32_t lane) { lanes[lane].out[4] = present; });
    if (present != ~0u) return;
    for (int lane = 0; lane < 32; ++lane) {
        int g = lane >> 2, t = lane & 3;
        for (int i = 0; i < 4; ++i) {
            int row = g + (i >= 2 ? 8 : 0), column = 2 * t + (i & 1);
            double sum = bits<float>(lanes[lane].in[3 * halves + i]);
            for (int k = 0; k < K; ++k) {
                const uint32_t* a = lanes[(row & 7) * 4 + (k & 3)].in;
                const uint32_t* b = lanes[column * 4 + (k & 3)].in + 2 * halves;
                sum += tf32(a[(row >> 3) + 2 * (k >> 2)]) * tf32(b[k >> 2]);
            }
            lanes[lane].out[i] = bits<uint32_t>(float(sum));
        }
    }
}

void mma_tf32(Thread& thread, uint32_t site, int k, float* d, const uint32_t* a, const uint32_t* b, const float* c)
{
    uint32_t in[10], halves = uint32_t(k) / 4, out[5];
    __builtin_memcpy(in, a, 8 * halves);
    __builtin_memcpy(in + 2 * halves, b, 4 * halves);
    __builtin_memcpy(in + 3 * halves, c, 16);
    warp(thread, site, k == 4 ? multiply_fragments<4> : multiply_fragments<8>, ~0u, in, out);
    if (out[4] != ~0u) fail(thread, site, "mma.sync needs all 32 lanes of a warp; taking part: ", hexadecimal(out[4]));
    __builtin_memcpy(d, out, 16);
}

// Lane 8i + r brings the address of row r of matrix i: 8 elements of 16 bits.  Lane 4g + t gets elements 2t and 2t + 1
// of row g of each matrix, or of column g with .trans.
void load_matrices(Thread& thread, uint32_t site, int count, bool transposed, uint32_t address, uint32_t* out)
{
    uint32_t row[4] = {}, words[4][32], lane = thread.lane(), g = lane >> 2, t = lane & 3;
    if (lane < uint32_t(8 * count)) {
        const char* from = thread.block->launch.checker ? access(thread, address, site) : thread.shared + address;
        __builtin_memcpy(row, from, sizeof row);
    }
    for (int i = 0; i < 4; ++i) gather(thread, site, ~0u, row[i], words[i]);
    for (int i = 0; i < count; ++i) {
        if (!transposed) {
            out[i] = words[t][8 * i + g];
            continue;
        }
        auto half = [&](uint32_t r) { return words[g >> 1][8 * i + r] >> (16 * (g & 1)) & 0xffff; };
        out[i] = half(2 * t) | half(2 * t + 1) << 16;
    }
}

}  // namespace emulator
