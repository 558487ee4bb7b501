// Sums over all axes but the last: the gradient of a bias.
//
//     total[j] = sum over i of x[i, j]
//
// Two launches, because one block for 32 columns would leave most of the device idle:
//     column_sum           x (rows, columns) -> partial (chunks, columns), chunks of whole rows
//     column_sum_finish    partial (chunks, columns) -> total (columns,)
// partial is acc_t also where T is a half type. No array may overlap another; rows may be 0.
//
// A block owns 32 neighbouring columns (blockIdx.x) of one chunk (blockIdx.y, in the first launch):
// its warps take every warps()-th row, a lane a column, and then the warps' sums are added, first
// to last. So the order of every addition follows from the launch alone: same launch, same bits.
// Legal launches: ceil(columns / 32) x chunks blocks, then ceil(columns / 32) x 1.
// Bytes moved per element of s bytes: s, which is the least there is; the partial sums are few.
//
// Twin: gpunet/backend/cpu/reduction.py.

// Runs the statement for this lane's column, if there is one: the last block may stick out.
#define LANE_COLUMN(j, columns) \
    if (const long long j = blockIdx.x * (long long)WARP + lane(); j < (columns))

template <typename In, typename Out>
__device__ void sum_rows(const In* x, Out* total, long long first, long long last,
                         long long columns) {
    __shared__ acc_t partial[MAX_WARPS][WARP];
    LANE_COLUMN(j, columns) {
        acc_t sum = 0;
        for (long long i = first + warp(); i < last; i += warps())
            sum += acc_t(x[i * columns + j]);
        partial[warp()][lane()] = sum;
    }
    __syncthreads();
    if (warp() == 0) {
        LANE_COLUMN(j, columns) {
            acc_t sum = partial[0][lane()];
            for (int w = 1; w < warps(); ++w) sum += partial[w][lane()];
            total[j] = Out(sum);
        }
    }
}

// partial[c, j] = the sum of x[i, j] over the rows i of chunk c: chunks of equal length, to one
// row, and in order, so that chunk c ends where chunk c + 1 begins. A block owns 32 columns of one
// chunk. Moves s an element of x.
KERNEL(column_sum)(const T* __restrict__ x, acc_t* __restrict__ partial, long long rows,
                   long long columns) {
    const long long chunk = blockIdx.y, chunks = gridDim.y;
    const long long first = rows * chunk / chunks, last = rows * (chunk + 1) / chunks;
    sum_rows(x, partial + chunk * columns, first, last, columns);
}

// total[j] = the sum of partial[c, j] over all chunks c. A block owns 32 columns. Moves one acc_t
// an element of partial.
KERNEL(column_sum_finish)(const acc_t* __restrict__ partial, T* __restrict__ total,
                          long long chunks, long long columns) {
    sum_rows(partial, total, 0, chunks, columns);
}
