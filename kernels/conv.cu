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

// Volumes with zeros around them; the offset of a place is where its volume begins.
struct Padded {
    const T* from;
    long long size[3];

    __device__ T at(const Place& p) const {
        const bool inside = 0 <= p.z && p.z < size[0] && 0 <= p.y && p.y < size[1] && 0 <= p.x &&
                            p.x < size[2];
        return inside ? from[p.offset + (p.z * size[1] + p.y) * size[2] + p.x] : T(0.0f);
    }
};

// columns of x. A thread owns a position of a channel, for all taps. Moves 2 s an element of
// columns.
KERNEL(im2col)(const T* x, T* columns, const Geometry* geometry) {
    const Geometry g = *geometry;
    const long long volume = g.volume(), pixels = g.pixels(), taps = g.taps();
    const Padded padded = {x, {g.size[0], g.size[1], g.size[2]}};
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
                    *to = padded.at(in);
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
