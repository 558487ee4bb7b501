// Normalisation of rows: y = (x - mean) / sqrt(var + eps) * weight + bias. What the names mean, the
// top of normalization.cu says.
//
// A row of a layer that fits is kept in the registers of a warp, in aligned pieces, and read once.
// Of other rows a block owns one at a time, and what is read again comes from the caches.
// Legal launches: any number of blocks. For the largest rows a block a row is best, for those in
// registers a warp a row; for row_norm_bwd_finish a block for 32 pieces of each chunk (blockIdx.y).
// y may be x, gx may be gy.
//
// Twins: gpunet/backend/cpu/normalization.py.

// N neighbours of a parameter that has an element a column.
template <int N>
__device__ Values<N> load_or(const T* parameter, long long j, acc_t otherwise) {
    if (parameter) return load<N>(parameter + j);
    Values<N> values;
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = otherwise;
    return values;
}

// Which channel an element has.
struct Layout {
    long long columns, channels, spread;  // as many columns as channels: the spread is 1

    // The parameter of N neighbours from column j of row i on.
    template <int N>
    __device__ Values<N> of(const T* parameter, long long i, long long j, acc_t otherwise) const {
        if (!parameter || columns == channels) return load_or<N>(parameter, j, otherwise);
        // Divides once, and then walks from channel to channel.
        const long long element = i * columns + j, run = element / spread;
        long long left = (run + 1) * spread - element, c = run % channels;
        Values<N> values;
#pragma unroll
        for (int k = 0; k < N; ++k) {
            values.at[k] = acc_t(parameter[c]);
            if (--left == 0) {
                left = spread;
                c = c + 1 == channels ? 0 : c + 1;
            }
        }
        return values;
    }
};

// (x - mean) rstd weight + bias of N neighbours.
template <int N>
__device__ Values<N> scaled(Values<N> x, acc_t mean, acc_t rstd, const Values<N>& weight,
                            const Values<N>& bias) {
#pragma unroll
    for (int k = 0; k < N; ++k) x.at[k] = (x.at[k] - mean) * (rstd * weight.at[k]) + bias.at[k];
    return x;
}

// g = gy weight, and x - mean.
template <int N>
__device__ void prepare(Values<N>& g, Values<N>& x, const Values<N>& weight, acc_t mean) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
        g.at[k] *= weight.at[k];
        x.at[k] -= mean;
    }
}

// All pieces of a row of a block.
#define ROW_PIECES(j, N, columns) \
    for (long long j = threadIdx.x * (N), j##_end = (columns); j < j##_end; j += blockDim.x * (N))

// y, mean and var of row i by a block, in pieces of N: columns is a multiple of it.
template <int N>
__device__ void block_row_fwd(long long i, const T* x, const T* weight, const T* bias, acc_t* mean,
                              acc_t* var, T* y, const Layout& layout, acc_t eps, bool centred) {
    const long long columns = layout.columns, first = i * columns;
    acc_t centre = 0, variance;
    if (centred) {
        Running mine;
        ROW_PIECES(j, N, columns) mine.add(load<N>(x + first + j));
        const Running all = of_block(mine, acc_t(columns));
        centre = all.mean;
        variance = all.var();
    } else {
        acc_t squares = 0;
        ROW_PIECES(j, N, columns) squares += squares_around(0, load<N>(x + first + j));
        variance = block_sum(squares) / acc_t(columns);
    }
    if (threadIdx.x == 0) {
        mean[i] = centre;
        var[i] = variance;
    }
    const acc_t rstd = 1 / sqrt(variance + eps);
    ROW_PIECES(j, N, columns) {
        const Values<N> w = layout.of<N>(weight, i, j, 1), b = layout.of<N>(bias, i, j, 0);
        store(y + first + j, scaled(load<N>(x + first + j), centre, rstd, w, b));
    }
}

// gx of row i by a block, in pieces of N: columns is a multiple of it.
template <int N>
__device__ void block_row_bwd(long long i, const T* gy, const T* x, const T* weight, acc_t mean,
                              acc_t rstd, T* gx, const Layout& layout, bool centred) {
    const long long columns = layout.columns, first = i * columns;
    const auto read = [&](long long j) {
        Pair<N> pair = {load<N>(x + first + j), load<N>(gy + first + j)};
        prepare(pair.g, pair.x, layout.of<N>(weight, i, j, 1), mean);
        return pair;
    };
    Sums sums;
    ROW_PIECES(j, N, columns) {
        const Pair<N> pair = read(j);
        sums.add(pair.g, pair.x);
    }
    sums = sums.of_block();
    if (!centred) sums.total = 0;
    const Correction correct(sums, acc_t(columns), rstd);
    ROW_PIECES(j, N, columns) {
        const Pair<N> pair = read(j);
        store(gx + first + j, correct(pair.g, pair.x, rstd));
    }
}

// A whole warp works on row i; the bounds are the same for all of its lanes.
#define WARP_PER_ROW(i, rows) \
    for (long long i = grid_thread() / WARP, i##_end = (rows); i < i##_end; \
         i += grid_threads() / WARP)

constexpr int KEPT = 128 / sizeof(acc_t);  // elements of a row that a lane keeps, at most

// Where a lane's pieces of a row are. Those beyond the row are read where it begins, and not used:
// without a branch all loads can be under way together.
struct Lane {
    int columns;  // of a row that fits into a warp

    __device__ int piece(int k) const { return (k * WARP + lane()) * WIDE; }
    __device__ bool has(int k) const { return piece(k) < columns; }
    __device__ int from(int k) const { return has(k) ? piece(k) : 0; }
};

__device__ acc_t warp_sum(acc_t value) { return warp_reduce(value, Sum()); }

// y, mean and var of rows by warps, which keep K pieces a lane.
template <int K>
__device__ void warp_rows_fwd(const T* x, const T* weight, const T* bias, acc_t* mean, acc_t* var,
                              T* y, long long rows, int columns, acc_t eps, bool centred) {
    if constexpr (K * WIDE < KEPT)
        if (columns > K * WIDE * WARP)
            return warp_rows_fwd<2 * K>(x, weight, bias, mean, var, y, rows, columns, eps, centred);
    const Lane mine = {columns};
    WARP_PER_ROW(i, rows) {
        const long long first = i * columns;
        Values<WIDE> row[K];
#pragma unroll
        for (int k = 0; k < K; ++k) row[k] = load<WIDE>(x + first + mine.from(k));
        acc_t total = 0, squares = 0;
#pragma unroll
        for (int k = 0; k < K; ++k) total += mine.has(k) ? sum_of(row[k]) : 0;
        const acc_t centre = centred ? warp_sum(total) / acc_t(columns) : 0;
#pragma unroll
        for (int k = 0; k < K; ++k) squares += mine.has(k) ? squares_around(centre, row[k]) : 0;
        const acc_t variance = warp_sum(squares) / acc_t(columns);
        if (lane() == 0) {
            mean[i] = centre;
            var[i] = variance;
        }
        const acc_t rstd = 1 / sqrt(variance + eps);
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (mine.has(k)) {
                const long long j = mine.piece(k);
                const auto w = load_or<WIDE>(weight, j, 1), b = load_or<WIDE>(bias, j, 0);
                store(y + first + j, scaled(row[k], centre, rstd, w, b));
            }
        }
    }
}

