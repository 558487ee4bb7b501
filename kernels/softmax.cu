// Softmax, the weights of attention, log-softmax and fused cross entropy over rows, forward and
// backward.
//
//     x, y, p, gy, gx     (rows, columns), columns at least 1; y may be x, gx may be gy, y or p
//     target              (rows,) the class of each row
//     weight              (columns,) the weight of each class, or null: all 1
//
// One block owns one row at a time. Its threads take every blockDim.x-th element, so that
// neighbours read neighbours, and meet in block_sum and block_max. A row comes from memory once;
// what is read again comes from the caches, so a row may have any length.
//
// Legal launches: any number of blocks, but one for cross_entropy_fwd_finish. A block a row, up to
// what the device holds at once, is best, with about as many threads as a row has columns.
// Bytes moved per element of s bytes: each kernel says it, and it is the least there is (with
// weights and targets on top, which are few).
//
// Twins: gpunet/backend/cpu/softmax.py.

// The sum of term(j) over a row's columns; every thread of the block gets it.
template <typename Term>
__device__ acc_t row_sum(long long columns, Term term) {
    acc_t total = 0;
    BLOCK_STRIDE(j, columns) total += term(j);
    return block_sum(total);
}

// A row of scale x with what its softmax needs; the same in every thread of the block.
struct SoftmaxRow {
    const T* x;
    acc_t scale;
    acc_t top;    // the largest element; with it subtracted, no exponential overflows
    acc_t total;  // the sum of e^(scale x - top), which lies between 1 and columns

    __device__ SoftmaxRow(const T* row, long long columns, acc_t scale = 1) : x(row), scale(scale) {
        acc_t largest = scale * acc_t(x[0]);  // there is no -infinity to start from
        BLOCK_STRIDE(j, columns) largest = fmax(largest, scale * acc_t(x[j]));
        top = block_max(largest);
        total = row_sum(columns, [&](long long j) { return exp(shifted(j)); });
    }

    __device__ acc_t shifted(long long j) const { return scale * acc_t(x[j]) - top; }
};

// The gradient of one row of y = softmax(scale x); gx may be gy or y.
__device__ void softmax_gradient(const T* gy, const T* y, T* gx, long long columns, acc_t scale) {
    const acc_t dot = row_sum(columns, [=](long long j) { return acc_t(gy[j]) * acc_t(y[j]); });
    BLOCK_STRIDE(j, columns) {
        const acc_t centred = acc_t(gy[j]) - dot;
        gx[j] = T(scale * acc_t(y[j]) * centred);
    }
}

// ------------------------------------------------------------------------------------------------
// Softmax: y = e^x / sum(e^x),  gx = y (gy - sum(gy y))

// y = e^x / sum(e^x). A block owns a row. Moves 2 s an element.
KERNEL(softmax_fwd)(const T* x, T* y, long long rows, long long columns) {
    BLOCK_PER_ROW(i, rows) {
        T* yi = y + i * columns;
        const SoftmaxRow row(x + i * columns, columns);
        const acc_t scale = 1 / row.total;
        BLOCK_STRIDE(j, columns) yi[j] = T(exp(row.shifted(j)) * scale);
    }
}

// gx = y (gy - sum(gy y)). A block owns a row. Moves 3 s an element.
KERNEL(softmax_bwd)(const T* gy, const T* y, T* gx, long long rows, long long columns) {
    BLOCK_PER_ROW(i, rows) {
        softmax_gradient(gy + i * columns, y + i * columns, gx + i * columns, columns, 1);
    }
}

// ------------------------------------------------------------------------------------------------
// The weights of attention: y = softmax(scale x) over the keys that a query sees and 0 beyond,
// gx = scale y (gy - sum(gy y)). Row i is query i % queries of its matrix, and sees the first
// `first` + i % queries of the columns, which are the keys; first is at least 1.

