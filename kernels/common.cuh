// What every kernel file is written with: types, loops, wide loads, reductions and random words.
//
// This text is pasted in front of each .cu file before NVRTC compiles it (not #included: CuPy's
// kernel cache does not notice changes in included files), once for each dtype, with
//     -DDTYPE=float | double | __half | __nv_bfloat16
// (not -DT=: NVRTC's own headers have a T). NVRTC knows the CUDA language and its mathematical
// functions, but no <math.h> and no INFINITY.
//
// Names that every file shares:
//     T        the dtype of the arrays
//     acc_t    what sums and formulas are computed in: float for the half types, else T itself
//     x, y     input and output;  g is put in front of a gradient (gy is the gradient of y)
//     n        number of elements, also of rows; all index arithmetic is 64 bits wide
//
// Every kernel is deterministic: sums have a fixed order, and no float is added atomically.

// ------------------------------------------------------------------------------------------------
// Types

// DTYPE is a word to the preprocessor; glued to a prefix it tells which header its type comes from.
#define GLUE_WORDS(a, b) a##b
#define GLUE(a, b) GLUE_WORDS(a, b)
#define HALF_KIND___half 1
#define HALF_KIND___nv_bfloat16 2

#if GLUE(HALF_KIND_, DTYPE) == 1
#include <cuda_fp16.h>
typedef float acc_t;
#elif GLUE(HALF_KIND_, DTYPE) == 2
#include <cuda_bf16.h>
typedef float acc_t;
#else
typedef DTYPE acc_t;
#endif

typedef DTYPE T;

// A constant with a fraction, as acc_t: a bare 0.5 is a double and would drag float arithmetic to
// double precision, 2 to 64 times as slow. Whole numbers need no C(); they convert for free.
#define C(constant) static_cast<acc_t>(constant)

// ------------------------------------------------------------------------------------------------
// Launches and loops
//
// The Python side finds kernels by KERNEL( at the start of a line, and launches them by that name.
// A launch is legal with blocks of one dimension, of whole warps, of at most 256 threads: so many
// can have 255 registers each, the most there are, so no kernel asks for more than a device has.
// What else a launch must keep to, the top of each file says.
#define KERNEL(name) extern "C" __global__ void name

constexpr int WARP = 32;
constexpr int MAX_WARPS = 256 / WARP;

// This thread's number in the grid, and how many there are.
__device__ long long grid_thread() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
__device__ long long grid_threads() { return gridDim.x * (long long)blockDim.x; }

// No kernel compares an index with a length by itself: these loops do (and load_some, store_some).