// gx of rows by warps, which keep K pieces a lane.
template <int K>
__device__ void warp_rows_bwd(const T* gy, const T* x, const T* weight, const acc_t* mean,
                              const acc_t* var, T* gx, long long rows, int columns, acc_t eps,
                              bool centred) {
    if constexpr (K * WIDE < KEPT)
        if (columns > K * WIDE * WARP)
            return warp_rows_bwd<2 * K>(gy, x, weight, mean, var, gx, rows, columns, eps, centred);
    const Lane mine = {columns};
    WARP_PER_ROW(i, rows) {
        const long long first = i * columns;
        Pair<WIDE> row[K];
#pragma unroll
        for (int k = 0; k < K; ++k) {
            const long long j = first + mine.from(k);
            row[k] = {load<WIDE>(x + j), load<WIDE>(gy + j)};
        }
        const acc_t rstd = 1 / sqrt(var[i] + eps), centre = mean[i];
        Sums sums;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            prepare(row[k].g, row[k].x, load_or<WIDE>(weight, mine.from(k), 1), centre);
            sums.total += mine.has(k) ? sum_of(row[k].g) : 0;
            sums.products += mine.has(k) ? dot(row[k].g, row[k].x) : 0;
        }
        sums = {centred ? warp_sum(sums.total) : 0, warp_sum(sums.products)};
        const Correction correct(sums, acc_t(columns), rstd);
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (mine.has(k)) store(gx + first + mine.piece(k), correct(row[k].g, row[k].x, rstd));
        }
    }
}

// Whether rows fit into the registers of a warp, and column j has channel j, if that matters.
__device__ bool fits_a_warp(const Layout& layout, bool parameters) {
    return layout.columns <= KEPT * WARP && (layout.columns == layout.channels || !parameters);
}

// y, mean and var of rows. A warp or a block owns a row. Moves 2 s an element.
KERNEL(row_norm_fwd)(const T* x, const T* weight, const T* bias, acc_t* mean, acc_t* var, T* y,
                     long long rows, long long columns, long long channels, long long spread,
                     acc_t eps, bool centred) {
    const Layout layout = {columns, channels, spread};
    const bool wide = columns % WIDE == 0 && is_aligned(x) && is_aligned(y) &&
                      is_aligned(weight) && is_aligned(bias);
    if (wide && fits_a_warp(layout, weight || bias)) {
        warp_rows_fwd<1>(x, weight, bias, mean, var, y, rows, int(columns), eps, centred);
    } else {
        BLOCK_PER_ROW(i, rows) {
            if (wide)
                block_row_fwd<WIDE>(i, x, weight, bias, mean, var, y, layout, eps, centred);
            else
                block_row_fwd<1>(i, x, weight, bias, mean, var, y, layout, eps, centred);
        }
    }
}