// y = softmax(scale x) of what a row sees. A block owns a row. Moves 2 s an element.
KERNEL(weights_fwd)(const T* x, T* y, long long rows, long long columns, long long queries,
                    long long first, acc_t scale) {
    BLOCK_PER_ROW(i, rows) {
        T* yi = y + i * columns;
        const long long reach = first + i % queries, seen = reach < columns ? reach : columns;
        const SoftmaxRow row(x + i * columns, seen, scale);
        const acc_t share = 1 / row.total;
        BLOCK_STRIDE(j, columns) yi[j] = T(j < seen ? exp(row.shifted(j)) * share : 0);
    }
}

// gx = scale y (gy - sum(gy y)). A block owns a row. Moves 3 s an element.
KERNEL(weights_bwd)(const T* gy, const T* y, T* gx, long long rows, long long columns,
                    acc_t scale) {
    BLOCK_PER_ROW(i, rows) {
        softmax_gradient(gy + i * columns, y + i * columns, gx + i * columns, columns, scale);
    }
}

// ------------------------------------------------------------------------------------------------
// Log-softmax: y = x - log(sum(e^x)),  gx = gy - e^y sum(gy)

// y = x - log(sum(e^x)). A block owns a row. Moves 2 s an element.
KERNEL(log_softmax_fwd)(const T* x, T* y, long long rows, long long columns) {
    BLOCK_PER_ROW(i, rows) {
        T* yi = y + i * columns;
        const SoftmaxRow row(x + i * columns, columns);
        const acc_t log_total = log(row.total);
        // First x - top, exact near the top; top + log(total) would be rounded at the size of x.
        BLOCK_STRIDE(j, columns) yi[j] = T(row.shifted(j) - log_total);
    }
}

