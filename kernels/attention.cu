// Attention in one launch: out = P v with P = softmax(scale q kT), and its gradients. Query i sees
// the first `first` + i keys, and at least one.
//
//     q, gq               (matrices, queries, features), rows of heads, features at most 128
//     k, gk               (matrices, keys, features)
//     v, gv               (matrices, keys, width), width at most 128
//     out, gy             (matrices, queries, width)
//     lse, delta          (matrices, queries), without gaps: of each row log(sum of e^(scale q kT)),
//                         and the sum of gy out
//     shape               the sizes, and where the heads and rows of each array begin
//
// P is never in memory (Dao et al., arXiv:2205.14135; Dao, arXiv:2307.08691). A block owns a tile of
// rows of one head: queries, or in attention_bwd_finish keys. It keeps them in shared memory and
// goes through the columns, the keys or queries on the other side, a tile at a time; tiles of which
// no query sees a key are left out. The scores of a tile are in registers, OWN x OTHER a thread; they
// become weights in shared memory, which meet the tile of values. A row's largest score and its
// sum grow as the tiles come (online softmax), and what was added up before is scaled down. The
// backward pass makes P again from lse, for gq and for gk and gv apart: with nothing added
// atomically, the same launch gives the same bits.
//
// Legal launches: any number of blocks of 128 threads, best one a tile of rows. Dynamic shared memory
// as gpunet/backend/cuda/attention.py counts it. What is written may not overlap anything.
// Bound by arithmetic: the floor is the time of the products at the rate of acc_t, 2 operations for
// each key, query and feature, and what else a kernel says. Sums are in acc_t, which for the half
// types is as slow as float32.
//
// Twins: gpunet/backend/cpu/attention.py.

// In elements: from a batch to the next, from a head to the next, from a row to the next.
struct Strides {
    long long batch, head, row;
};

// Matrices are batches times heads. Of attention_fwd, only the first four strides are there.
struct Shape {
    long long matrices, heads, queries, keys, features, width;
    Strides q, k, v, out, gy, gq, gk, gv;
};

__device__ long long lesser(long long a, long long b) { return a < b ? a : b; }
__device__ long long greater(long long a, long long b) { return a < b ? b : a; }

// ------------------------------------------------------------------------------------------------
// Tiles
//
// Shared memory is read 4 neighbours at a time. A thread has OWN rows by OTHER columns of scores, for
// which it reads OWN + OTHER times in OWN x OTHER x 4 multiplications, and of sums OWN rows by every
// eighth Four. All rows are in shared memory in the order of their elements; the rows and columns of
// a thread are DOWN and ACROSS apart, so that the neighbours of a warp read neighbouring rows.

constexpr int THREADS = 128, ACROSS = 8, DOWN = THREADS / ACROSS;
constexpr bool DOUBLE = sizeof(acc_t) == 8;
constexpr int OWN = DOUBLE ? 2 : 4, ROWS = OWN * DOWN;
constexpr int PAD = 16 / sizeof(acc_t);         // puts neighbouring rows into different banks
constexpr int CHUNK = WIDE < 4 ? 4 : WIDE;      // that a thread loads at a time

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

