// Dropout with a mask that is computed, not stored, and uniform random numbers.
//
//     dropout    y = x * scale where the element's random word is at least threshold, else x * 0
//     uniform    y = low + (high - low) * u, u the middle of one of 2^23 equal parts of (0, 1)
//
//     x, y         (n,); y may be x
//     low, high    what u = 0 and u = 1, which do not occur, would be turned into
//     threshold    round(p * 2^32): of the 2^32 words this many are below it
//     scale        1 / (1 - p), or 0 where p is 1
//     seed         of the whole program;  counter: of this call, so that no two calls share a mask
//     offset       (1,) added to the counter, or null: 0. A recorded launch repeats its counter,
//                  and what is in memory moves on
//
// The words of elements 4b .. 4b+3 are philox(b, counter, seed), whichever thread computes them.
// The mask depends on nothing else: the same call on a gradient is the backward pass, and the CPU
// twin gives the same bits.
//
// Each thread owns the groups of four elements that GRID_STRIDE hands it, and moves a group at once
// where both addresses allow it. Legal launches: any number of blocks; as many threads as the
// device holds at once is best.
// Bytes moved per element of s bytes: each kernel says it, and it is the least there is.
//
// Twin: gpunet/backend/cpu/dropout.py.

constexpr int GROUP = 4;  // random words that philox gives at once

// y = x * scale, or x * 0. A thread owns groups of four elements. Moves 2 s an element.
KERNEL(dropout)(const T* x, T* y, long long n, unsigned long long threshold, acc_t scale,
                unsigned long long seed, unsigned long long counter,
                const unsigned long long* offset) {
    const bool aligned = is_aligned(x) && is_aligned(y);
    if (offset) counter += *offset;
    GRID_STRIDE(group, (n + GROUP - 1) / GROUP) {
        const long long i = group * GROUP;
        const bool wide = aligned && i + GROUP <= n;  // otherwise one by one, as the last few
        const RandomWords words = philox(group, counter, seed);
        Values<GROUP> v = wide ? load<GROUP>(x + i) : load_some<GROUP>(x + i, n - i);
#pragma unroll
        for (int k = 0; k < GROUP; ++k) v.at[k] *= words.at[k] >= threshold ? scale : 0;
        if (wide)
            store<GROUP>(y + i, v);
        else
            store_some<GROUP>(y + i, v, n - i);
    }
}

// y = low + (high - low) * u. A thread owns groups of four elements. Moves s an element.
KERNEL(uniform)(T* y, long long n, acc_t low, acc_t high, unsigned long long seed,
                unsigned long long counter, const unsigned long long* offset) {
    const bool aligned = is_aligned(y);
    if (offset) counter += *offset;
    GRID_STRIDE(group, (n + GROUP - 1) / GROUP) {
        const long long i = group * GROUP;
        const bool wide = aligned && i + GROUP <= n;
        const RandomWords words = philox(group, counter, seed);
        Values<GROUP> v;
#pragma unroll
        for (int k = 0; k < GROUP; ++k) {
            const acc_t part = acc_t(words.at[k] >> 9) + C(0.5);
            v.at[k] = low + (high - low) * (part * C(1.1920928955078125e-07));  // 2^-23
        }
        if (wide)
            store<GROUP>(y + i, v);
        else
            store_some<GROUP>(y + i, v, n - i);
    }
}