// gx = gy - e^y sum(gy). A block owns a row. Moves 3 s an element.
KERNEL(log_softmax_bwd)(const T* gy, const T* y, T* gx, long long rows, long long columns) {
    BLOCK_PER_ROW(i, rows) {
        const T *gyi = gy + i * columns, *yi = y + i * columns;
        T* gxi = gx + i * columns;
        const acc_t total =
            row_sum(columns, [=](long long j) { return acc_t(gyi[j]); });
        BLOCK_STRIDE(j, columns) {
            const acc_t p = exp(acc_t(yi[j]));
            gxi[j] = T(acc_t(gyi[j]) - p * total);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// Cross entropy of softmax(x) and the target t, with label smoothing s over the C classes:
//
//     loss = -(1 - s) w[t] log p[t]  -  s/C sum_j w[j] log p[j],      p = softmax(x)
//     gx   = g (((1 - s) w[t] + s/C sum(w)) p  -  s/C w  -  (1 - s) w[t] onehot(t))
//
// A row whose target is ignore_index has loss 0, weight 0 and gradient 0. Any other target outside
// [0, C) is an error, which a kernel cannot raise: the row's loss and gradient become NaN, and the
// lowest such row is left in bad_row for the host to report.

struct Classes {
    const T* weight;  // or null
    long long count;
    long long ignore_index;

    __device__ bool has(long long label) const { return 0 <= label && label < count; }

    __device__ acc_t weight_of(long long label) const {
        return weight ? acc_t(weight[label]) : 1;
    }

    // What a row counts in the mean.
    __device__ acc_t row_weight(long long label) const {
        return label != ignore_index && has(label) ? weight_of(label) : 0;
    }

    // The sum of all weights; every thread of the block gets it.
    __device__ acc_t total_weight() const {
        const Classes& all = *this;
        return weight ? row_sum(count, [&](long long j) { return all.weight_of(j); }) : count;
    }
};

__device__ void fill_row(T* row, long long columns, acc_t value) {
    BLOCK_STRIDE(j, columns) row[j] = T(value);
}

// The loss of one row, which is in every thread, and its softmax in p.
__device__ acc_t row_loss(const T* x, long long label, const Classes& classes, acc_t smoothing,
                          acc_t all_weights, T* p) {
    const SoftmaxRow row(x, classes.count);
    const acc_t log_total = log(row.total), scale = 1 / row.total;
    acc_t loss = (1 - smoothing) * classes.weight_of(label) * (log_total - row.shifted(label));
    if (smoothing > 0) {
        const acc_t weighted = row_sum(classes.count, [&](long long j) {
            return classes.weight_of(j) * row.shifted(j);
        });
        loss += smoothing / classes.count * (all_weights * log_total - weighted);
    }
    BLOCK_STRIDE(j, classes.count) p[j] = T(exp(row.shifted(j)) * scale);
    return loss;
}

// losses (rows,): of each row.  p (rows, columns): softmax(x), for the backward pass.
// bad_row (1,): 2^64 - 1 beforehand, then still, or the lowest row with an impossible target.
// A block owns a row. Moves 2 s an element.
KERNEL(cross_entropy_fwd)(const T* x, const long long* target, const T* weight, T* losses, T* p,
                          unsigned long long* bad_row, long long rows, long long columns,
                          long long ignore_index, acc_t smoothing) {
    const Classes classes = {weight, columns, ignore_index};
    const acc_t all_weights = smoothing > 0 ? classes.total_weight() : 0;
    BLOCK_PER_ROW(i, rows) {
        const long long label = target[i];
        T* pi = p + i * columns;
        acc_t loss = 0;
        if (label == ignore_index) {
            fill_row(pi, columns, 0);
        } else if (classes.has(label)) {
            loss = row_loss(x + i * columns, label, classes, smoothing, all_weights, pi);
        } else {
            loss = nanf("");
            fill_row(pi, columns, loss);
            if (threadIdx.x == 0) atomicMin(bad_row, static_cast<unsigned long long>(i));
        }
        if (threadIdx.x == 0) losses[i] = T(loss);
    }
}

// The second launch of the forward pass, of one block: totals (3,) are the sum of the losses, the
// sum of the rows' weights, and their ratio, which is the mean loss. The block owns it all. Moves
// s + 8 a row.
KERNEL(cross_entropy_fwd_finish)(const T* losses, const long long* target, const T* weight,
                                 T* totals, long long rows, long long columns,
                                 long long ignore_index) {
    const Classes classes = {weight, columns, ignore_index};
    const acc_t loss = row_sum(rows, [=](long long i) { return acc_t(losses[i]); });
    const acc_t weights =
        row_sum(rows, [&](long long i) { return classes.row_weight(target[i]); });
    if (threadIdx.x == 0) {
        totals[0] = T(loss);
        totals[1] = T(weights);
        totals[2] = T(loss / weights);
    }
}

// gy (rows,): the gradient of each row's loss, or (1,) for all; gy_step is 1 or 0 accordingly.
// A block owns a row. Moves 2 s an element.
KERNEL(cross_entropy_bwd)(const T* gy, const T* p, const long long* target, const T* weight, T* gx,
                          long long rows, long long columns, long long gy_step,
                          long long ignore_index, acc_t smoothing) {
    const Classes classes = {weight, columns, ignore_index};
    const acc_t spread = smoothing / columns;
    const acc_t all_weights = smoothing > 0 ? classes.total_weight() : 0;
    BLOCK_PER_ROW(i, rows) {
        const long long label = target[i];
        const T* pi = p + i * columns;
        T* gxi = gx + i * columns;
        if (label == ignore_index) {
            fill_row(gxi, columns, 0);
            continue;
        }
        const acc_t g = acc_t(gy[i * gy_step]);
        const acc_t label_weight = (1 - smoothing) * classes.row_weight(label);
        const acc_t row_weight = label_weight + spread * all_weights;
        BLOCK_STRIDE(j, columns) {
            const acc_t wanted = spread * classes.weight_of(j) + (j == label ? label_weight : 0);
            gxi[j] = T(g * (row_weight * acc_t(pi[j]) - wanted));
        }
    }
}