// gx. A warp or a block owns a row. Moves 3 s an element.
KERNEL(row_norm_bwd)(const T* gy, const T* x, const T* weight, const acc_t* mean, const acc_t* var,
                     T* gx, long long rows, long long columns, long long channels,
                     long long spread, acc_t eps, bool centred) {
    const Layout layout = {columns, channels, spread};
    const bool wide = columns % WIDE == 0 && is_aligned(gy) && is_aligned(x) &&
                      is_aligned(weight) && is_aligned(gx);
    if (wide && fits_a_warp(layout, weight)) {
        warp_rows_bwd<1>(gy, x, weight, mean, var, gx, rows, int(columns), eps, centred);
    } else {
        BLOCK_PER_ROW(i, rows) {
            const acc_t centre = mean[i], rstd = 1 / sqrt(var[i] + eps);
            if (wide)
                block_row_bwd<WIDE>(i, gy, x, weight, centre, rstd, gx, layout, centred);
            else
                block_row_bwd<1>(i, gy, x, weight, centre, rstd, gx, layout, centred);
        }
    }
}

// What a lane sums of its N columns.
template <int N>
struct ColumnSums {
    Values<N> total = {}, product = {};

    __device__ void add(const Values<N>& gy, const Values<N>& x, acc_t mean, acc_t rstd) {
#pragma unroll
        for (int k = 0; k < N; ++k) {
            total.at[k] += gy.at[k];
            product.at[k] += gy.at[k] * ((x.at[k] - mean) * rstd);
        }
    }
};

// Runs the statement for the first of this lane's N columns in a tile, if there are any.
#define LANE_COLUMNS(j, tile, N, columns) \
    if (const long long j = ((tile) * WARP + lane()) * (N); j < (columns))

// Sums of columns over this block's chunk of samples, for tiles of N columns a lane. A sample has
// width / columns rows, and a multiple of N columns is in each.
template <int N>
__device__ void column_sums(const T* gy, const T* x, const acc_t* mean, const acc_t* var,
                            acc_t* partial, long long samples, long long width, long long columns,
                            acc_t eps) {
    __shared__ acc_t products[MAX_WARPS][WARP * N], totals[MAX_WARPS][WARP * N];
    const long long chunk = blockIdx.y, chunks = gridDim.y, parts = width / columns;
    const long long first = samples * chunk / chunks, last = samples * (chunk + 1) / chunks;
    BLOCK_PER_ROW(tile, (width + WARP * N - 1) / (WARP * N)) {
        LANE_COLUMNS(j, tile, N, width) {
            ColumnSums<N> sums;
            const long long part = j / columns;
#pragma unroll 2
            for (long long n = first + warp(); n < last; n += warps()) {
                const long long k = n * width + j, row = n * parts + part;
                const Values<N> g = load<N>(gy + k), xs = load<N>(x + k);  // before what waits
                const acc_t centre = mean[row], variance = var[row];
                sums.add(g, xs, centre, 1 / sqrt(variance + eps));
            }
#pragma unroll
            for (int k = 0; k < N; ++k) {
                products[warp()][k * WARP + lane()] = sums.product.at[k];
                totals[warp()][k * WARP + lane()] = sums.total.at[k];
            }
        }
        __syncthreads();
        if (warp() == 0) {
            LANE_COLUMNS(j, tile, N, width) {
#pragma unroll
                for (int k = 0; k < N; ++k) {
                    const int at = k * WARP + lane();
                    acc_t total = totals[0][at], product = products[0][at];
                    for (int w = 1; w < warps(); ++w) {
                        total += totals[w][at];
                        product += products[w][at];
                    }
                    partial[chunk * 2 * width + j + k] = product;
                    partial[(chunk * 2 + 1) * width + j + k] = total;
                }
            }
        }
        __syncthreads();
    }
}

// partial (chunks, 2, channels * spread), what gweight and gbias are sums of: sums over chunks of
// samples of gy (x - mean) / sqrt(var + eps), and of gy; a sample has channels * spread elements.
// A block owns 32 pieces of columns of one chunk. Moves 2 s an element.
KERNEL(row_norm_bwd_finish)(const T* gy, const T* x, const acc_t* mean, const acc_t* var,
                            acc_t* partial, long long samples, long long width, long long columns,
                            acc_t eps) {
    if (columns % WIDE == 0 && is_aligned(gy) && is_aligned(x))
        column_sums<WIDE>(gy, x, mean, var, partial, samples, width, columns, eps);
    else
        column_sums<1>(gy, x, mean, var, partial, samples, width, columns, eps);
}
