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
//     own        like inside, of windows that do not overlap: from each to the next
//     dilation   how far apart the elements of a window are, in z, y and x
//
// No array may overlap another. Backward passes gather: each element of gx adds up what comes to
// it, window by window in order, so there are no atomics and the same bits at any launch.
//
// Where no windows overlap, each writes what lies between it and the next (max_pool_bwd_apart,
// avg_pool_bwd_apart): it reads once what the elements of gx would look for one by one.
//
// Each thread owns the elements of y (forward) or gx (backward) that GRID_WALK hands it, or all of
// gx that is its window's.
// Legal launches: any number of blocks; as many threads as the device holds at once is best.
// Bytes moved per element of s bytes: each kernel says it. Windows that overlap read from the
// caches.
//
// Twins: gpunet/backend/cpu/pooling.py.

// Along one axis: positions from `first` up to `end`.
struct Range {
    int first, end;

    __device__ bool has(int i) const { return first <= i && i < end; }
};

// The ranges of a place in a table of three axes of so many entries.
struct Box {
    Range z, y, x;

    __device__ Box(const long long* table, const Walk& at) {
        const long long* end = table + at.depth + at.height + at.width;
        const long long j = at.depth + at.y, i = at.depth + at.height + at.x;
        z = {int(table[at.z]), int(end[at.z])};
        y = {int(table[j]), int(end[j])};
        x = {int(table[i]), int(end[i])};
    }
};

// y and index: the largest element of each window. A thread owns elements of y. Moves s an element
// of x, s + 8 an element of y.
KERNEL(max_pool_fwd)(const T* x, T* y, long long* index, const long long* inside, long long planes,
                     long long depth, long long height, long long width, long long out_depth,
                     long long out_height, long long out_width, long long dilation_z,
                     long long dilation_y, long long dilation_x) {
    GRID_WALK(at, planes, out_depth, out_height, out_width) {
        const Box box(inside, at);
        const T* plane = x + at.volume * depth * height * width;
        const acc_t zero = 0;
        acc_t best = -1 / zero;
        long long where = -1;
        for (long long iz = box.z.first; iz < box.z.end; iz += dilation_z)
            for (long long iy = box.y.first; iy < box.y.end; iy += dilation_y) {
                const long long row = (iz * height + iy) * width;
                for (long long ix = box.x.first; ix < box.x.end; ix += dilation_x) {
                    const acc_t value = acc_t(plane[row + ix]);
                    // Of ties the first, of NaNs the last.
                    if (where < 0 || value > best || value != value) {
                        best = value;
                        where = row + ix;
                    }
                }
            }
        y[at.k] = T(best);
        index[at.k] = where;
    }
}

// gx: gy of the windows whose largest element this is. A thread owns elements of gx. Moves s an
// element of gx, s + 8 an element of gy.
KERNEL(max_pool_bwd)(const T* gy, const long long* index, T* gx, const long long* covering,
                     long long planes, long long depth, long long height, long long width,
                     long long out_depth, long long out_height, long long out_width) {
    GRID_WALK(at, planes, depth, height, width) {
        const Box box(covering, at);
        const long long plane = at.volume * out_depth * out_height * out_width;
        const long long here = (at.z * height + at.y) * width + at.x;
        acc_t total = 0;
        for (int oz = box.z.first; oz < box.z.end; ++oz)
            for (int oy = box.y.first; oy < box.y.end; ++oy) {
                const long long row = plane + (oz * out_height + oy) * out_width;
                for (int ox = box.x.first; ox < box.x.end; ++ox)
                    if (index[row + ox] == here) total += acc_t(gy[row + ox]);
            }
        gx[at.k] = T(total);
    }
}

