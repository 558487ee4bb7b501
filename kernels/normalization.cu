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
//     partial         what the blocks of one launch found of channels, for those of the next
//
// The kernels for rows are in normalization_rows.cu. Of a short channel one block finds the
// statistics, and then normalises it; a long one is shared by several blocks (gridDim.y, the
// chunks), in two launches. The squares are summed around means of what is summed, so that a large
// mean does no harm. The order of every addition follows from the launch alone.
// Legal launches: any number of blocks for channels, and one chunk, but any number in a
// batch_norm_*_partial, and as many in its batch_norm_*_finish.
// Bytes moved per element of s bytes: each kernel says it.
//
// Twins: gpunet/backend/cpu/normalization.py.

// A mean or variance that is kept moves towards one that was found. A thread owns channels. Moves
// 3 s a channel.
KERNEL(running_stats)(T* kept, const acc_t* found, long long n, acc_t momentum, acc_t factor) {
    GRID_STRIDE(i, n) {
        kept[i] = T((1 - momentum) * acc_t(kept[i]) + momentum * (factor * found[i]));
    }
}

// ------------------------------------------------------------------------------------------------
// Statistics

template <int N>
__device__ acc_t sum_of(const Values<N>& x) {
    acc_t sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += x.at[k];
    return sum;
}

template <int N>
__device__ acc_t squares_around(acc_t mean, const Values<N>& x) {
    acc_t sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += (x.at[k] - mean) * (x.at[k] - mean);
    return sum;
}

// How many of some numbers, their mean, and their sum of squares around it.
struct Running {
    acc_t count = 0, mean = 0, squares = 0;

    // Two sets become one (Chan, Golub & LeVeque, 1979); with a set of one it is Welford's method.
    __device__ void add(const Running& other) {
        if (other.count == 0) return;  // its mean is NaN
        const acc_t apart = other.mean - mean, share = other.count / (count + other.count);
        mean += apart * share;
        squares += other.squares + apart * apart * share * count;
        count += other.count;
    }

    // One division for N numbers.
    template <int N>
    __device__ void add(const Values<N>& x) {
        Running other;
        other.count = N;
        other.mean = sum_of(x) * (C(1.0) / N);
        other.squares = squares_around(other.mean, x);
        add(other);
    }

    __device__ acc_t var() const { return squares / count; }
};

// All threads' numbers, `count` of them. To be called by the whole block.
__device__ Running of_block(const Running& mine, acc_t count) {
    Running all;
    all.count = count;
    all.mean = block_sum(mine.count * (mine.mean / count));
    const acc_t apart = mine.mean - all.mean;
    all.squares = block_sum(mine.squares + mine.count * apart * apart);
    return all;
}

__device__ acc_t or_else(const T* parameter, long long i, acc_t otherwise) {
    return parameter ? acc_t(parameter[i]) : otherwise;
}

// How many neighbours are read at a time, as a type: WIDE, or 1 where nothing is aligned.
template <int N>
struct Width {};

// ------------------------------------------------------------------------------------------------
// Channels. x is (samples, channels, size); a channel c begins at x + c * size.

struct Channels {
    long long samples, channels, size;
    bool wide;  // whether all arrays are aligned, and each channel of each sample then is

    __device__ Channels(long long samples, long long channels, long long size, bool aligned)
        : samples(samples), channels(channels), size(size), wide(aligned && size % WIDE == 0) {}

    __device__ acc_t count() const { return acc_t(samples * size); }

    // use(read(j, width), j) for all pieces of one channel, j from its beginning. All threads of
    // its blocks (equal blockIdx.x) take turns. AHEAD pieces are read before the first is used, so
    // that their loads are under way together.
    template <int AHEAD, typename Read, typename Use>
    __device__ void each(Read read, Use use) const {
        if (wide)
            each<AHEAD>(Width<WIDE>(), read, use);
        else
            each<AHEAD>(Width<1>(), read, use);
    }

    // Pieces are counted from 0 to `pieces`; this thread's next one is `piece` of them, `s` of its
    // sample's, and begins at N * j. Nothing is divided inside of the loops.
    template <int AHEAD, int N, typename Read, typename Use>
    __device__ void each(Width<N> width, Read read, Use use) const {
        const long long run = size / N, pieces = samples * run, sample = channels * run;
        const long long threads = gridDim.y * (long long)blockDim.x;
        const long long s_step = threads % run, j_step = threads / run * sample + s_step;
        long long piece = blockIdx.y * (long long)blockDim.x + threadIdx.x;
        long long s = piece % run, j = piece / run * sample + s;
        const auto next = [&] {
            const long long here = N * j;
            s += s_step;
            j += j_step;
            if (s >= run) s -= run, j += sample - run;
            return here;
        };
        for (; piece + (AHEAD - 1) * threads < pieces; piece += AHEAD * threads) {
            long long at[AHEAD];
            decltype(read(j, width)) found[AHEAD];
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) found[k] = read(at[k] = next(), width);
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) use(found[k], at[k]);
        }
        for (; piece < pieces; piece += threads) {
            const long long at = next();
            use(read(at, width), at);
        }
    }
};

