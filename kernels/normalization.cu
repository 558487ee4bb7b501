// Normalisation by mean and variance: of channels over all samples, and of rows.
//
//     batch_norm      y = (x - mean) / sqrt(var + eps) * weight + bias, all of them of channels
//     row_norm        the same, with mean and variance of rows, weight and bias of channels
//
//     x, y, gy, gx    batch_norm: (samples, channels, size); row_norm: (rows, columns). y may be x,
//                     gx may be gy
//     weight, bias    (channels,), or null: 1 and 0. gweight, gbias: their gradients
//     mean, var       (channels,) or (rows,); var over n, not n - 1. The forward pass writes them,
//                     but reads them if they are `given`
//     relu            whether what is below 0 becomes 0; the backward pass computes again where
//     spread          element k of x, counted over all rows, has channel k / spread % channels
//     centred         without it the mean is 0, and var the mean of the squares
//     running_stats   kept = (1 - momentum) kept + momentum factor found, both of channels
//     partial         (chunks, 2, channels * spread): sums of gy (x - mean) / sqrt(var + eps), and
//                     of gy, over chunks of samples; a sample has channels * spread elements
//
// A block owns one channel or row at a time, in row_norm_bwd_finish 32 neighbouring columns
// (blockIdx.x) of one chunk (blockIdx.y). Its threads keep Welford's mean and squares of what they
// read, so that a large mean does no harm, and meet in block_sum: the order of every addition
// follows from the launch alone. What is read again comes from the caches, if it fits.
// Legal launches: any number of blocks for channels and rows; ceil(channels * spread / 32) x chunks
// for row_norm_bwd_finish.
// Bytes moved per element of s bytes: each kernel says it, and it is the least there is.
//
// Twins: gpunet/backend/cpu/normalization.py.

// A mean or variance that is kept moves towards one that was found. A thread owns channels. Moves
// 3 s a channel.
KERNEL(running_stats)(T* kept, const acc_t* found, long long n, acc_t momentum, acc_t factor) {
    GRID_STRIDE(i, n) {
        kept[i] = T((1 - momentum) * acc_t(kept[i]) + momentum * (factor * found[i]));
    }
}