// N elements at a time.
template <typename Tiles, int COUNT, int N>
__device__ void load_chunks(acc_t* to, const Head<const T>& from, long long first,
                            long long length) {
    constexpr int IN_A_ROW = Tiles::WIDTH / N, DOWN = THREADS / IN_A_ROW, EACH = COUNT / DOWN;
    const int column = threadIdx.x % IN_A_ROW * N, top = threadIdx.x / IN_A_ROW;
    // So many loads are on their way before the first is waited for.
    constexpr int MOST = N > 4 ? 4 : 8, ABREAST = EACH < MOST ? EACH : MOST;
#pragma unroll 1
    for (int row = top; row < COUNT; row += ABREAST * DOWN) {
        Values<N> held[ABREAST];
#pragma unroll
        for (int j = 0; j < ABREAST; ++j) {
            const long long i = first + row + j * DOWN;
            held[j] = {};
            if (i < length && column < from.columns) held[j] = load<N>(from.at + i * from.row + column);
        }
#pragma unroll
        for (int j = 0; j < ABREAST; ++j) {
            acc_t* at = to + (row + j * DOWN) * Tiles::PITCH + column;
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

// Rows from `first` on, of `length` that there are, into a tile of COUNT; what is missing is 0. To be
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
#pragma unroll
    for (int ij = 0; ij < OWN * Tiles::OTHER; ++ij) scores[ij / Tiles::OTHER][ij % Tiles::OTHER] = 0;
#pragma unroll 1
    for (int e = 0; e < int(features); e += 4) {
        Four row[OWN];
#pragma unroll
        for (int i = 0; i < OWN; ++i) row[i] = four(rows + row_of(i) * Tiles::PITCH + e);
#pragma unroll
        for (int j = 0; j < Tiles::OTHER; ++j) {
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

// How many of the queries from q0 on do not see a key, up to as many as are in a tile.
template <typename Tiles>
__device__ int blind(long long first, long long key, long long q0) {
    return int(lesser(greater(key - first + 1 - q0, 0), Tiles::COLUMNS));
}

// The keys that the queries of a tile see.
__device__ long long seen_by_tile(const Shape& shape, long long first, long long q0) {
    return lesser(first + lesser(q0 + ROWS, shape.queries) - 1, shape.keys);
}

// ------------------------------------------------------------------------------------------------
// The kernels

#undef KERNEL
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(THREADS, name##_blocks) name
constexpr int attention_fwd_blocks = DOUBLE ? 2 : 3, attention_bwd_blocks = 2, attention_bwd_finish_blocks = 2;

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

// A block owns a tile of queries, and reads the keys and values that these see. Moves q, out and lse
// once, k and v once a tile of queries, mostly from the L2 cache. Two products, of the features and
// of the width.
KERNEL(attention_fwd)(const T* q, const T* k, const T* v, T* __restrict__ out,
                      acc_t* __restrict__ lse, const Shape* shape, long long first, acc_t scale) {
    by_width(*shape, [&](auto tiles) {
        forward<decltype(tiles)>(q, k, v, out, lse, *shape, first, scale);
    });
}

template <typename Tiles>
__device__ void backward(const T* gy, const T* q, const T* k, const T* v, const T* out,
                         const acc_t* lse, T* gq, acc_t* delta, const Shape& shape,
                         long long first, acc_t scale) {
    DYNAMIC_SHARED(room);
    acc_t *q_tile = reinterpret_cast<acc_t*>(room), *gy_tile = q_tile + Tiles::OWNED;
    acc_t *k_tile = gy_tile + Tiles::OWNED, *v_tile = k_tile + Tiles::PASSING;
    acc_t *out_tile = k_tile, *weights = v_tile + Tiles::PASSING;  // k and v come after out
    const long long tiles = (shape.queries + ROWS - 1) / ROWS;
    BLOCK_PER_ROW(i, shape.matrices * tiles) {
        const long long matrix = i / tiles, q0 = (tiles - 1 - i % tiles) * ROWS;
        const Head<const T> queries(q, shape.q, matrix, shape.heads, shape.features);
        const Head<const T> keys(k, shape.k, matrix, shape.heads, shape.features);
        const Head<const T> values(v, shape.v, matrix, shape.heads, shape.width);
        const Head<const T> results(out, shape.out, matrix, shape.heads, shape.width);
        const Head<const T> upstream(gy, shape.gy, matrix, shape.heads, shape.width);
        const Head<T> gradient(gq, shape.gq, matrix, shape.heads, shape.features);
        __syncthreads();  // the tiles before may still be read
        load_tile<Tiles, ROWS>(q_tile, queries, q0, shape.queries);
        load_tile<Tiles, ROWS>(gy_tile, upstream, q0, shape.queries);
        load_tile<Tiles, ROWS>(out_tile, results, q0, shape.queries);
        __syncthreads();
        acc_t scaled[OWN], slope[OWN];  // lse and delta of the thread's rows
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            acc_t sum = 0;
#pragma unroll
            for (int f = 0; f < Tiles::FOURS; ++f) {
                const int at = row_of(r) * Tiles::PITCH + 4 * column_of(f);
                const Four g = four(gy_tile + at), y = four(out_tile + at);
#pragma unroll
                for (int c = 0; c < 4; ++c) sum += g.at[c] * y.at[c];
            }
            slope[r] = row_reduce(sum, Sum());
            const long long query = q0 + row_of(r), at = matrix * shape.queries + query;
            const bool inside = query < shape.queries;
            scaled[r] = inside ? lse[at] : 0;
            if (inside && column_of(0) == 0) delta[at] = slope[r];
        }
        typename Tiles::Sums sums = {};
        const long long end = seen_by_tile(shape, first, q0);
        for (long long k0 = 0; k0 < end; k0 += Tiles::COLUMNS) {
            __syncthreads();
            load_tile<Tiles, Tiles::COLUMNS>(k_tile, keys, k0, end);
            load_tile<Tiles, Tiles::COLUMNS>(v_tile, values, k0, end);
            __syncthreads();
            typename Tiles::Scores scores, slopes;
            multiply<Tiles>(q_tile, k_tile, shape.features, scores);
            multiply<Tiles>(gy_tile, v_tile, shape.width, slopes);
#pragma unroll
            for (int r = 0; r < OWN; ++r) {
                const int here = seen<Tiles>(shape, first, q0 + row_of(r), k0);
#pragma unroll
                for (int c = 0; c < Tiles::OTHER; ++c) {
                    const acc_t p = exp(scale * scores[r][c] - scaled[r]);
                    const acc_t g = scale * p * (slopes[r][c] - slope[r]);
                    weight<Tiles>(weights, r, c) = column_of(c) < here ? g : 0;
                }
            }
            __syncthreads();
            add_product<Tiles>(weights, k_tile, end - k0, sums);
        }
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const long long query = q0 + row_of(r);
            if (query < shape.queries) store_row<Tiles>(gradient, query, sums[r], 1);
        }
    }
}

// gq = gS k with gS = scale P (gP - delta), gP = gy vT. A block owns a tile of queries. Moves q, gy,
// out, gq, lse and delta once, k and v once a tile of queries. Three products.
KERNEL(attention_bwd)(const T* gy, const T* q, const T* k, const T* v, const T* out,
                      const acc_t* lse, T* __restrict__ gq, acc_t* __restrict__ delta,
                      const Shape* shape, long long first, acc_t scale) {
    by_width(*shape, [&](auto tiles) {
        backward<decltype(tiles)>(gy, q, k, v, out, lse, gq, delta, *shape, first, scale);
    });
}

template <typename Tiles>
__device__ void finish(const T* gy, const T* q, const T* k, const T* v, const acc_t* lse,
                       const acc_t* delta, T* gk, T* gv, const Shape& shape, long long first,
                       acc_t scale) {
    DYNAMIC_SHARED(room);
    acc_t *k_tile = reinterpret_cast<acc_t*>(room), *v_tile = k_tile + Tiles::OWNED;
    acc_t *q_tile = v_tile + Tiles::OWNED, *gy_tile = q_tile + Tiles::PASSING;
    acc_t *weights = gy_tile + Tiles::PASSING;
    acc_t *scaled = weights + Tiles::WEIGHTS, *slope = scaled + Tiles::COLUMNS;
    const long long tiles = (shape.keys + ROWS - 1) / ROWS;
    BLOCK_PER_ROW(i, shape.matrices * tiles) {
        // The first keys are seen by most queries: their blocks begin first.
        const long long matrix = i / tiles, k0 = i % tiles * ROWS;
        const Head<const T> queries(q, shape.q, matrix, shape.heads, shape.features);
        const Head<const T> keys(k, shape.k, matrix, shape.heads, shape.features);
        const Head<const T> values(v, shape.v, matrix, shape.heads, shape.width);
        const Head<const T> upstream(gy, shape.gy, matrix, shape.heads, shape.width);
        const Head<T> key_gradient(gk, shape.gk, matrix, shape.heads, shape.features);
        const Head<T> value_gradient(gv, shape.gv, matrix, shape.heads, shape.width);
        typename Tiles::Sums key_sums = {}, value_sums = {};
        __syncthreads();  // the tiles before may still be read
        load_tile<Tiles, ROWS>(k_tile, keys, k0, shape.keys);
        load_tile<Tiles, ROWS>(v_tile, values, k0, shape.keys);
        // From the first query that sees a key of the tile.
        for (long long q0 = greater(0, k0 - first + 1); q0 < shape.queries; q0 += Tiles::COLUMNS) {
            const int left = int(lesser(shape.queries - q0, Tiles::COLUMNS));
            __syncthreads();
            load_tile<Tiles, Tiles::COLUMNS>(q_tile, queries, q0, shape.queries);
            load_tile<Tiles, Tiles::COLUMNS>(gy_tile, upstream, q0, shape.queries);
            BLOCK_STRIDE(c, left) {
                scaled[c] = lse[matrix * shape.queries + q0 + c];
                slope[c] = delta[matrix * shape.queries + q0 + c];
            }
            __syncthreads();
            typename Tiles::Scores scores;
            multiply<Tiles>(k_tile, q_tile, shape.features, scores);
#pragma unroll
            for (int r = 0; r < OWN; ++r) {
                const int unseen = blind<Tiles>(first, k0 + row_of(r), q0);
#pragma unroll
                for (int c = 0; c < Tiles::OTHER; ++c) {
                    const int column = column_of(c);
                    const acc_t p = exp(scale * scores[r][c] - scaled[column]);
                    weight<Tiles>(weights, r, c) = column >= unseen && column < left ? p : 0;
                }
            }
            __syncthreads();
            add_product<Tiles>(weights, gy_tile, left, value_sums);
            multiply<Tiles>(v_tile, gy_tile, shape.width, scores);
            __syncthreads();
#pragma unroll
            for (int rc = 0; rc < OWN * Tiles::OTHER; ++rc) {
                const int r = rc / Tiles::OTHER, c = rc % Tiles::OTHER;
                const acc_t g = scale * (scores[r][c] - slope[column_of(c)]);
                acc_t& p = weight<Tiles>(weights, r, c);
                p = column_of(c) < left ? p * g : 0;
            }
            __syncthreads();
            add_product<Tiles>(weights, q_tile, left, key_sums);
        }
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const long long key = k0 + row_of(r);
            if (key < shape.keys) {
                store_row<Tiles>(key_gradient, key, key_sums[r], 1);
                store_row<Tiles>(value_gradient, key, value_sums[r], 1);
            }
        }
    }
}

// gk = gST q and gv = PT gy, after attention_bwd has left delta. A block owns a tile of keys. Moves k, v,
// gk and gv once, q, gy, lse and delta once a tile of keys. Four products.
KERNEL(attention_bwd_finish)(const T* gy, const T* q, const T* k, const T* v, const acc_t* lse,
                             const acc_t* delta, T* __restrict__ gk, T* __restrict__ gv,
                             const Shape* shape, long long first, acc_t scale) {
    by_width(*shape, [&](auto tiles) {
        finish<decltype(tiles)>(gy, q, k, v, lse, delta, gk, gv, *shape, first, scale);
    });
}
