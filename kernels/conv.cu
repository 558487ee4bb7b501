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
// The products of the convolutions are in conv_product.cu, the patches here.
//
// Legal launches: any.
// Bytes moved per element of s bytes: each kernel says it.
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
// Patches: columns[c, tap, position] is what a tap meets in channel c, 0 beside it; and back

// columns of x. A thread owns elements of columns. Moves 2 s an element of columns.
KERNEL(im2col)(const T* x, T* columns, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), taps = g.taps();
    GRID_STRIDE(i, g.samples * g.groups * g.inputs * taps * pixels) {
        const Place out = place_in(g.out, i % pixels);
        const Place tap = place_in(g.kernel, i / pixels % taps);
        const Place in = {i / (pixels * taps) * volume,
                          int(out.z * g.stride[0] + tap.z * g.dilation[0] - g.padding[0]),
                          int(out.y * g.stride[1] + tap.y * g.dilation[1] - g.padding[1]),
                          int(out.x * g.stride[2] + tap.x * g.dilation[2] - g.padding[2])};
        const bool inside = 0 <= in.z && in.z < g.size[0] && 0 <= in.y && in.y < g.size[1] &&
                            0 <= in.x && in.x < g.size[2];
        columns[i] = inside ? x[in.offset + (in.z * g.size[1] + in.y) * g.size[2] + in.x] : T(0.0f);
    }
}

// The output element from which a tap meets an input element along an axis, -1 if none does.
__device__ long long meeting(const Geometry& g, int axis, long long in, long long tap) {
    const long long ahead = in + g.padding[axis] - tap * g.dilation[axis];
    const long long out = ahead / g.stride[axis];
    return ahead >= 0 && ahead % g.stride[axis] == 0 && out < g.out[axis] ? out : -1;
}

// x: the sum of the columns that im2col takes from each element. A thread owns elements of x.
// Moves s an element of columns and of x.
KERNEL(col2im)(const T* columns, T* x, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), taps = g.taps();
    GRID_STRIDE(i, g.samples * g.groups * g.inputs * volume) {
        const Place in = place_in(g.size, i % volume);
        const T* from = columns + i / volume * taps * pixels;
        acc_t sum = 0;
        for (long long tap = 0; tap < taps; ++tap) {
            const Place k = place_in(g.kernel, tap);
            const long long z = meeting(g, 0, in.z, k.z), y = meeting(g, 1, in.y, k.y);
            const long long column = meeting(g, 2, in.x, k.x);
            if (z >= 0 && y >= 0 && column >= 0)
                sum += acc_t(from[tap * pixels + (z * g.out[1] + y) * g.out[2] + column]);
        }
        x[i] = T(sum);
    }
}