// Reads pieces of a channel.
struct Reader {
    const T* xc;

    template <int N>
    __device__ Values<N> operator()(long long j, Width<N>) const {
        return load<N>(xc + j);
    }
};

// Of what this thread reads of a channel.
__device__ Running channel_statistics(const T* xc, const Channels& all) {
    Running mine;
    all.each<4>(Reader{xc}, [&](const auto& x, long long) { mine.add(x); });
    return mine;
}

// y = (x - mean) / sqrt(var + eps) * weight + bias, of channel c.
struct Affine {
    acc_t mean, scale, bias;

    __device__ Affine(long long c, const T* weight, const T* bias, acc_t mean, acc_t var, acc_t eps)
        : mean(mean), scale(or_else(weight, c, 1) / sqrt(var + eps)), bias(or_else(bias, c, 0)) {}

    __device__ acc_t operator()(acc_t x) const { return (x - mean) * scale + bias; }

    template <int N>
    __device__ Values<N> operator()(Values<N> x, bool relu) const {
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t z = (*this)(x.at[k]);
            x.at[k] = relu && z <= 0 ? 0 : z;  // NaN stays NaN
        }
        return x;
    }
};

__device__ void normalise_channel(const T* xc, T* yc, const Channels& all, const Affine& affine,
                                  bool relu) {
    all.each<4>(Reader{xc}, [=](const auto& x, long long j) { store(yc + j, affine(x, relu)); });
}

// A piece of x - mean, and of gy, 0 where relu let nothing through.
template <int N>
struct Pair {
    Values<N> x, g;
};

struct PairReader {
    const T *xc, *gyc;
    Affine affine;
    bool relu;

    template <int N>
    __device__ Pair<N> operator()(long long j, Width<N>) const {
        Pair<N> pair = {load<N>(xc + j), load<N>(gyc + j)};
#pragma unroll
        for (int k = 0; k < N; ++k) {
            if (relu && !(affine(pair.x.at[k]) > 0)) pair.g.at[k] = 0;
            pair.x.at[k] -= affine.mean;
        }
        return pair;
    }
};

template <int N>
__device__ acc_t dot(const Values<N>& a, const Values<N>& b) {
    acc_t sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += a.at[k] * b.at[k];
    return sum;
}

// The sums of g and of g (x - mean).
struct Sums {
    acc_t total = 0, products = 0;

    template <int N>
    __device__ void add(const Values<N>& g, const Values<N>& x) {
        total += sum_of(g);
        products += dot(g, x);
    }

    __device__ Sums of_block() const { return {block_sum(total), block_sum(products)}; }
};

// Of what this thread reads of a channel.
__device__ Sums channel_sums(const PairReader& read, const Channels& all) {
    Sums mine;
    all.each<2>(read, [&](const auto& pair, long long) { mine.add(pair.g, pair.x); });
    return mine;
}

// What is subtracted from g: its mean, and x - mean times a slope.
struct Correction {
    acc_t constant, slope;

    __device__ Correction(const Sums& all, acc_t count, acc_t rstd)
        : constant(all.total / count), slope(all.products / count * rstd * rstd) {}

    // scale (g - constant - (x - mean) slope)
    template <int N>
    __device__ Values<N> operator()(Values<N> g, const Values<N>& x, acc_t scale) const {
#pragma unroll
        for (int k = 0; k < N; ++k) g.at[k] = scale * (g.at[k] - constant - x.at[k] * slope);
        return g;
    }
};

// y, mean and var of channels. A block owns a channel. Moves 2 s an element.
KERNEL(batch_norm_fwd)(const T* x, const T* weight, const T* bias, acc_t* mean, acc_t* var, T* y,
                       long long samples, long long channels, long long size, acc_t eps,
                       bool given, bool relu) {
    const Channels all(samples, channels, size, is_aligned(x) && is_aligned(y));
    BLOCK_PER_ROW(c, channels) {
        if (!given) {
            const Running found = of_block(channel_statistics(x + c * size, all), all.count());
            if (threadIdx.x == 0) {
                mean[c] = found.mean;
                var[c] = found.var();
            }
            __syncthreads();
        }
        const Affine affine(c, weight, bias, mean[c], var[c], eps);
        normalise_channel(x + c * size, y + c * size, all, affine, relu);
    }
}

// partial (channels, chunks, 3): count, mean and squares of each chunk of a channel. A block owns
// a chunk of a channel. Moves s an element.
KERNEL(batch_norm_fwd_partial)(const T* x, acc_t* partial, long long samples, long long channels,
                               long long size) {
    const Channels all(samples, channels, size, is_aligned(x));
    BLOCK_PER_ROW(c, channels) {
        const Running mine = channel_statistics(x + c * size, all);
        const Running found = of_block(mine, block_sum(mine.count));
        if (threadIdx.x == 0) {
            acc_t* to = partial + (c * gridDim.y + blockIdx.y) * 3;
            to[0] = found.count;
            to[1] = found.mean;
            to[2] = found.squares;
        }
    }
}

