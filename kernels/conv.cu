// Convolutions of one to three axes, their gradients, and the patches they look at.
//
//     x      (samples, groups, inputs, size[3])       input; axes that are not there have length 1
//     w      (groups, filters, inputs, kernel[3])
//     y      (samples, groups, filters, out[3])         y = x * w + bias
//     bias   of each channel of the result, or null
//     gx, gw, gy  gradients, like x, w and y
//     columns (samples, groups, inputs, kernel[3], out[3])
// geometry points to the numbers of struct Geometry. What is written overlaps nothing else.
//
// All three are matrix products, one operand of which is gathered from where it lies: the matrix of
// columns is never written. A block owns one tile of 64 x 64 elements of the result at a time, and
// takes 16 steps of the sum at a time into shared memory; a thread owns 4 x 4 of these elements, in
// registers. The gradient of the input has a product for each of its phases (blockIdx.y), the
// elements that the same taps reach, so no step is a multiplication by a zero between strides.
// The gradient of the weights sums over samples and positions, in chunks (blockIdx.y): conv_bwd_w
// writes partial (chunks, *w.shape), in acc_t, and conv_bwd_w_finish adds the chunks up in order.
//
// Legal launches: for the products any number of blocks of 256 threads, best one a tile; for
// conv_bwd_x a multiple of them in y, best one a phase; for conv_bwd_w one in y a chunk. Any for
// the others.
// Bytes moved per element of s bytes: each kernel says it. A product of m x n elements over k steps
// reads s k (ceil(m / 64) n + ceil(n / 64) m), mostly from the caches, and writes s m n.
//
// Twins: gpunet/backend/cpu/conv.py.

struct Geometry {
    long long samples, groups, inputs, filters;  // the last two in a group
    long long size[3], out[3];                   // of x and of y
    long long kernel[3], stride[3], padding[3], dilation[3];  // padding in front

    __device__ long long volume() const { return size[0] * size[1] * size[2]; }
    __device__ long long pixels() const { return out[0] * out[1] * out[2]; }
    __device__ long long taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// A position along three axes, and a distance in memory, in elements.
struct Place {
    long long offset;
    int z, y, x;

    __device__ Place operator+(const Place& b) const {
        return {offset + b.offset, z + b.z, y + b.y, x + b.x};
    }
};

// The element `number` of a volume of this shape.
__device__ Place place_in(const long long* shape, long long number, long long offset = 0) {
    const long long row = number / shape[2];
    return {offset, int(row / shape[1]), int(row % shape[1]), int(number % shape[2])};
}

// ------------------------------------------------------------------------------------------------
// The product: result[m, n] = sum over k of plain[m, k] gathered[k, n]

constexpr int TILE = 64, STEPS = 16, PART = 4;

__device__ long long lesser(long long a, long long b) { return a < b ? a : b; }

// One operand lies in rows, the other is gathered from volumes of the shape `size`, with zeros
// around them.
struct Operands {
    const T* plain;
    long long row;  // distance of the rows of plain
    const T* gathered;
    long long size[3];