// Elements of one channel, one thread of the block after another: j is an offset from the first.
#define CHANNEL_STRIDE(j, samples, channels, size) \
    for (long long j##_s = threadIdx.x % (size), \
                   j##_n = threadIdx.x / (size), \
                   j##_ds = blockDim.x % (size), \
                   j##_dn = blockDim.x / (size), \
                   j = j##_n * (channels) * (size) + j##_s; \
         j##_n < (samples); \
         j##_s += j##_ds, \
                   j##_n += j##_dn + (j##_s >= (size)), \
                   j##_s -= j##_s >= (size) ? (size) : 0, \
                   j = j##_n * (channels) * (size) + j##_s)

// Mean and sum of squares around it of what one thread reads (Welford, 1962).
struct Running {
    acc_t count = 0, mean = 0, squares = 0;

    __device__ void add(acc_t x) {
        count += 1;
        const acc_t before = x - mean;
        mean += before / count;
        squares += before * (x - mean);
    }
};

struct Statistics {
    acc_t mean, var;

    // Of all threads' elements together, `count` of them. To be called by the whole block.
    __device__ Statistics(const Running& mine, acc_t count) {
        mean = block_sum(mine.count * (mine.mean / count));
        const acc_t apart = mine.mean - mean;
        var = block_sum(mine.squares + mine.count * apart * apart) / count;
    }
};

__device__ acc_t or_else(const T* parameter, long long i, acc_t otherwise) {
    return parameter ? acc_t(parameter[i]) : otherwise;
}

// y, mean and var of channels. A block owns a channel. Moves 2 s an element.
KERNEL(batch_norm_fwd)(const T* x, const T* weight, const T* bias, acc_t* mean, acc_t* var, T* y,
                       long long samples, long long channels, long long size, acc_t eps,
                       bool given, bool relu) {
    BLOCK_PER_ROW(c, channels) {
        const T* xc = x + c * size;
        T* yc = y + c * size;
        if (!given) {
            Running mine;
            CHANNEL_STRIDE(j, samples, channels, size) mine.add(acc_t(xc[j]));
            const Statistics all(mine, acc_t(samples * size));
            if (threadIdx.x == 0) {
                mean[c] = all.mean;
                var[c] = all.var;
            }
            __syncthreads();
        }
        const acc_t centre = mean[c], b = or_else(bias, c, 0);
        const acc_t scale = or_else(weight, c, 1) / sqrt(var[c] + eps);
        CHANNEL_STRIDE(j, samples, channels, size) {
            const acc_t z = (acc_t(xc[j]) - centre) * scale + b;
            yc[j] = T(relu && z <= 0 ? 0 : z);  // NaN stays NaN
        }
    }
}

// gx, gweight and gbias. A block owns a channel. Moves 3 s an element.
KERNEL(batch_norm_bwd)(const T* gy, const T* x, const T* weight, const T* bias, const acc_t* mean,
                       const acc_t* var, T* gx, T* gweight, T* gbias, long long samples,
                       long long channels, long long size, acc_t eps, bool given, bool relu) {
    BLOCK_PER_ROW(c, channels) {
        const T *gyc = gy + c * size, *xc = x + c * size;
        const acc_t centre = mean[c], rstd = 1 / sqrt(var[c] + eps);
        const acc_t scale = or_else(weight, c, 1) / sqrt(var[c] + eps);
        const acc_t b = or_else(bias, c, 0);
        const auto gradient = [=](long long j) {
            const bool through = !relu || (acc_t(xc[j]) - centre) * scale + b > 0;
            return through ? acc_t(gyc[j]) : 0;
        };
        acc_t total = 0, products = 0;
        CHANNEL_STRIDE(j, samples, channels, size) {
            const acc_t g = gradient(j);
            total += g;
            products += g * (acc_t(xc[j]) - centre);
        }
        total = block_sum(total);
        products = block_sum(products);
        if (threadIdx.x == 0) {
            gweight[c] = T(products * rstd);
            gbias[c] = T(total);
        }
        const acc_t count = acc_t(samples * size);
        const acc_t constant = given ? 0 : total / count;
        const acc_t slope = given ? 0 : products / count * rstd * rstd;
        CHANNEL_STRIDE(j, samples, channels, size) {
            const acc_t g = gradient(j) - constant - (acc_t(xc[j]) - centre) * slope;
            gx[c * size + j] = T(scale * g);
        }
    }
}

// The channel of element j of a row that begins at channel * spread + offset.
__device__ long long channel_of(long long first, long long j, long long channels,
                                long long spread) {
    return (first + j) / spread % channels;
}

// y, mean and var of rows. A block owns a row. Moves 2 s an element.
KERNEL(row_norm_fwd)(const T* x, const T* weight, const T* bias, acc_t* mean, acc_t* var, T* y,
                     long long rows, long long columns, long long channels, long long spread,
                     acc_t eps, bool centred) {
    BLOCK_PER_ROW(i, rows) {
        const long long first = i * columns;
        const T* row = x + first;
        acc_t centre = 0, variance;
        if (centred) {
            Running mine;
            BLOCK_STRIDE(j, columns) mine.add(acc_t(row[j]));
            const Statistics all(mine, acc_t(columns));
            centre = all.mean;
            variance = all.var;
        } else {
            acc_t squares = 0;
            BLOCK_STRIDE(j, columns) squares += acc_t(row[j]) * acc_t(row[j]);
            variance = block_sum(squares) / acc_t(columns);
        }
        if (threadIdx.x == 0) {
            mean[i] = centre;
            var[i] = variance;
        }
        const acc_t rstd = 1 / sqrt(variance + eps);
        BLOCK_STRIDE(j, columns) {
            const long long c = channel_of(first, j, channels, spread);
            const acc_t scale = rstd * or_else(weight, c, 1);
            y[first + j] = T((acc_t(row[j]) - centre) * scale + or_else(bias, c, 0));
        }
    }
}

// gx. A block owns a row. Moves 3 s an element.
KERNEL(row_norm_bwd)(const T* gy, const T* x, const T* weight, const acc_t* mean, const acc_t* var,
                     T* gx, long long rows, long long columns, long long channels,
                     long long spread, acc_t eps, bool centred) {
    BLOCK_PER_ROW(i, rows) {
        const long long first = i * columns;
        const acc_t centre = mean[i], rstd = 1 / sqrt(var[i] + eps);
        const auto gradient = [=](long long j) {
            const long long c = channel_of(first, j, channels, spread);
            return acc_t(gy[first + j]) * or_else(weight, c, 1);
        };
        acc_t total = 0, products = 0;
        BLOCK_STRIDE(j, columns) {
            const acc_t g = gradient(j);
            total += g;
            products += g * (acc_t(x[first + j]) - centre);
        }
        total = block_sum(total);
        products = block_sum(products);
        const acc_t constant = centred ? total / acc_t(columns) : 0;
        const acc_t slope = products / acc_t(columns) * rstd * rstd;
        BLOCK_STRIDE(j, columns) {
            const acc_t g = gradient(j) - constant - (acc_t(x[first + j]) - centre) * slope;
            gx[first + j] = T(rstd * g);
        }
    }
}

// Runs the statement for this lane's column, if there is one: the last block may stick out.
#define LANE_COLUMN(j, columns) \
    if (const long long j = blockIdx.x * (long long)WARP + lane(); j < (columns))

// partial: what gweight and gbias are sums of. A block owns 32 columns of one chunk of samples.
// Moves 2 s an element.
KERNEL(row_norm_bwd_finish)(const T* gy, const T* x, const acc_t* mean, const acc_t* var,
                            acc_t* partial, long long samples, long long width, long long columns,
                            acc_t eps) {
    __shared__ acc_t products[MAX_WARPS][WARP], totals[MAX_WARPS][WARP];
    const long long chunk = blockIdx.y, chunks = gridDim.y;
    const long long first = samples * chunk / chunks, last = samples * (chunk + 1) / chunks;
    LANE_COLUMN(j, width) {
        acc_t total = 0, product = 0;
        for (long long n = first + warp(); n < last; n += warps()) {
            const long long k = n * width + j, row = k / columns;
            const acc_t g = acc_t(gy[k]);
            total += g;
            product += g * (acc_t(x[k]) - mean[row]) / sqrt(var[row] + eps);
        }
        products[warp()][lane()] = product;
        totals[warp()][lane()] = total;
    }
    __syncthreads();
    if (warp() == 0) {
        LANE_COLUMN(j, width) {
            acc_t total = totals[0][lane()], product = products[0][lane()];
            for (int w = 1; w < warps(); ++w) {
                total += totals[w][lane()];
                product += products[w][lane()];
            }
            partial[chunk * 2 * width + j] = product;
            partial[(chunk * 2 + 1) * width + j] = total;
        }
    }
}
