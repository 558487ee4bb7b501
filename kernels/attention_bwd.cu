// The gradients of attention. This file is compiled behind attention.cu, which has the tiles, and
// says what the arrays are.
//
//     delta               (matrices, queries) of acc_t, of each row the sum of gy out
//     shape               as there, with the strides of all arrays
//
// With P = e^(scale q kT - lse), gP = gy vT and gS = scale P (gP - delta) they are gq = gS k, gk =
// gST q and gv = PT gy. A tile of P is made twice, once where gq and once where gk and gv are added
// up: no two blocks add to the same sum, so the same launch gives the same bits.
//
// Legal launches: as those of attention_fwd. Nothing that is written may overlap anything else.
//
// Twins: gpunet/backend/cpu/attention.py.

constexpr int attention_bwd_blocks = 2, attention_bwd_finish_blocks = 2;

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

// gq = gS k, and delta. A block owns a tile of queries. Moves q, gy, out, gq, lse and delta once, k
// and v once for each tile of queries that sees them. Three products.
KERNEL(attention_bwd)(const T* gy, const T* q, const T* k, const T* v, const T* out,
                      const acc_t* lse, T* __restrict__ gq, acc_t* __restrict__ delta,
                      const Shape* shape, long long first, acc_t scale) {
    by_width(*shape, [&](auto tiles) {
        backward<decltype(tiles)>(gy, q, k, v, out, lse, gq, delta, *shape, first, scale);
    });
}

// How many of the queries from q0 on do not see a key, up to as many as are in a tile.
template <typename Tiles>
__device__ int blind(long long first, long long key, long long q0) {
    return int(lesser(greater(key - first + 1 - q0, 0), Tiles::COLUMNS));
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

// gk = gST q and gv = PT gy, behind attention_bwd, which leaves delta. A block owns a tile of keys.
// Moves k, v, gk and gv once, q, gy, lse and delta once for each tile of keys that they see. Four
// products.
KERNEL(attention_bwd_finish)(const T* gy, const T* q, const T* k, const T* v, const acc_t* lse,
                             const acc_t* delta, T* __restrict__ gk, T* __restrict__ gv,
                             const Shape* shape, long long first, acc_t scale) {
    by_width(*shape, [&](auto tiles) {
        finish<decltype(tiles)>(gy, q, k, v, lse, delta, gk, gv, *shape, first, scale);
    });
}