    __device__ acc_t at(const Place& p) const {
        const bool inside = 0 <= p.z && p.z < size[0] && 0 <= p.y && p.y < size[1] && 0 <= p.x &&
                            p.x < size[2];
        return inside ? acc_t(gathered[p.offset + (p.z * size[1] + p.y) * size[2] + p.x]) : 0;
    }
};

// A column of the gathered operand, and where the column of the result begins.
struct Column {
    Place place;
    long long result;
};

// A step of the sum: what it adds to the place of a column, and its distance in a row of plain.
struct Step {
    Place place;
    long long plain;
};

// One tile, from (m0, n0) on: column_of(n) and step_of(k) say where they are, put(m, column, sum)
// stores an element. To be called by all threads of a block of 256 together.
template <typename ColumnOf, typename StepOf, typename Put>
__device__ void product_tile(const Operands& operands, long long m0, long long height,
                             long long n0, long long width, long long begin, long long end,
                             ColumnOf column_of, StepOf step_of, Put put) {
    __shared__ Column columns[TILE];
    __shared__ Step steps[STEPS];
    __shared__ acc_t a[STEPS][TILE + PART], b[STEPS][TILE];  // longer rows: other banks
    acc_t sums[PART][PART] = {};
    const int row = threadIdx.x / (TILE / PART) * PART, col = threadIdx.x % (TILE / PART) * PART;
    const long long rows_here = lesser(height - m0, TILE);
    const long long columns_here = lesser(width - n0, TILE);
    __syncthreads();  // the tile before may still be read
    BLOCK_STRIDE(j, columns_here) columns[j] = column_of(n0 + j);
    __syncthreads();  // there may be no step
    for (long long k0 = begin; k0 < end; k0 += STEPS) {
        const long long steps_here = lesser(end - k0, STEPS);
        BLOCK_STRIDE(k, steps_here) steps[k] = step_of(k0 + k);
        __syncthreads();
        BLOCK_STRIDE(i, STEPS * TILE) {
            const int k = i % STEPS, m = i / STEPS;
            const bool exists = k < steps_here && m < rows_here;
            const long long at = (m0 + m) * operands.row + (exists ? steps[k].plain : 0);
            a[k][m] = exists ? acc_t(operands.plain[at]) : 0;
        }
        BLOCK_STRIDE(i, STEPS * TILE) {
            const int k = i / TILE, j = i % TILE;
            const bool exists = k < steps_here && j < columns_here;
            b[k][j] = exists ? operands.at(columns[j].place + steps[k].place) : 0;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < STEPS; ++k) {
#pragma unroll
            for (int i = 0; i < PART; ++i) {
#pragma unroll
                for (int j = 0; j < PART; ++j) sums[i][j] += a[k][row + i] * b[k][col + j];
            }
        }
    }
#pragma unroll
    for (int i = 0; i < PART; ++i) {
#pragma unroll
        for (int j = 0; j < PART; ++j) {
            if (row + i < rows_here && col + j < columns_here)
                put(m0 + row + i, columns[col + j], sums[i][j]);
        }
    }
}

// All tiles of `groups` products of height x width elements, over all blocks of a row of the grid.
template <typename Body>
__device__ void each_tile(long long groups, long long height, long long width, Body body) {
    const long long down = (height + TILE - 1) / TILE, across = (width + TILE - 1) / TILE;
    BLOCK_PER_ROW(i, groups * down * across)
        body(i / (down * across), i / across % down * TILE, i % across * TILE);
}

// ------------------------------------------------------------------------------------------------
// Forward: rows are filters, columns output positions, steps taps of all channels

// y = x * w + bias. A block owns tiles of y. Moves what a product does: m filters, n positions of
// all samples, k taps of all channels.
KERNEL(conv_fwd)(const T* x, const T* w, const T* bias, T* y, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), taps = g.taps();
    const long long depth = g.inputs * taps;
    each_tile(g.groups, g.filters, g.samples * pixels, [&](long long group, long long m0,
                                                           long long n0) {
        const Operands operands = {w + group * g.filters * depth, depth, x,
                                   {g.size[0], g.size[1], g.size[2]}};
        const auto column_of = [&](long long n) {
            const long long part = n / pixels * g.groups + group, pixel = n % pixels;
            const Place out = place_in(g.out, pixel);
            const Place in = {part * g.inputs * volume, int(out.z * g.stride[0] - g.padding[0]),
                              int(out.y * g.stride[1] - g.padding[1]),
                              int(out.x * g.stride[2] - g.padding[2])};
            return Column{in, part * g.filters * pixels + pixel};
        };
        const auto step_of = [&](long long k) {
            const Place tap = place_in(g.kernel, k % taps);
            const Place in = {k / taps * volume, int(tap.z * g.dilation[0]),
                              int(tap.y * g.dilation[1]), int(tap.x * g.dilation[2])};
            return Step{in, k};
        };
        const auto put = [&](long long m, const Column& column, acc_t sum) {
            const acc_t shift = bias ? acc_t(bias[group * g.filters + m]) : 0;
            y[column.result + m * pixels] = T(sum + shift);
        };
        product_tile(operands, m0, g.filters, n0, g.samples * pixels, 0, depth, column_of, step_of,
                     put);
    });
}

// ------------------------------------------------------------------------------------------------
// Gradient of the input: rows are its channels, columns its positions of one phase, steps the taps
// that reach them, of all filters

// Along one axis: the phase of the elements first + stride j, and the taps tap + step i, i < taps,
// which reach them from the output element j + ahead - apart i.
struct Phase {
    long long first, length, tap, step, taps, ahead, apart;

