// Rows looked up in a table, and their gradient.
//
//     embedding_fwd    y[i] = weight[index[i]]
//     embedding_bwd    total[b, r] = the sum of gy[b, i] over all i with index[i] = r, in order
//
//     weight           (rows, columns)
//     y                (n, columns)
//     gy, total        (blocks, n, columns) and (blocks, rows, columns)
//     index            (n,) in [0, rows). Anything else is an error, which a kernel cannot raise:
//                      the row of y becomes NaN, the lowest such i is left in bad_row
//     bad_row          (1,) 2^64 - 1 beforehand, then still, or that i
//     order            (n,) the numbers 0 to n, sorted by index, equal ones in order
//     starts           (rows + 1,) where each row's numbers begin in order
//     embedding_bwd_order  makes both, for few numbers: each is compared with all others
//
// No array may overlap another. The backward pass gathers: it adds up gy along order, so there are
// no atomics on floats, and the order of the additions does not depend on the launch.
//
// Each thread owns the elements of y or total that GRID_STRIDE hands it, 16 bytes of a row where a
// row is a multiple of that: a division takes as long as they do. Neighbours read neighbours.
// Legal launches: any number of blocks; as many threads as the device holds is best.
// Bytes moved per element of s bytes: each kernel says it; the indices are few.
//
// Twins: gpunet/backend/cpu/embedding.py.

// embedding_fwd, N neighbours at a time.
template <int N>
__device__ void looked_up(const T* weight, const long long* index, T* y,
                          unsigned long long* bad_row, long long n, long long rows,
                          long long columns) {
    const long long parts = columns / N;
    GRID_STRIDE(k, n * parts) {
        const long long i = k / parts, part = k - i * parts, row = index[i];
        const bool known = 0 <= row && row < rows;
        if (!known) atomicMin(bad_row, static_cast<unsigned long long>(i));
        Values<N> values = {};
        if (known) values = load<N>(weight + row * columns + N * part);
#pragma unroll
        for (int v = 0; v < N; ++v) values.at[v] = known ? values.at[v] : acc_t(nanf(""));
        store<N>(y + N * k, values);
    }
}

// y[i] = weight[index[i]]. A thread owns elements of y. Moves 2 s an element of y.
KERNEL(embedding_fwd)(const T* weight, const long long* index, T* y, unsigned long long* bad_row,
                      long long n, long long rows, long long columns) {
    if (wide_rows(columns, weight, y))
        looked_up<WIDE>(weight, index, y, bad_row, n, rows, columns);
    else
        looked_up<1>(weight, index, y, bad_row, n, rows, columns);
}

// order and starts. A thread owns numbers, and finds for each how many stand before it; after the
// numbers come the rows. Moves 8 bytes a number and row, and for each all numbers from the cache.
KERNEL(embedding_bwd_order)(const long long* index, long long* order, long long* starts,
                            long long n, long long rows) {
    GRID_STRIDE(k, n + rows + 1) {
        const bool number = k < n;
        const long long row = number ? index[k] : k - n;
        long long before = 0;
        for (long long i = 0; i < n; ++i)
            before += index[i] < row || (number && i < k && index[i] == row);
        if (number)
            order[before] = k;
        else
            starts[row] = before;
    }
}

// embedding_bwd, N neighbours at a time.
template <int N>
__device__ void added_up(const T* gy, const long long* order, const long long* starts, T* total,
                         long long blocks, long long n, long long rows, long long columns) {
    const long long parts = columns / N;
    GRID_STRIDE(k, blocks * rows * parts) {
        const long long line = k / parts, block = line / rows, row = line - block * rows;
        const T* of_block = gy + block * n * columns + N * (k - line * parts);
        const long long end = starts[row + 1];
        Values<N> sums = {};
        for (long long at = starts[row]; at < end; ++at) {
            const Values<N> values = load<N>(of_block + order[at] * columns);
#pragma unroll
            for (int v = 0; v < N; ++v) sums.at[v] += values.at[v];
        }
        store<N>(total + N * k, sums);
    }
}

// total[b, r] = the sum of gy[b, i] over all i with index[i] = r, along order. A thread owns
// elements of total. Moves s an element of gy and of total.
KERNEL(embedding_bwd)(const T* gy, const long long* order, const long long* starts, T* total,
                      long long blocks, long long n, long long rows, long long columns) {
    if (wide_rows(columns, gy, total))
        added_up<WIDE>(gy, order, starts, total, blocks, n, rows, columns);
    else
        added_up<1>(gy, order, starts, total, blocks, n, rows, columns);
}
