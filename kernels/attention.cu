// Attention in one launch: out = P v with P = softmax(scale q kT). Query i sees the first
// `first` + i keys, and at least one. The gradients are in attention_bwd.cu, which is compiled
// behind this file.
//
//     q, gq               (matrices, queries, features), rows of heads, features at most 128
//     k, gk               (matrices, keys, features)
//     v, gv               (matrices, keys, width), width at most 128
//     out, gy             (matrices, queries, width)
//     lse                 (matrices, queries) of acc_t, of each row log(sum of e^(scale q kT))
//     shape               the sizes, and where the heads and rows of each array begin
//
// P is never in memory (Dao et al., arXiv:2205.14135; Dao, arXiv:2307.08691). A block owns a tile
// of rows of one head, the queries or, for gk and gv, the keys. It keeps them in shared memory and
// goes through the columns, which are what is on the other side, a tile at a time; tiles in which
// no query sees a key are left out. The scores of a tile are in registers. They become weights in
// shared memory, which meet the values. A row's largest score and its sum grow as the tiles come,
// and what was added up before is scaled down.
//
// Legal launches: any number of blocks of 128 threads, best one a tile of rows, and the bytes of
// dynamic shared memory that gpunet/backend/cuda/attention.py counts. Nothing that is written may
// overlap anything else.
// Arithmetic is the bound: a product takes 2 operations for each query, key it sees and feature,
// and each kernel says how many products it has. All of it is in acc_t.
//
// Twins: gpunet/backend/cpu/attention.py.

// In elements: from a batch to the next, from a head to the next, from a row to the next.
struct Strides {
    long long batch, head, row;
};

// There are batches times heads matrices. attention_fwd is told the first four strides alone.
struct Shape {
    long long matrices, heads, queries, keys, features, width;
    Strides q, k, v, out, gy, gq, gk, gv;
};

__device__ long long lesser(long long a, long long b) { return a < b ? a : b; }
__device__ long long greater(long long a, long long b) { return a < b ? b : a; }

// ------------------------------------------------------------------------------------------------
// Tiles
//
// Shared memory is read 4 neighbours at a time. A thread has OWN rows by OTHER columns of scores,
// for which it reads OWN + OTHER times in 4 x OWN x OTHER multiplications. The rows of a tile are
// in shared memory as they are in memory: those of a thread are DOWN apart and its columns ACROSS,
// so that neighbouring threads read neighbouring rows, which lie in different banks.

constexpr int THREADS = 128, ACROSS = 8, DOWN = THREADS / ACROSS;
constexpr bool DOUBLE = sizeof(acc_t) == 8;
constexpr int OWN = DOUBLE ? 2 : 4, ROWS = OWN * DOWN;
constexpr int PAD = 16 / sizeof(acc_t);     // by which rows are longer, for the sake of the banks
constexpr int CHUNK = WIDE < 4 ? 4 : WIDE;  // elements that a thread loads at a time

struct alignas(16) Four {
    acc_t at[4];
};

__device__ Four four(const acc_t* from) { return *reinterpret_cast<const Four*>(from); }

// A warp has 4 rows by 8 columns; two lanes that read the same Four are 1 or 2 apart, as shared
// memory wants it to answer 16 lanes at once.
__device__ int row_of(int i) { return lane() % 2 + lane() / 16 * 2 + warp() * 4 + i * DOWN; }
__device__ int column_of(int j) { return lane() / 2 % ACROSS + j * ACROSS; }

// Over the lanes of a row.
template <typename Combine>
__device__ acc_t row_reduce(acc_t value, Combine combine) {
    for (int distance = 2; distance < 2 * ACROSS; distance *= 2)
        value = combine(value, __shfl_xor_sync(ALL_LANES, value, distance));
    return value;
}

// The sizes for heads of up to WIDTH features: columns of a tile, and where it lies. Wide heads
// have fewer columns: a row of sums takes more registers, a tile more shared memory.
template <int WIDTH_>
struct Tiles {
    static constexpr int WIDTH = WIDTH_, OTHER = (WIDTH > 64 ? 4 : 8) / (DOUBLE ? 2 : 1);
    static constexpr int COLUMNS = OTHER * ACROSS, FOURS = WIDTH / (4 * ACROSS);
    static constexpr int PITCH = WIDTH + PAD, WEIGHTS_PITCH = COLUMNS + 2 * PAD;
    static constexpr int OWNED = ROWS * PITCH, PASSING = COLUMNS * PITCH;  // elements of a tile
    static constexpr int WEIGHTS = ROWS * WEIGHTS_PITCH;
    static_assert(ROWS <= 2 * COLUMNS, "out takes the place of k and v in attention_bwd");
    using Scores = acc_t[OWN][OTHER];
    using Sums = Four[OWN][FOURS];
};

// body(Tiles<...>()) of the narrowest tiles that hold the features and the width.
template <typename Body>
__device__ void by_width(const Shape& shape, Body body) {
    const long long widest = greater(shape.features, shape.width);
    if (widest <= 32)
        body(Tiles<32>());
    else if (widest <= 64)
        body(Tiles<64>());
    else
        body(Tiles<128>());
}