    __device__ Phase(const Geometry& g, int axis, long long first) : first(first) {
        const long long s = g.stride[axis], d = g.dilation[axis], kernel = g.kernel[axis];
        const long long shift = first + g.padding[axis];
        length = first < g.size[axis] ? (g.size[axis] - first - 1) / s + 1 : 0;
        tap = 0;
        while (tap < kernel && (shift - tap * d) % s != 0) ++tap;
        step = 1;
        while (step * d % s != 0) ++step;
        taps = tap < kernel ? (kernel - tap - 1) / step + 1 : 0;
        ahead = (shift - tap * d) / s;
        apart = step * d / s;
    }
};

// gx: what x adds to y, turned round; with bias the transposed convolution, of which it is y. A
// block owns tiles of one phase of gx. Moves what a product does: m channels, n positions of the
// phase, k its taps of all filters.
KERNEL(conv_bwd_x)(const T* gy, const T* w, const T* bias, T* gx, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), all_taps = g.taps();
    const long long phases = g.stride[0] * g.stride[1] * g.stride[2];
    for (long long phase = blockIdx.y; phase < phases; phase += gridDim.y) {
        const Place first = place_in(g.stride, phase);
        const Phase z(g, 0, first.z), y(g, 1, first.y), x(g, 2, first.x);
        const long long lengths[3] = {z.length, y.length, x.length};
        const long long counts[3] = {z.taps, y.taps, x.taps};
        const long long elements = z.length * y.length * x.length;
        const long long taps = z.taps * y.taps * x.taps;
        each_tile(g.groups, g.inputs, g.samples * elements, [&](long long group, long long m0,
                                                                long long n0) {
            const Operands operands = {w + group * g.filters * g.inputs * all_taps, all_taps, gy,
                                       {g.out[0], g.out[1], g.out[2]}};
            const auto column_of = [&](long long n) {
                const long long part = n / elements * g.groups + group;
                const Place j = place_in(lengths, n % elements);
                const Place out = {part * g.filters * pixels, int(j.z + z.ahead),
                                   int(j.y + y.ahead), int(j.x + x.ahead)};
                const long long row =
                    (z.first + j.z * g.stride[0]) * g.size[1] + y.first + j.y * g.stride[1];
                return Column{out, part * g.inputs * volume + row * g.size[2] + x.first +
                                       j.x * g.stride[2]};
            };
            const auto step_of = [&](long long k) {
                const long long filter = k / taps;
                const Place i = place_in(counts, k % taps);
                const Place out = {filter * pixels, int(-i.z * z.apart), int(-i.y * y.apart),
                                   int(-i.x * x.apart)};
                const long long row = (z.tap + i.z * z.step) * g.kernel[1] + y.tap + i.y * y.step;
                const long long tap = row * g.kernel[2] + x.tap + i.x * x.step;
                return Step{out, filter * g.inputs * all_taps + tap};
            };
            const auto put = [&](long long m, const Column& column, acc_t sum) {
                const acc_t shift = bias ? acc_t(bias[group * g.inputs + m]) : 0;
                gx[column.result + m * volume] = T(sum + shift);
            };
            product_tile(operands, m0, g.inputs, n0, g.samples * elements, 0, g.filters * taps,
                         column_of, step_of, put);
        });
    }
}

// ------------------------------------------------------------------------------------------------
// Gradient of the weights: rows are filters, columns taps of all channels, steps output positions

// partial: gw of each chunk. A block owns tiles of one chunk. Moves what a product does: m
// filters, n taps of all channels, k positions of the chunk.
KERNEL(conv_bwd_w)(const T* x, const T* gy, acc_t* partial, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), taps = g.taps();
    const long long width = g.inputs * taps, depth = g.samples * pixels;
    const long long chunk = blockIdx.y, chunks = gridDim.y;
    acc_t* gw = partial + chunk * g.groups * g.filters * width;
    each_tile(g.groups, g.filters, width, [&](long long group, long long m0, long long n0) {
        const Operands operands = {gy, pixels, x, {g.size[0], g.size[1], g.size[2]}};
        const auto column_of = [&](long long n) {
            const Place tap = place_in(g.kernel, n % taps);
            const Place in = {n / taps * volume, int(tap.z * g.dilation[0] - g.padding[0]),
                              int(tap.y * g.dilation[1] - g.padding[1]),
                              int(tap.x * g.dilation[2] - g.padding[2])};
            return Column{in, group * g.filters * width + n};
        };
        const auto step_of = [&](long long k) {
            const long long part = k / pixels * g.groups + group, pixel = k % pixels;
            const Place out = place_in(g.out, pixel);
            const Place in = {part * g.inputs * volume, int(out.z * g.stride[0]),
                              int(out.y * g.stride[1]), int(out.x * g.stride[2])};
            return Step{in, part * g.filters * pixels + pixel};
        };
        const auto put = [&](long long m, const Column& column, acc_t sum) {
            gw[column.result + m * width] = sum;
        };
        product_tile(operands, m0, g.filters, n0, width, depth * chunk / chunks,
                     depth * (chunk + 1) / chunks, column_of, step_of, put);
    });
}

