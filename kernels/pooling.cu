// The largest element of each window, and the mean: pooling, forward and backward.
//
//     x, gx      (planes, depth, height, width): axes that a picture does not have are 1 long
//     y, gy      (planes, out_depth, out_height, out_width), an element for each window
//     index      like y: where in its plane the largest element is; -1 for a window without any
//     inside     (2, W), W = out_depth + out_height + out_width: the first element of each window
//                along each axis, one axis after another, then the end of each
//     covering   (2, depth + height + width): the first window that may reach each element, and the
//                one after the last, likewise
//     lengths    (W,): what each window counts along its axis; the product of three divides the
//                sum, or `divisor` if it is not 0
//     dilation   how far apart the elements of a window are, in z, y and x
//
// No array may overlap another. Backward passes gather: each element of gx adds up what comes to
// it, window by window in order, so there are no atomics and the same bits at any launch.
//
// Each thread owns the elements of y (forward) or gx (backward) that GRID_STRIDE hands it.
// Legal launches: any number of blocks; as many threads as the device holds at once is best.
// Bytes moved per element of s bytes: each kernel says it. Windows that overlap read from the
// caches.
//
// Twins: gpunet/backend/cpu/pooling.py.

// Along one axis: positions from `first` up to `end`.
struct Range {
    long long first, end;
};

// Where element k of an array of planes lies.
struct Place {
    long long x, y, z, plane;

    __device__ Place(long long k, long long depth, long long height, long long width) {
        x = k % width;
        k /= width;
        y = k % height;
        k /= height;
        z = k % depth;
        plane = k / depth;
    }
};

// The ranges of a place in a table of three axes of so many entries.
struct Box {
    Range z, y, x;

    __device__ Box(const long long* table, const Place& at, long long depth, long long height,
                   long long width) {
        const long long* end = table + depth + height + width;
        const long long j = depth + at.y, i = depth + height + at.x;
        z = {table[at.z], end[at.z]};
        y = {table[j], end[j]};
        x = {table[i], end[i]};
    }
};

// y and index: the largest element of each window. A thread owns elements of y. Moves s an element
// of x, s + 8 an element of y.
KERNEL(max_pool_fwd)(const T* x, T* y, long long* index, const long long* inside, long long planes,
                     long long depth, long long height, long long width, long long out_depth,
                     long long out_height, long long out_width, long long dilation_z,
                     long long dilation_y, long long dilation_x) {
    GRID_STRIDE(k, planes * out_depth * out_height * out_width) {
        const Place at(k, out_depth, out_height, out_width);
        const Box box(inside, at, out_depth, out_height, out_width);
        const T* plane = x + at.plane * depth * height * width;
        const acc_t zero = 0;
        acc_t best = -1 / zero;
        long long where = -1;
        for (long long iz = box.z.first; iz < box.z.end; iz += dilation_z)
            for (long long iy = box.y.first; iy < box.y.end; iy += dilation_y)
                for (long long ix = box.x.first; ix < box.x.end; ix += dilation_x) {
                    const long long i = (iz * height + iy) * width + ix;
                    const acc_t value = acc_t(plane[i]);
                    // Of ties the first, of NaNs the last.
                    if (where < 0 || value > best || value != value) {
                        best = value;
                        where = i;
                    }
                }
        y[k] = T(best);
        index[k] = where;
    }
}

// gx: gy of the windows whose largest element this is. A thread owns elements of gx. Moves s an
// element of gx, s + 8 an element of gy.
KERNEL(max_pool_bwd)(const T* gy, const long long* index, T* gx, const long long* covering,
                     long long planes, long long depth, long long height, long long width,
                     long long out_depth, long long out_height, long long out_width) {
    GRID_STRIDE(k, planes * depth * height * width) {
        const Place at(k, depth, height, width);
        const Box box(covering, at, depth, height, width);
        const long long plane = at.plane * out_depth * out_height * out_width;
        const long long here = (at.z * height + at.y) * width + at.x;
        acc_t total = 0;
        for (long long oz = box.z.first; oz < box.z.end; ++oz)
            for (long long oy = box.y.first; oy < box.y.end; ++oy)
                for (long long ox = box.x.first; ox < box.x.end; ++ox) {
                    const long long o = plane + (oz * out_height + oy) * out_width + ox;
                    if (index[o] == here) total += acc_t(gy[o]);
                }
        gx[k] = T(total);
    }
}

// y: the mean of each window. A thread owns elements of y. Moves s an element of x and of y.
KERNEL(avg_pool_fwd)(const T* x, T* y, const long long* inside, const long long* lengths,
                     long long planes, long long depth, long long height, long long width,
                     long long out_depth, long long out_height, long long out_width,
                     long long divisor) {
    GRID_STRIDE(k, planes * out_depth * out_height * out_width) {
        const Place at(k, out_depth, out_height, out_width);
        const Box box(inside, at, out_depth, out_height, out_width);
        const T* plane = x + at.plane * depth * height * width;
        acc_t total = 0;
        for (long long iz = box.z.first; iz < box.z.end; ++iz)
            for (long long iy = box.y.first; iy < box.y.end; ++iy)
                for (long long ix = box.x.first; ix < box.x.end; ++ix)
                    total += acc_t(plane[(iz * height + iy) * width + ix]);
        const long long rows = lengths[at.z] * lengths[out_depth + at.y];
        const long long all = rows * lengths[out_depth + out_height + at.x];
        y[k] = T(total / acc_t(divisor ? divisor : all));
    }
}

// gx: the shares in gy of the windows around an element. A thread owns elements of gx. Moves s an
// element of gx and of gy.
KERNEL(avg_pool_bwd)(const T* gy, T* gx, const long long* covering, const long long* lengths,
                     long long planes, long long depth, long long height, long long width,
                     long long out_depth, long long out_height, long long out_width,
                     long long divisor) {
    GRID_STRIDE(k, planes * depth * height * width) {
        const Place at(k, depth, height, width);
        const Box box(covering, at, depth, height, width);
        const T* plane = gy + at.plane * out_depth * out_height * out_width;
        acc_t total = 0;
        for (long long oz = box.z.first; oz < box.z.end; ++oz)
            for (long long oy = box.y.first; oy < box.y.end; ++oy)
                for (long long ox = box.x.first; ox < box.x.end; ++ox) {
                    const long long rows = lengths[oz] * lengths[out_depth + oy];
                    const long long all = rows * lengths[out_depth + out_height + ox];
                    const acc_t g = acc_t(plane[(oz * out_height + oy) * out_width + ox]);
                    total += g / acc_t(divisor ? divisor : all);
                }
        gx[k] = T(total);
    }
}
