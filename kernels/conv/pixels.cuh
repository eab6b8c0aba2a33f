#pragma once

// The pixels of several images of `per_image` pixels each, one image after the other, from the `start`-th on.  Their
// number may need 64 bits; from there on 32 do.
struct Pixel {
    long long n;  // its image
    int at;       // where it is in the image
};

struct Pixels {
    long long image;
    int first, per_image;

    __device__ Pixels(long long start, int per_image)
        : image(start / per_image), first(start % per_image), per_image(per_image)
    {
    }

    __device__ Pixel operator[](int i) const { return {image + (first + i) / per_image, (first + i) % per_image}; }
};
