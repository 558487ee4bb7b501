// Convolutions and their gradients, as products. This file is compiled behind conv.cu, which says
// what x, w, y, bias and geometry are (gx, gw and gy are gradients, like x, w and y), and behind
// conv_block.cu. What is written overlaps nothing else.
//
// All three are matrix products, one operand of which is gathered from where it lies: the matrix of
// columns is never written. A block owns one tile of 64 x 64 elements of the result at a time, and
// takes 16 steps of the sum at a time into shared memory, while it computes with the 16 before. The
// gradient of the input has a product for each of its phases (blockIdx.y), the elements that the
// same taps reach, so no step is a multiplication by a zero between strides. The gradient of the
// weights sums over samples and positions, in chunks (blockIdx.y): conv_bwd_w writes partial
// (chunks, *w.shape), in acc_t, and conv_bwd_w_finish adds the chunks up in order.
//
// Legal launches: for the products any number of blocks of 256 threads, best one a tile; for
// conv_bwd_x a multiple of them in y, best one a phase; for conv_bwd_w one in y a chunk. Any for
// conv_bwd_w_finish.
// Bytes moved per element of s bytes: each kernel says it. A product of m x n elements over k steps
// reads s k (ceil(m / 64) n + ceil(n / 64) m), mostly from the caches, and writes s m n.
//
// Twins: gpunet/backend/cpu/conv.py.

// The geometry, where it takes no registers of the loops that need others. To be called by the
// whole block.
__device__ void share(Geometry& g, const Geometry* geometry) {
    if (threadIdx.x == 0) g = *geometry;
    __syncthreads();
}

// What moving by (z, y, x) in a volume of this shape adds to a place.
__device__ Place moved(const long long* shape, long long offset, long long z, long long y,
                       long long x) {
    return {offset + (z * shape[1] + y) * shape[2] + x, int(z), int(y), int(x)};
}

// ------------------------------------------------------------------------------------------------
// Forward: rows are filters, columns output positions, steps taps of all channels

// y = x * w + bias. A block owns tiles of y. Moves what a product does: m filters, n positions of
// all samples, k taps of all channels.
KERNEL(conv_fwd)(const T* x, const T* w, const T* bias, T* y, const Geometry* geometry) {
    __shared__ Geometry g;
    share(g, geometry);
    const long long pixels = g.pixels(), depth = g.inputs * g.taps();
    each_tile(g.groups, g.filters, g.samples * pixels, [&](long long group, long long m0,
                                                           long long n0) {
        const Operands operands = {w + group * g.filters * depth, depth, x,
                                   {int(g.size[0]), int(g.size[1]), int(g.size[2])}};
        const auto column_of = [&](long long n) {
            const long long part = n / pixels * g.groups + group, pixel = n % pixels;
            const Place out = place_in(g.out, pixel);
            const Place in = moved(g.size, part * g.inputs * g.volume(),
                                   out.z * g.stride[0] - g.padding[0],
                                   out.y * g.stride[1] - g.padding[1],
                                   out.x * g.stride[2] - g.padding[2]);
            return Column{in, part * g.filters * pixels + pixel};
        };
        const auto step_of = [&](long long k, const Digits& tap) {  // rest: the channel
            const Place in = moved(g.size, tap.rest * g.volume(), tap.z * g.dilation[0],
                                   tap.y * g.dilation[1], tap.x * g.dilation[2]);
            return Step{in, k};
        };
        const auto put = [&](long long m, long long result, acc_t sum) {
            const acc_t shift = bias ? acc_t(bias[group * g.filters + m]) : 0;
            y[result + m * pixels] = T(sum + shift);
        };
        product_tile<false>(operands, m0, g.filters, n0, g.samples * pixels, 0, depth, g.kernel,
                            column_of, step_of, put);
    });
}

// ------------------------------------------------------------------------------------------------
// Gradient of the input: rows are its channels, columns its positions of one phase, steps the taps
// that reach them, of all filters

// Along one axis: the phase of the elements first + stride j, and the taps tap + step i, i < taps,
// which reach them from the output element j + ahead - apart i.
struct Phase {
    long long first, length, tap, step, taps, ahead, apart;
};

__device__ Phase phase_from(const Geometry& g, int axis, long long first) {
    const long long s = g.stride[axis], d = g.dilation[axis], kernel = g.kernel[axis];
    const long long shift = first + g.padding[axis];
    long long tap = 0, step = 1;
    while (tap < kernel && (shift - tap * d) % s != 0) ++tap;
    while (step * d % s != 0) ++step;
    const long long length = first < g.size[axis] ? (g.size[axis] - first - 1) / s + 1 : 0;
    const long long taps = tap < kernel ? (kernel - tap - 1) / step + 1 : 0;
    return {first, length, tap, step, taps, (shift - tap * d) / s, step * d / s};
}

