// The weight gradient on the main rung: rows are the filters of a group, columns its weights (c, r, s), and the depth
// goes over the pixels of y of all images.
//
// That is a small result and a very deep sum: 96 x 363 from 387,200 pixels, in conv1 with 128 images.  So the depth is
// cut into parts (parts.cu).

#define PAD 4
#include "conv/shape.cuh"
#include "gpu/product.cuh"

// The pixel of y at which this thread is in its walk over all images, DEPTH pixels further at each step.
struct Walk {
    unsigned image, at;  // and pixel in it
    unsigned images;     // that there are
    int ahead, back, over;

    __device__ Walk(long long pixel, int per_image, int images)
        : image(pixel / per_image), at(pixel % per_image), images(images), ahead(kept(DEPTH % per_image)),
          back(kept(ahead - per_image)), over(kept(DEPTH / per_image + 1))
    {
    }

    __device__ bool inside() const { return image < images; }

    // DEPTH pixels are some images and `ahead` pixels, which may lead over into one more: five instructions, no branch.
    __device__ void step()
    {
        int next = at + back;                  // below 0 if they do not
        at = min(at + ahead, unsigned(next));  // very large then
        image += over + (next >> 31);          // -1 then
    }
};

// Lane d of 16 takes pixel d of a tile, of ROUNDS rows: 64 bytes side by side of each.
constexpr int DOWN = THREADS / DEPTH;

// Rows of gy, (K, pixels) in each image.
struct Outputs {
    static constexpr int ROUNDS = ROWS / DOWN;
    Gradient<float, ROUNDS> source;
    const Walk& walk;
    int offset[ROUNDS];
    int place, image;  // bytes of one

    __device__ Outputs(Gradient<float, ROUNDS> source, const Walk& walk, int first, int last, int pixels, int image)
        : source(source), walk(walk), image(image)
    {
        int row = threadIdx.x / DEPTH;
        for (int i = 0; i < ROUNDS; i++)
            offset[i] = kept(min(first + row + i * DOWN, last) * pixels);
        place = kept(threadIdx.x % DEPTH * Left::PITCH + row);
    }

    __device__ float* place_of(Left& tile, int i) const { return &tile.at[0][0] + place + i * DOWN; }

    __device__ void fetch(Left& tile)
    {
        source.move_to(walk.image, image, walk.at);
#pragma unroll
        for (int i = 0; i < ROUNDS; i++)
            source.fetch(i, place_of(tile, i), kept(offset[i]), walk.inside());
    }

    __device__ void store(Left& tile)
    {
        store_all(source, [&](int i) { return place_of(tile, i); });
    }
};

// The numbers of x that weights (c, r, s) see from there.
struct Inputs {
    static constexpr int ROUNDS = COLUMNS / DOWN;
    Copied<float, ROUNDS> source;
    Walk& walk;  // of which this side takes the steps
    const int2* table;
    int offset[ROUNDS];
    unsigned taps[ROUNDS];
    int place, image;

    __device__ Inputs(const float* x, Walk& walk, const int2* table, int channel, int first, int last, int image, SHAPE)
        : source{x}, walk(walk), table(table), image(image)
    {
        int column = threadIdx.x / DEPTH;
        for (int i = 0; i < ROUNDS; i++) {
            int tap = min(first + column + i * DOWN, last), c = channel + tap / (R * S), r = tap / S % R, s = tap % S;
            offset[i] = (c * H + r) * W + s;
            taps[i] = bits(r, R + s);
        }
        place = kept(threadIdx.x % DEPTH * Right::PITCH + column);
    }

    __device__ float* place_of(Right& tile, int i) const { return &tile.at[0][0] + place + i * DOWN; }

    __device__ void fetch(Right& tile)
    {
        int2 window = table[walk.at];
        unsigned outside = walk.inside() ? window.y : ~0u;
        source.move_to(walk.image, image, window.x);
#pragma unroll
        for (int i = 0; i < ROUNDS; i++)
            source.fetch(i, place_of(tile, i), kept(offset[i]), !(outside & taps[i]));
        walk.step();
    }

    __device__ void store(Right& tile)
    {
        store_all(source, [&](int i) { return place_of(tile, i); });
    }
};

// parts[part][k][c,r,s]: the sum over `per_part` tiles of pixels.  An image of x has x_bytes, one of y y_bytes.
extern "C" __global__ void BOUNDS
backward_weight(const float* __restrict__ x, const float* __restrict__ gy, const int2* __restrict__ table,
                float* __restrict__ parts, const float* __restrict__ y, int per_part, int x_bytes, int y_bytes, SHAPE)
{
    int group = blockIdx.y, part = blockIdx.z, filters = K / groups, per_group = C / groups;
    int weights = per_group * R * S, across = (weights + COLUMNS - 1) / COLUMNS;
    int first_row = blockIdx.x / across * ROWS, first_column = blockIdx.x % across * COLUMNS;
    long long begin = (long long)part * per_part * DEPTH;
    int count = min((long long)per_part * DEPTH, (long long)N * P * Q - begin), filter = group * filters;
    Walk walk(begin + threadIdx.x % DEPTH, P * Q, N);

    Outputs left({gy, y}, walk, filter + first_row, filter + filters - 1, P * Q, y_bytes);
    Inputs right(x, walk, table, group * per_group, first_column, weights - 1, x_bytes, SHAPE_NAMES);
    Sums sums;
    product(sums, left, right, (count + DEPTH - 1) / DEPTH);

    float* out = parts + ((long long)part * K + filter) * weights;
#pragma unroll
    for (int i = 0; i < Sums::HIGH; i++) {
        int k = first_row + sums.row(i);
        if (k >= filters)
            continue;
#pragma unroll
        for (int j = 0; j < Sums::WIDE; j++) {
            int weight = first_column + sums.column(j);
            if (weight < weights)
                out[(long long)k * weights + weight] = sums.value[i][j];
        }
    }
}