// The rows of one head.
template <typename Element>
struct Head {
    Element* at;
    long long row;
    int columns;
    bool wide;  // whether rows can be read and written 16 bytes at a time

    __device__ Head(Element* x, const Strides& strides, long long matrix, long long heads,
                    long long columns)
        : at(x + matrix / heads * strides.batch + matrix % heads * strides.head),
          row(strides.row), columns(int(columns)),
          wide(columns % CHUNK == 0 && row % WIDE == 0 && is_aligned(at)) {}
};

// As load_tile, N elements at a time.
template <typename Tiles, int COUNT, int N>
__device__ void load_chunks(acc_t* to, const Head<const T>& from, long long first,
                            long long length) {
    constexpr int IN_A_ROW = Tiles::WIDTH / N, STEP = THREADS / IN_A_ROW, EACH = COUNT / STEP;
    const int column = threadIdx.x % IN_A_ROW * N, top = threadIdx.x / IN_A_ROW;
    // So many loads are on their way before the first is waited for.
    constexpr int MOST = N > 4 ? 4 : 8, ABREAST = EACH < MOST ? EACH : MOST;
#pragma unroll 1
    for (int row = top; row < COUNT; row += ABREAST * STEP) {
        Values<N> held[ABREAST];
#pragma unroll
        for (int j = 0; j < ABREAST; ++j) {
            const long long i = first + row + j * STEP;
            held[j] = {};
            const T* at = from.at + i * from.row + column;
            if (i < length && column < from.columns) held[j] = load<N>(at);
        }
#pragma unroll
        for (int j = 0; j < ABREAST; ++j) {
            acc_t* at = to + (row + j * STEP) * Tiles::PITCH + column;
#pragma unroll
            for (int k = 0; k < N; k += 4) {
                Four part;
#pragma unroll
                for (int c = 0; c < 4 && c < N; ++c) part.at[c] = held[j].at[k + c];
                if (N == 1)
                    *at = part.at[0];
                else
                    *reinterpret_cast<Four*>(at + k) = part;
            }
        }
    }
}

// COUNT rows from `first` on, of `length` that there are, into a tile; what is missing is 0. To be
// called by the whole block.
template <typename Tiles, int COUNT>
__device__ void load_tile(acc_t* to, const Head<const T>& from, long long first,
                          long long length) {
    if (from.wide)
        load_chunks<Tiles, COUNT, CHUNK>(to, from, first, length);
    else
        load_chunks<Tiles, COUNT, 1>(to, from, first, length);
}

// scores = rows columnsT, over the features.
template <typename Tiles>
__device__ void multiply(const acc_t* rows, const acc_t* columns, long long features,
                         typename Tiles::Scores& scores) {
    constexpr int OTHER = Tiles::OTHER;
#pragma unroll
    for (int ij = 0; ij < OWN * OTHER; ++ij) scores[ij / OTHER][ij % OTHER] = 0;
#pragma unroll 1
    for (int e = 0; e < int(features); e += 4) {
        Four row[OWN];
#pragma unroll
        for (int i = 0; i < OWN; ++i) row[i] = four(rows + row_of(i) * Tiles::PITCH + e);
#pragma unroll
        for (int j = 0; j < OTHER; ++j) {
            const Four column = four(columns + column_of(j) * Tiles::PITCH + e);
#pragma unroll
            for (int ki = 0; ki < 4 * OWN; ++ki)
                scores[ki % OWN][j] += row[ki % OWN].at[ki / OWN] * column.at[ki / OWN];
        }
    }
}

// sums += weights values, over the first `count` columns of the weights.
template <typename Tiles>
__device__ void add_product(const acc_t* weights, const acc_t* values, long long count,
                            typename Tiles::Sums& sums) {
#pragma unroll 1
    for (int j = 0; j < int(lesser(count, Tiles::COLUMNS)); j += 4) {
        Four row[OWN];
#pragma unroll
        for (int i = 0; i < OWN; ++i) row[i] = four(weights + row_of(i) * Tiles::WEIGHTS_PITCH + j);
#pragma unroll
        for (int kf = 0; kf < 4 * Tiles::FOURS; ++kf) {
            const int k = kf / Tiles::FOURS, f = kf % Tiles::FOURS;
            const Four value = four(values + (j + k) * Tiles::PITCH + 4 * column_of(f));
#pragma unroll
            for (int ic = 0; ic < 4 * OWN; ++ic)
                sums[ic / 4][f].at[ic % 4] += row[ic / 4].at[k] * value.at[ic % 4];
        }
    }
}

template <typename Tiles>
__device__ acc_t& weight(acc_t* weights, int i, int j) {
    return weights[row_of(i) * Tiles::WEIGHTS_PITCH + column_of(j)];
}

// Row `row` of an array is factor sum.
template <typename Tiles>
__device__ void store_row(const Head<T>& to, long long row, const Four (&sum)[Tiles::FOURS],
                          acc_t factor) {
#pragma unroll
    for (int f = 0; f < Tiles::FOURS; ++f) {
        const int column = 4 * column_of(f), here = to.columns - column;
        T* at = to.at + row * to.row + column;
        Values<4> values;
#pragma unroll
        for (int c = 0; c < 4; ++c) values.at[c] = factor * sum[f].at[c];
        if (!to.wide)
            store_some<4>(at, values, here);
        else if (here > 0)
            store<4>(at, values);
    }
}