// gw (n,) = the sum of partial (chunks, n), chunk by chunk. A thread owns elements of gw. Moves
// one acc_t an element of partial, s an element of gw.
KERNEL(conv_bwd_w_finish)(const acc_t* partial, T* gw, long long chunks, long long n) {
    GRID_STRIDE(i, n) {
        acc_t sum = 0;
        for (long long chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * n + i];
        gw[i] = T(sum);
    }
}

// ------------------------------------------------------------------------------------------------
// Patches: columns[c, tap, position] is what a tap meets in channel c, 0 beside it; and back

// columns of x. A thread owns a position of a channel, for all taps. Moves 2 s an element of
// columns.
KERNEL(im2col)(const T* x, T* columns, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), taps = g.taps();
    const Operands operands = {nullptr, 0, x, {g.size[0], g.size[1], g.size[2]}};
    GRID_WALK(at, g.samples * g.groups * g.inputs, g.out[0], g.out[1], g.out[2]) {
        T* to = columns + at.volume * (taps - 1) * pixels + at.k;
        const Place first = {at.volume * volume, int(at.z * g.stride[0] - g.padding[0]),
                             int(at.y * g.stride[1] - g.padding[1]),
                             int(at.x * g.stride[2] - g.padding[2])};
        Place in = first;
        for (long long z = 0; z < g.kernel[0]; ++z, in.z += int(g.dilation[0])) {
            in.y = first.y;
            for (long long y = 0; y < g.kernel[1]; ++y, in.y += int(g.dilation[1])) {
                in.x = first.x;
                for (long long x = 0; x < g.kernel[2]; ++x, in.x += int(g.dilation[2])) {
                    *to = T(operands.at(in));
                    to += pixels;
                }
            }
        }
    }
}

// The output elements from which the taps of an axis meet an input element: out, where rest is 0.
// From tap to tap out and rest count down, so that the element is divided by the stride only once.
struct Meeting {
    int outs, stride, whole, part;  // the dilation is whole * stride + part
    int out, rest;                  // in + padding - tap * dilation is out * stride + rest

    __device__ Meeting(const Geometry& g, int axis, int in)
        : outs(int(g.out[axis])), stride(int(g.stride[axis])),
          whole(int(g.dilation[axis]) / stride), part(int(g.dilation[axis]) % stride),
          out(int(in + g.padding[axis]) / stride), rest(int(in + g.padding[axis]) % stride) {}

    __device__ bool exists() const { return rest == 0 && 0 <= out && out < outs; }

    __device__ void next_tap() {
        rest -= part;
        out -= whole + (rest < 0);
        rest += rest < 0 ? stride : 0;
    }
};

// x: the sum of the columns that im2col takes from each element. A thread owns elements of x.
// Moves s an element of columns and of x.
KERNEL(col2im)(const T* columns, T* x, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long pixels = g.pixels(), taps = g.taps();
    GRID_WALK(at, g.samples * g.groups * g.inputs, g.size[0], g.size[1], g.size[2]) {
        const Meeting first_y(g, 1, at.y), first_x(g, 2, at.x);
        const T* from = columns + at.volume * taps * pixels;
        acc_t sum = 0;
        Meeting z(g, 0, at.z);
        for (long long kz = 0; kz < g.kernel[0]; ++kz, z.next_tap()) {
            Meeting y = first_y;
            for (long long ky = 0; ky < g.kernel[1]; ++ky, y.next_tap()) {
                const long long row = (z.out * g.out[1] + y.out) * g.out[2];
                Meeting x = first_x;
                for (long long kx = 0; kx < g.kernel[2]; ++kx, x.next_tap()) {
                    if (z.exists() && y.exists() && x.exists()) sum += acc_t(from[row + x.out]);
                    from += pixels;
                }
            }
        }
        x[at.k] = T(sum);
    }
}