// y, mean and var of channels, from `partial`, which is not read if they are given. A block owns a
// chunk of a channel. Moves 2 s an element.
KERNEL(batch_norm_fwd_finish)(const T* x, const T* weight, const T* bias, const acc_t* partial,
                              acc_t* mean, acc_t* var, T* y, long long samples, long long channels,
                              long long size, acc_t eps, bool given, bool relu) {
    const Channels all(samples, channels, size, is_aligned(x) && is_aligned(y));
    BLOCK_PER_ROW(c, channels) {
        acc_t centre, variance;
        if (given) {
            centre = mean[c];
            variance = var[c];
        } else {
            Running mine;
            BLOCK_STRIDE(k, gridDim.y) {
                const acc_t* from = partial + (c * gridDim.y + k) * 3;
                mine.add(Running{from[0], from[1], from[2]});
            }
            const Running found = of_block(mine, all.count());
            centre = found.mean;
            variance = found.var();
            if (threadIdx.x == 0 && blockIdx.y == 0) {
                mean[c] = centre;
                var[c] = variance;
            }
        }
        const Affine affine(c, weight, bias, centre, variance, eps);
        normalise_channel(x + c * size, y + c * size, all, affine, relu);
    }
}

// gx of this block's share of a channel, and gweight and gbias.
__device__ void channel_gradient(const PairReader& read, const Channels& all, const Sums& sums,
                                 long long c, acc_t rstd, bool given, T* gx, T* gweight, T* gbias) {
    if (threadIdx.x == 0 && blockIdx.y == 0) {
        gweight[c] = T(sums.products * rstd);
        gbias[c] = T(sums.total);
    }
    T* gxc = gx + c * all.size;
    const acc_t scale = read.affine.scale;
    const Correction correct(given ? Sums() : sums, all.count(), rstd);
    all.each<2>(read, [=](const auto& pair, long long j) {
        store(gxc + j, correct(pair.g, pair.x, scale));
    });
}

// gx, gweight and gbias. A block owns a channel. Moves 3 s an element.
KERNEL(batch_norm_bwd)(const T* gy, const T* x, const T* weight, const T* bias, const acc_t* mean,
                       const acc_t* var, T* gx, T* gweight, T* gbias, long long samples,
                       long long channels, long long size, acc_t eps, bool given, bool relu) {
    const Channels all(samples, channels, size, is_aligned(x) && is_aligned(gy) && is_aligned(gx));
    BLOCK_PER_ROW(c, channels) {
        const Affine affine(c, weight, bias, mean[c], var[c], eps);
        const PairReader read = {x + c * size, gy + c * size, affine, relu};
        const Sums sums = channel_sums(read, all).of_block();
        const acc_t rstd = 1 / sqrt(var[c] + eps);
        channel_gradient(read, all, sums, c, rstd, given, gx, gweight, gbias);
    }
}

// partial (channels, chunks, 2): the sums of a chunk. A block owns a chunk of a channel. Moves 2 s
// an element.
KERNEL(batch_norm_bwd_partial)(const T* gy, const T* x, const T* weight, const T* bias,
                               const acc_t* mean, const acc_t* var, acc_t* partial,
                               long long samples, long long channels, long long size, acc_t eps,
                               bool relu) {
    const Channels all(samples, channels, size, is_aligned(x) && is_aligned(gy));
    BLOCK_PER_ROW(c, channels) {
        const Affine affine(c, weight, bias, mean[c], var[c], eps);
        const PairReader read = {x + c * size, gy + c * size, affine, relu};
        const Sums sums = channel_sums(read, all).of_block();
        if (threadIdx.x == 0) {
            acc_t* to = partial + (c * gridDim.y + blockIdx.y) * 2;
            to[0] = sums.total;
            to[1] = sums.products;
        }
    }
}

// gx, gweight and gbias, from `partial`. A block owns a chunk of a channel. Moves 3 s an element.
KERNEL(batch_norm_bwd_finish)(const T* gy, const T* x, const T* weight, const T* bias,
                              const acc_t* mean, const acc_t* var, const acc_t* partial, T* gx,
                              T* gweight, T* gbias, long long samples, long long channels,
                              long long size, acc_t eps, bool given, bool relu) {
    const Channels all(samples, channels, size, is_aligned(x) && is_aligned(gy) && is_aligned(gx));
    BLOCK_PER_ROW(c, channels) {
        Sums mine;
        BLOCK_STRIDE(k, gridDim.y) {
            const acc_t* from = partial + (c * gridDim.y + k) * 2;
            mine.total += from[0];
            mine.products += from[1];
        }
        const Affine affine(c, weight, bias, mean[c], var[c], eps);
        const PairReader read = {x + c * size, gy + c * size, affine, relu};
        const acc_t rstd = 1 / sqrt(var[c] + eps);
        channel_gradient(read, all, mine.of_block(), c, rstd, given, gx, gweight, gbias);
    }
}