// gx of windows that do not overlap. A thread owns the elements of gx that its window has or is
// followed by. Moves s an element of gx, s + 8 an element of gy.
KERNEL(max_pool_bwd_apart)(const T* gy, const long long* index, T* gx, const long long* own,
                           long long planes, long long depth, long long height, long long width,
                           long long out_depth, long long out_height, long long out_width) {
    GRID_WALK(at, planes, out_depth, out_height, out_width) {
        const Box box(own, at);
        T* plane = gx + at.volume * depth * height * width;
        const T g = gy[at.k], zero = T(acc_t(0));
        const long long where = index[at.k];
        for (int iz = box.z.first; iz < box.z.end; ++iz)
            for (int iy = box.y.first; iy < box.y.end; ++iy) {
                const long long row = (iz * height + iy) * width;
                for (int ix = box.x.first; ix < box.x.end; ++ix)
                    plane[row + ix] = row + ix == where ? g : zero;
            }
    }
}

// What divides the sum of a window.
__device__ acc_t divided_by(const long long* lengths, const Walk& at, long long divisor) {
    const long long rows = lengths[at.z] * lengths[at.depth + at.y];
    return acc_t(divisor ? divisor : rows * lengths[at.depth + at.height + at.x]);
}

// y: the mean of each window. A thread owns elements of y. Moves s an element of x and of y.
KERNEL(avg_pool_fwd)(const T* x, T* y, const long long* inside, const long long* lengths,
                     long long planes, long long depth, long long height, long long width,
                     long long out_depth, long long out_height, long long out_width,
                     long long divisor) {
    GRID_WALK(at, planes, out_depth, out_height, out_width) {
        const Box box(inside, at);
        const T* plane = x + at.volume * depth * height * width;
        acc_t total = 0;
        for (int iz = box.z.first; iz < box.z.end; ++iz)
            for (int iy = box.y.first; iy < box.y.end; ++iy) {
                const long long row = (iz * height + iy) * width;
                for (int ix = box.x.first; ix < box.x.end; ++ix) total += acc_t(plane[row + ix]);
            }
        y[at.k] = T(total / divided_by(lengths, at, divisor));
    }
}

// gx: the shares in gy of the windows around an element. A thread owns elements of gx. Moves s an
// element of gx and of gy.
KERNEL(avg_pool_bwd)(const T* gy, T* gx, const long long* covering, const long long* lengths,
                     long long planes, long long depth, long long height, long long width,
                     long long out_depth, long long out_height, long long out_width,
                     long long divisor) {
    GRID_WALK(at, planes, depth, height, width) {
        const Box box(covering, at);
        const T* plane = gy + at.volume * out_depth * out_height * out_width;
        acc_t total = 0;
        for (int oz = box.z.first; oz < box.z.end; ++oz)
            for (int oy = box.y.first; oy < box.y.end; ++oy) {
                const long long rows = lengths[oz] * lengths[out_depth + oy];
                const T* row = plane + (oz * out_height + oy) * out_width;
                for (int ox = box.x.first; ox < box.x.end; ++ox) {
                    const long long all = rows * lengths[out_depth + out_height + ox];
                    total += acc_t(row[ox]) / acc_t(divisor ? divisor : all);
                }
            }
        gx[at.k] = T(total);
    }
}

// gx of windows that do not overlap. A thread owns the elements of gx that its window has or is
// followed by. Moves s an element of gx and of gy.
KERNEL(avg_pool_bwd_apart)(const T* gy, T* gx, const long long* own, const long long* inside,
                           const long long* lengths, long long planes, long long depth,
                           long long height, long long width, long long out_depth,
                           long long out_height, long long out_width, long long divisor) {
    GRID_WALK(at, planes, out_depth, out_height, out_width) {
        const Box box(own, at), window(inside, at);
        T* plane = gx + at.volume * depth * height * width;
        const T share = T(acc_t(gy[at.k]) / divided_by(lengths, at, divisor));
        const T zero = T(acc_t(0));
        for (int iz = box.z.first; iz < box.z.end; ++iz)
            for (int iy = box.y.first; iy < box.y.end; ++iy) {
                const bool meets = window.z.has(iz) && window.y.has(iy);
                T* row = plane + (iz * height + iy) * width;
                for (int ix = box.x.first; ix < box.x.end; ++ix)
                    row[ix] = meets && window.x.has(ix) ? share : zero;
            }
    }
}