// gx: what x adds to y, turned round; with bias the transposed convolution, of which it is y. A
// block owns tiles of one phase of gx. Moves what a product does: m channels, n positions of the
// phase, k its taps of all filters.
KERNEL(conv_bwd_x)(const T* gy, const T* w, const T* bias, T* gx, const Geometry* geometry) {
    __shared__ Geometry g;
    __shared__ Phase z, y, x;
    __shared__ long long lengths[3], counts[3];
    share(g, geometry);
    const long long phases = g.stride[0] * g.stride[1] * g.stride[2];
    for (long long phase = blockIdx.y; phase < phases; phase += gridDim.y) {
        __syncthreads();  // the phase before may still be read
        if (threadIdx.x < 3) {
            const int axis = threadIdx.x;
            const Place first = place_in(g.stride, phase);
            Phase& here = axis == 0 ? z : axis == 1 ? y : x;
            here = phase_from(g, axis, axis == 0 ? first.z : axis == 1 ? first.y : first.x);
            lengths[axis] = here.length;
            counts[axis] = here.taps;
        }
        __syncthreads();
        const long long elements = lengths[0] * lengths[1] * lengths[2];
        const long long taps = counts[0] * counts[1] * counts[2], all_taps = g.taps();
        each_tile(g.groups, g.inputs, g.samples * elements, [&](long long group, long long m0,
                                                                long long n0) {
            const Operands operands = {w + group * g.filters * g.inputs * all_taps, all_taps, gy,
                                       {int(g.out[0]), int(g.out[1]), int(g.out[2])}};
            const auto column_of = [&](long long n) {
                const long long part = n / elements * g.groups + group;
                const Place j = place_in(lengths, n % elements);
                const Place out = moved(g.out, part * g.filters * g.pixels(), j.z + z.ahead,
                                        j.y + y.ahead, j.x + x.ahead);
                const Place in = moved(g.size, part * g.inputs * g.volume(),
                                       z.first + j.z * g.stride[0], y.first + j.y * g.stride[1],
                                       x.first + j.x * g.stride[2]);
                return Column{out, in.offset};
            };
            const auto step_of = [&](long long, const Digits& i) {  // rest: the filter
                const Place out = moved(g.out, i.rest * g.pixels(), -i.z * z.apart,
                                        -i.y * y.apart, -i.x * x.apart);
                const Place tap = moved(g.kernel, i.rest * g.inputs * all_taps,
                                        z.tap + i.z * z.step, y.tap + i.y * y.step,
                                        x.tap + i.x * x.step);
                return Step{out, tap.offset};
            };
            const auto put = [&](long long m, long long result, acc_t sum) {
                const acc_t shift = bias ? acc_t(bias[group * g.inputs + m]) : 0;
                gx[result + m * g.volume()] = T(sum + shift);
            };
            product_tile<false>(operands, m0, g.inputs, n0, g.samples * elements, 0,
                                g.filters * taps, counts, column_of, step_of, put);
        });
    }
}

// ------------------------------------------------------------------------------------------------
// Gradient of the weights: rows are filters, columns taps of all channels, steps output positions

// partial: gw of each chunk. A block owns tiles of one chunk. Moves what a product does: m
// filters, n taps of all channels, k positions of the chunk.
KERNEL(conv_bwd_w)(const T* x, const T* gy, acc_t* partial, const Geometry* geometry) {
    __shared__ Geometry g;
    share(g, geometry);
    const long long taps = g.taps(), width = g.inputs * taps, depth = g.samples * g.pixels();
    const long long chunk = blockIdx.y, chunks = gridDim.y;
    acc_t* gw = partial + chunk * g.groups * g.filters * width;
    each_tile(g.groups, g.filters, width, [&](long long group, long long m0, long long n0) {
        const Operands operands = {gy, g.pixels(), x,
                                   {int(g.size[0]), int(g.size[1]), int(g.size[2])}};
        const auto column_of = [&](long long n) {
            const Place tap = place_in(g.kernel, n % taps);
            const Place in = moved(g.size, n / taps * g.volume(),
                                   tap.z * g.dilation[0] - g.padding[0],
                                   tap.y * g.dilation[1] - g.padding[1],
                                   tap.x * g.dilation[2] - g.padding[2]);
            return Column{in, group * g.filters * width + n};
        };
        const auto step_of = [&](long long, const Digits& out) {  // rest: the sample
            const long long part = out.rest * g.groups + group;
            const Place in = moved(g.size, part * g.inputs * g.volume(), out.z * g.stride[0],
                                   out.y * g.stride[1], out.x * g.stride[2]);
            const Place from = moved(g.out, part * g.filters * g.pixels(), out.z, out.y, out.x);
            return Step{in, from.offset};
        };
        const auto put = [&](long long m, long long result, acc_t sum) {
            gw[result + m * width] = sum;
        };
        product_tile<true>(operands, m0, g.filters, n0, width, depth * chunk / chunks,
                           depth * (chunk + 1) / chunks, g.out, column_of, step_of, put);
    });
}

// gw (n,) = the sum of partial (chunks, n), chunk by chunk. A thread owns elements of gw. Moves
// one acc_t an element of partial, s an element of gw.
KERNEL(conv_bwd_w_finish)(const acc_t* partial, T* gw, long long chunks, long long n) {
    GRID_STRIDE(i, n) {
        acc_t sum = 0;
#pragma unroll 16  // there may be few threads and many chunks
        for (long long chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * n + i];
        gw[i] = T(sum);
    }
}