// How many of the keys from k0 on a query sees, up to as many as are in a tile; below 1: none.
template <typename Tiles>
__device__ int seen(const Shape& shape, long long first, long long query, long long k0) {
    return int(lesser(lesser(first + query, shape.keys) - k0, Tiles::COLUMNS));
}

// The keys that the queries of a tile see.
__device__ long long seen_by_tile(const Shape& shape, long long first, long long q0) {
    return lesser(first + lesser(q0 + ROWS, shape.queries) - 1, shape.keys);
}

// ------------------------------------------------------------------------------------------------
// The kernels

// How many blocks shall be on a processor at a time: so the compiler shares out the registers.
constexpr int attention_fwd_blocks = DOUBLE ? 2 : 3;
#undef KERNEL
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(THREADS, name##_blocks) name

template <typename Tiles>
__device__ void forward(const T* q, const T* k, const T* v, T* out, acc_t* lse,
                        const Shape& shape, long long first, acc_t scale) {
    DYNAMIC_SHARED(room);
    acc_t *q_tile = reinterpret_cast<acc_t*>(room), *k_tile = q_tile + Tiles::OWNED;
    acc_t *v_tile = k_tile + Tiles::PASSING, *weights = v_tile + Tiles::PASSING;
    const acc_t zero = 0, lowest = -1 / zero;
    const long long tiles = (shape.queries + ROWS - 1) / ROWS;
    BLOCK_PER_ROW(i, shape.matrices * tiles) {
        // The last queries see most keys: their blocks begin first.
        const long long matrix = i / tiles, q0 = (tiles - 1 - i % tiles) * ROWS;
        const Head<const T> queries(q, shape.q, matrix, shape.heads, shape.features);
        const Head<const T> keys(k, shape.k, matrix, shape.heads, shape.features);
        const Head<const T> values(v, shape.v, matrix, shape.heads, shape.width);
        const Head<T> result(out, shape.out, matrix, shape.heads, shape.width);
        typename Tiles::Sums sums = {};
        acc_t top[OWN], total[OWN];  // the largest score, and this lane's part of the sum
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            top[r] = lowest;
            total[r] = 0;
        }
        __syncthreads();  // the tiles before may still be read
        load_tile<Tiles, ROWS>(q_tile, queries, q0, shape.queries);
        const long long end = seen_by_tile(shape, first, q0);
        for (long long k0 = 0; k0 < end; k0 += Tiles::COLUMNS) {
            __syncthreads();
            load_tile<Tiles, Tiles::COLUMNS>(k_tile, keys, k0, end);
            load_tile<Tiles, Tiles::COLUMNS>(v_tile, values, k0, end);
            __syncthreads();
            typename Tiles::Scores scores;
            multiply<Tiles>(q_tile, k_tile, shape.features, scores);
#pragma unroll
            for (int r = 0; r < OWN; ++r) {
                const int here = seen<Tiles>(shape, first, q0 + row_of(r), k0);
                acc_t largest = top[r];
#pragma unroll
                for (int c = 0; c < Tiles::OTHER; ++c) {
                    scores[r][c] = column_of(c) < here ? scale * scores[r][c] : lowest;
                    largest = fmax(largest, scores[r][c]);
                }
                largest = row_reduce(largest, Maximum());
                // Where all that was seen is -infinity, -infinity is no number to subtract.
                const acc_t shift = largest == lowest ? 0 : largest;
                const acc_t shrunk = exp(top[r] - shift);
                top[r] = largest;
                total[r] *= shrunk;
#pragma unroll
                for (int c = 0; c < Tiles::OTHER; ++c) {
                    const acc_t e = exp(scores[r][c] - shift);
                    total[r] += e;
                    weight<Tiles>(weights, r, c) = e;
                }
#pragma unroll
                for (int fc = 0; fc < 4 * Tiles::FOURS; ++fc) sums[r][fc / 4].at[fc % 4] *= shrunk;
            }
            __syncthreads();
            add_product<Tiles>(weights, v_tile, end - k0, sums);
        }
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const acc_t whole = row_reduce(total[r], Sum());
            const long long query = q0 + row_of(r);
            if (query < shape.queries) {
                store_row<Tiles>(result, query, sums[r], 1 / whole);
                if (column_of(0) == 0) lse[matrix * shape.queries + query] = top[r] + log(whole);
            }
        }
    }
}

// A block owns a tile of queries. Moves q, out and lse once, k and v once for each tile of queries
// that sees them, mostly from the L2 cache. Two products.
KERNEL(attention_fwd)(const T* q, const T* k, const T* v, T* __restrict__ out,
                      acc_t* __restrict__ lse, const Shape* shape, long long first, acc_t scale) {
    by_width(*shape, [&](auto tiles) {
        forward<decltype(tiles)>(q, k, v, out, lse, *shape, first, scale);
    });
}