// All threads of the grid share [0, n): neighbouring threads take neighbouring i, then all move on
// by the size of the grid, so any number of blocks is right. Not unrolled: waiting for memory is
// hidden by the many threads, and the code stays short.
#define GRID_STRIDE(i, n) \
    _Pragma("unroll 1") \
    for (long long i = grid_thread(), i##_end = (n); i < i##_end; i += grid_threads())

// All blocks of the grid share the rows; a whole block works on row i. The bounds are the same for
// every thread of a block, so the body may hold barriers.
#define BLOCK_PER_ROW(i, rows) \
    for (long long i = blockIdx.x, i##_end = (rows); i < i##_end; i += gridDim.x)

// All threads of one block share [0, n).
#define BLOCK_STRIDE(j, n) \
    for (long long j = threadIdx.x, j##_end = (n); j < j##_end; j += blockDim.x)

// A division takes 30 to 100 instructions; while a GPU moves 4 bytes, it has time for 28. So the
// place of an element is divided out of its number once, and then counted on.

struct Position {
    long long volume;
    int z, y, x;
};

// The places of this thread's elements k of `volumes` times depth x height x width. Each axis is
// shorter than 2^31.
struct Walk : Position {
    long long k, end;
    int depth, height, width;
    Position step;  // from one element to the next

    __device__ Walk(long long volumes, long long depth, long long height, long long width)
        : Position(), k(grid_thread()), end(volumes * depth * height * width), depth(int(depth)),
          height(int(height)), width(int(width)), step() {
        if (k >= end) return;  // an axis may be 0 long
        static_cast<Position&>(*this) = divided(k);
        step = divided(grid_threads());
    }

    __device__ Position divided(long long number) const {
        const long long rows = number / width, layers = rows / height, volume = layers / depth;
        return {volume, int(layers - volume * depth), int(rows - layers * height),
                int(number - rows * width)};
    }

    __device__ void next() {
        k += grid_threads();
        int carry = 0;
        x = sum(x, step.x, width, carry);
        y = sum(y, step.y, height, carry);
        z = sum(z, step.z, depth, carry);
        volume += step.volume + carry;
    }

    // digit + step + carry to a base, which is subtracted first: nothing overflows.
    __device__ static int sum(int digit, int step, int base, int& carry) {
        const int beyond = step - base + carry + digit;
        carry = beyond >= 0;
        return carry ? beyond : beyond + base;
    }
};

// GRID_STRIDE over all elements of volumes: at.k is i, at.volume, at.z, at.y and at.x its place.
#define GRID_WALK(at, volumes, depth, height, width) \
    _Pragma("unroll 1") \
    for (Walk at(volumes, depth, height, width); at.k < at.end; at.next())

// ------------------------------------------------------------------------------------------------
// Wide loads: 16 bytes at a time is what it takes to keep the memory busy
//
// Values<N> are N neighbours in registers, already converted to acc_t. load<N> and store<N> need an
// address divisible by N * sizeof(T), or by 16 where that is less. load_some and store_some need no
// alignment and touch only the first `count` elements.

constexpr int WIDE = 16 / sizeof(T);  // elements in 16 bytes

template <int N>
struct Values {
    acc_t at[N];
};

template <int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Packed {
    T at[N];
};

// The loops over N are unrolled because only then can an array lie in registers.

template <int N>
__device__ Values<N> load(const T* from) {
    const Packed<N> packed = *reinterpret_cast<const Packed<N>*>(from);
    Values<N> values;
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = acc_t(packed.at[k]);
    return values;
}

template <int N>
__device__ void store(T* to, const Values<N>& values) {
    Packed<N> packed;
#pragma unroll
    for (int k = 0; k < N; ++k) packed.at[k] = T(values.at[k]);
    *reinterpret_cast<Packed<N>*>(to) = packed;
}

template <int N>
__device__ Values<N> load_some(const T* from, long long count) {
    Values<N> values = {};
#pragma unroll
    for (int k = 0; k < N; ++k)
        if (k < count) values.at[k] = acc_t(from[k]);
    return values;
}

template <int N>
__device__ void store_some(T* to, const Values<N>& values, long long count) {
#pragma unroll
    for (int k = 0; k < N; ++k)
        if (k < count) to[k] = T(values.at[k]);
}

// Whether wide loads may start here. A null pointer is aligned: nothing will be loaded from it.
__device__ bool is_aligned(const void* address) {
    return reinterpret_cast<unsigned long long>(address) % 16 == 0;
}

// Whether rows of so many columns can be read and written 16 bytes at a time.
__device__ bool wide_rows(long long columns, const T* a, const T* b, const T* c = nullptr) {
    return columns % WIDE == 0 && is_aligned(a) && is_aligned(b) && is_aligned(c);
}

// ------------------------------------------------------------------------------------------------
// Rows in registers
//
// A block goes through a row in panels, of which each thread holds some elements. A row of one
// panel comes from memory once, all its loads at the same time; the panels of a longer one are read
// again, from the caches.

// Neighbouring threads hold N neighbours: WIDE of rows that wide_rows allows, else 1.
template <int N>
struct Panel {
    // A row of 512 is a warp's, one of 4096 a block's of 256. But each load has an address in
    // registers, so of narrow ones there are few.
    static constexpr int HELD = N == 1 ? 4 : 16;

    acc_t at[HELD];

    __device__ static bool holds(long long columns) { return columns <= HELD * blockDim.x; }

    // How many of the panel's elements lie in front of the one `end` behind its first.
    __device__ static int before(long long end) {
        const int all = HELD * int(blockDim.x);
        return end < 0 ? 0 : end < all ? int(end) : all;
    }

    // Where at[h] lies in the panel.
    __device__ static int number(int h) {
        return (h / N * int(blockDim.x) + int(threadIdx.x)) * N + h % N;
    }

    // scale times the elements in front of `end`, from there on `fill`.
    __device__ void load_scaled(const T* from, long long end, acc_t fill, acc_t scale) {
        const int here = before(end);
#pragma unroll
        for (int h = 0; h < HELD; h += N) {
            Values<N> values = {};
            if (number(h) < here) values = load<N>(from + number(h));
#pragma unroll
            for (int k = 0; k < N; ++k)
                at[h + k] = number(h + k) < here ? scale * values.at[k] : fill;
        }
    }

    __device__ void load_from(const T* from, long long end) { load_scaled(from, end, 0, 1); }

    __device__ void store_to(T* to, long long end) const {
        const int here = before(end);
#pragma unroll
        for (int h = 0; h < HELD; h += N) {
            Values<N> values;
#pragma unroll
            for (int k = 0; k < N; ++k) values.at[k] = at[h + k];
            if (number(h) < here) store<N>(to + number(h), values);
        }
    }
};

#define PANELS(N, first, columns) \
    for (long long first = 0; first < (columns); first += Panel<N>::HELD * (long long)blockDim.x)

template <int N>
struct PanelWidth {
    static constexpr int elements = N;
};

// body(PanelWidth<WIDE>()) or body(PanelWidth<1>()): the body has the width as a constant.
template <typename Body>
__device__ void by_width(bool wide, Body body) {
    if (wide)
        body(PanelWidth<WIDE>());
    else
        body(PanelWidth<1>());
}

// ------------------------------------------------------------------------------------------------
// Reductions over a warp and over a block; every thread gets the result, the same to the last bit

constexpr unsigned ALL_LANES = 0xffffffff;

// Where a thread is in its block.
__device__ int lane() { return threadIdx.x % WARP; }
__device__ int warp() { return threadIdx.x / WARP; }
__device__ int warps() { return blockDim.x / WARP; }

struct Sum {
    __device__ acc_t operator()(acc_t a, acc_t b) const { return a + b; }
};

struct Maximum {  // fmax passes over NaN; the sum of exponentials that follows brings it back
    __device__ acc_t operator()(acc_t a, acc_t b) const { return fmax(a, b); }
};

template <typename Combine>
__device__ acc_t warp_reduce(acc_t value, Combine combine) {
    // A butterfly: after exchanging with the lanes 16, 8, 4, 2 and 1 away, each lane holds it all.
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = combine(value, __shfl_xor_sync(ALL_LANES, value, distance));
    return value;
}

// To be called by all threads of the block together.
template <typename Combine>
__device__ acc_t block_reduce(acc_t value, Combine combine) {
    __shared__ acc_t partial[MAX_WARPS];
    value = warp_reduce(value, combine);
    __syncthreads();  // the reduction before this one may still be reading its partial results
    if (lane() == 0) partial[warp()] = value;
    __syncthreads();
    value = partial[0];
    for (int w = 1; w < warps(); ++w) value = combine(value, partial[w]);
    return value;
}

__device__ acc_t block_sum(acc_t value) { return block_reduce(value, Sum()); }
__device__ acc_t block_max(acc_t value) { return block_reduce(value, Maximum()); }

// ------------------------------------------------------------------------------------------------
// Products in small tiles

// Sums over k < count of x[k, a] w[p, k, b], a, b < 4, p < PANELS, of panels x (count, 4) and w
// (PANELS, count, 4), by 16 lanes that are neighbours, and so read neighbouring 16 bytes: each
// takes every 16th k. In the end lane 4 a + b of them has the sums of a and b. To be called by all
// threads of a warp together.
constexpr int TILE_LANES = 16;

template <int PANELS>
struct Tile {
    acc_t of[PANELS];

    __device__ Tile(const T* x, const T* w, long long count) {
        acc_t at[PANELS][16] = {};
#pragma unroll 4
        for (long long k = lane() % TILE_LANES; k < count; k += TILE_LANES) {
            const Values<4> xk = load<4>(x + 4 * k);
#pragma unroll
            for (int p = 0; p < PANELS; ++p) {
                const Values<4> wk = load<4>(w + 4 * (p * count + k));
#pragma unroll
                for (int ab = 0; ab < 16; ++ab) at[p][ab] += xk.at[ab / 4] * wk.at[ab % 4];
            }
        }
#pragma unroll
        for (int p = 0; p < PANELS; ++p) of[p] = halved<8>(at[p]);
    }

    // Two lanes exchange halves of their sums, then two others halves of what they kept, and so on.
    template <int HALF>
    __device__ static acc_t halved(acc_t* at) {
        const bool upper = lane() & HALF;
#pragma unroll
        for (int ab = 0; ab < HALF; ++ab) {
            const acc_t given = one_of(upper, at[ab], at[ab + HALF]);
            const acc_t kept = one_of(upper, at[ab + HALF], at[ab]);
            at[ab] = kept + __shfl_xor_sync(ALL_LANES, given, HALF);
        }
        if constexpr (HALF > 1) return halved<HALF / 2>(at);
        return at[0];
    }

    // By value: a choice between two places in an array would put it into memory.
    __device__ static acc_t one_of(bool first, acc_t a, acc_t b) { return first ? a : b; }
};

// All tiles of a block. i counts to `tiles` and, where that is not a multiple of what the block
// does at once, beyond, so that all threads of a warp go round equally often.
#define TILE_STRIDE(i, tiles) \
    for (long long i = threadIdx.x / TILE_LANES, i##_step = blockDim.x / TILE_LANES; \
         i - threadIdx.x / TILE_LANES < (tiles); i += i##_step)

// ------------------------------------------------------------------------------------------------
// The whole grid
//
// A kernel that takes a GridBarrier is launched cooperatively: all its blocks run at the same time,
// or the launch is refused, so they may wait for each other. It has no static shared memory.

struct GridBarrier {
    unsigned long long arrived;  // blocks so far; 0 before the launch
};

// All blocks of a row of the grid (equal blockIdx.y; barrier has one for each) wait for each other,
// for the first time in round 0. What they wrote before, all of them read after.
__device__ void row_barrier(GridBarrier* barrier, long long round) {
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned long long* arrived = &barrier[blockIdx.y].arrived;
        const unsigned long long all = (round + 1) * gridDim.x;
        __threadfence();  // the block's writes come before its arrival
        atomicAdd(arrived, 1ull);
        while (atomicAdd(arrived, 0ull) < all) __nanosleep(20);
        __threadfence();  // and its reads after that of the others
    }
    __syncthreads();
}

// Shared memory, as an array of T whose size in bytes the launch says.
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) \
    extern __shared__ __align__(16) unsigned char shared_bytes[]; \
    T* name = reinterpret_cast<T*>(shared_bytes)
#endif

// ------------------------------------------------------------------------------------------------
// Philox 4x32-10 (Salmon et al., SC 2011): a counter and a key give four random words, and nothing
// needs to be remembered. The CPU twin computes the same bits.

struct RandomWords {
    unsigned at[4];
};

__device__ RandomWords philox(unsigned long long low, unsigned long long high,
                              unsigned long long key) {
    const auto lower = [](unsigned long long word) { return static_cast<unsigned>(word); };
    const auto upper = [](unsigned long long word) { return static_cast<unsigned>(word >> 32); };
    unsigned c0 = lower(low), c1 = upper(low), c2 = lower(high), c3 = upper(high);
    unsigned k0 = lower(key), k1 = upper(key);
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product_0 = 0xD2511F53ull * c0;
        const unsigned long long product_1 = 0xCD9E8D57ull * c2;
        c0 = upper(product_1) ^ c1 ^ k0;
        c1 = lower(product_1);
        c2 = upper(product_0) ^ c3 ^ k1;
        c3 = lower(product_0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
