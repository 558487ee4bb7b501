// Dropout with a mask that is computed, not stored.
//
//     y = x * scale where the element's random word is at least threshold, else x * 0
//
//     x, y         (n,); y may be x
//     threshold    round(p * 2^32): of the 2^32 words this many are below it
//     scale        1 / (1 - p)
//     seed         of the whole program;  counter: of this call, so that no two calls share a mask
//
// The words of elements 4b .. 4b+3 are philox(b, counter, seed), whichever thread computes them: the
// mask depends on nothing else, the same call on a gradient is the backward pass, and the CPU twin
// has the same bits.
//
// Each thread owns groups of four elements, as GRID_STRIDE hands them out. Any one-dimensional launch is legal.
// Bytes moved per element of s bytes: 2 s, which is the least there is.
//
// Twin: gpunet/backend/cpu/dropout.py.

constexpr int GROUP = 4;  // random words of one call of philox

KERNEL(dropout)(const T* x, T* y, long long n, unsigned long long threshold, acc_t scale,
                unsigned long long seed, unsigned long long counter) {
    const bool aligned = is_aligned(x) && is_aligned(y);
    GRID_STRIDE(group, (n + GROUP - 1) / GROUP) {
        const long long i = group * GROUP;
        const RandomWords words = philox(group, counter, seed);
        Values<GROUP> factor;
#pragma unroll
        for (int k = 0; k < GROUP; ++k) factor.at[k] = words.at[k] >= threshold ? scale : 0;
        if (aligned && n - i >= GROUP) {
            Values<GROUP> v = load<GROUP>(x + i);
#pragma unroll
            for (int k = 0; k < GROUP; ++k) v.at[k] *= factor.at[k];
            store<GROUP>(y + i, v);
        } else {
#pragma unroll
            for (int k = 0; k < GROUP; ++k)
                if (k < n - i) y[i + k] = T(acc_t(x[i + k]) * factor.at[k]);
        }
    }
}
