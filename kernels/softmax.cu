// Softmax, the weights of attention, log-softmax and fused cross entropy over rows, forward and
// backward.
//
//     x, y, p, gy, gx     (rows, columns), columns at least 1; y may be x, gx may be gy, y or p
//     target              (rows,) the class of each row
//     weight              (columns,) the weight of each class, or null: all 1
//
// One block owns one row at a time, in panels that its threads hold in registers; they meet in
// block_sum and block_max. A row of one panel is read once; the panels of longer ones are read
// again from the caches, so a row may have any length.
//
// Legal launches: any number of blocks, but one for cross_entropy_fwd_finish. A block a row, up to
// what the device holds at once, is best, with about a thread for 16 columns.
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

// A row of scale x as its softmax needs it: in the panel are the e^(scale x - top), or where
// LOGARITHM is what is asked for, the exponents. Of the elements from `seen` on x is -infinity.
template <int N, bool LOGARITHM = false>
struct SoftmaxRow {
    const T* x;
    long long columns, seen;
    acc_t scale;
    acc_t top;    // the largest element; with it subtracted, no exponential overflows
    acc_t total;  // the sum of e^(scale x - top), which lies between 1 and columns
    Panel<N> panel;

    __device__ SoftmaxRow(const T* row, long long columns)
        : SoftmaxRow(row, columns, columns, 1) {}

    __device__ SoftmaxRow(const T* row, long long columns, long long seen, acc_t scale)
        : x(row), columns(columns), seen(seen), scale(scale) {
        acc_t largest = lowest();
        PANELS(N, first, columns) {
            read(first);
#pragma unroll
            for (int h = 0; h < Panel<N>::HELD; ++h) largest = fmax(largest, panel.at[h]);
        }
        top = block_max(largest);
        acc_t sum = 0;
        PANELS(N, first, columns) {
            if (!Panel<N>::holds(columns)) read(first);
            subtract_top();
#pragma unroll
            for (int h = 0; h < Panel<N>::HELD; ++h)
                sum += LOGARITHM ? exp(panel.at[h]) : panel.at[h];
        }
        total = block_sum(sum);
    }

    __device__ static acc_t lowest() {
        const acc_t zero = 0;
        return -1 / zero;
    }

    __device__ void read(long long first) {
        panel.load_scaled(x + first, seen - first, lowest(), scale);
    }

    __device__ void subtract_top() {
#pragma unroll
        for (int h = 0; h < Panel<N>::HELD; ++h) {
            const acc_t exponent = panel.at[h] - top;
            panel.at[h] = LOGARITHM ? exponent : exp(exponent);
        }
    }

    __device__ acc_t shifted(long long j) const { return scale * acc_t(x[j]) - top; }

    // y = formula(what the panel has of an element); 0 from `seen` on. It ends the row.
    template <typename Formula>
    __device__ void write(T* y, Formula formula) {
        PANELS(N, first, columns) {
            if (!Panel<N>::holds(columns)) {
                read(first);
                subtract_top();
            }
            const int seen_here = Panel<N>::before(seen - first);
#pragma unroll
            for (int h = 0; h < Panel<N>::HELD; ++h)
                panel.at[h] = panel.number(h) < seen_here ? formula(panel.at[h]) : 0;
            panel.store_to(y + first, columns - first);
        }
    }
};

// One row of gx = formula(gy, y, total), where total is the sum of term(gy, y); gx may be gy or y.
template <int N, typename Term, typename Formula>
__device__ void row_gradient(const T* gy, const T* y, T* gx, long long columns, Term term,
                             Formula formula) {
    Panel<N> g, p;
    acc_t sum = 0;
    PANELS(N, first, columns) {
        g.load_from(gy + first, columns - first);
        p.load_from(y + first, columns - first);
#pragma unroll
        for (int h = 0; h < Panel<N>::HELD; ++h) sum += term(g.at[h], p.at[h]);
    }
    const acc_t total = block_sum(sum);
    PANELS(N, first, columns) {
        if (!Panel<N>::holds(columns)) {
            g.load_from(gy + first, columns - first);
            p.load_from(y + first, columns - first);
        }
#pragma unroll
        for (int h = 0; h < Panel<N>::HELD; ++h) g.at[h] = formula(g.at[h], p.at[h], total);
        g.store_to(gx + first, columns - first);
    }
}

// All rows of a gradient, likewise.
template <typename Term, typename Formula>
__device__ void gradient(const T* gy, const T* y, T* gx, long long rows, long long columns,
                         Term term, Formula formula) {
    by_width(wide_rows(columns, gy, y, gx), [&](auto width) {
        BLOCK_PER_ROW(i, rows) {
            const long long at = i * columns;
            row_gradient<width.elements>(gy + at, y + at, gx + at, columns, term, formula);
        }
    });
}

// That of y = softmax(scale x).
__device__ void softmax_gradient(const T* gy, const T* y, T* gx, long long rows, long long columns,
                                 acc_t scale) {
    gradient(
        gy, y, gx, rows, columns, [](acc_t g, acc_t y) { return g * y; },
        [=](acc_t g, acc_t y, acc_t dot) { return scale * y * (g - dot); });
}

// ------------------------------------------------------------------------------------------------
// Softmax: y = e^x / sum(e^x),  gx = y (gy - sum(gy y))

// y = e^x / sum(e^x). A block owns a row. Moves 2 s an element.
KERNEL(softmax_fwd)(const T* x, T* y, long long rows, long long columns) {
    by_width(wide_rows(columns, x, y), [&](auto width) {
        BLOCK_PER_ROW(i, rows) {
            SoftmaxRow<width.elements> row(x + i * columns, columns);
            const acc_t share = 1 / row.total;
            row.write(y + i * columns, [=](acc_t e) { return e * share; });
        }
    });
}

// gx = y (gy - sum(gy y)). A block owns a row. Moves 3 s an element.
KERNEL(softmax_bwd)(const T* gy, const T* y, T* gx, long long rows, long long columns) {
    softmax_gradient(gy, y, gx, rows, columns, 1);
}

// ------------------------------------------------------------------------------------------------
// The weights of attention: y = softmax(scale x) over the keys that a query sees and 0 beyond,
// gx = scale y (gy - sum(gy y)). Row i is query i % queries of its matrix, and sees the first
// `first` + i % queries of the columns, which are the keys; first is at least 1.

// y = softmax(scale x) of what a row sees. A block owns a row. Moves 2 s an element.
KERNEL(weights_fwd)(const T* x, T* y, long long rows, long long columns, long long queries,
                    long long first, acc_t scale) {
    by_width(wide_rows(columns, x, y), [&](auto width) {
        BLOCK_PER_ROW(i, rows) {
            const long long reach = first + i % queries, seen = reach < columns ? reach : columns;
            SoftmaxRow<width.elements> row(x + i * columns, columns, seen, scale);
            const acc_t share = 1 / row.total;
            row.write(y + i * columns, [=](acc_t e) { return e * share; });
        }
    });
}

// gx = scale y (gy - sum(gy y)). A block owns a row. Moves 3 s an element.
KERNEL(weights_bwd)(const T* gy, const T* y, T* gx, long long rows, long long columns,
                    acc_t scale) {
    softmax_gradient(gy, y, gx, rows, columns, scale);
}

// ------------------------------------------------------------------------------------------------
// Log-softmax: y = x - log(sum(e^x)),  gx = gy - e^y sum(gy)

// y = x - log(sum(e^x)). A block owns a row. Moves 2 s an element.
KERNEL(log_softmax_fwd)(const T* x, T* y, long long rows, long long columns) {
    by_width(wide_rows(columns, x, y), [&](auto width) {
        BLOCK_PER_ROW(i, rows) {
            SoftmaxRow<width.elements, true> row(x + i * columns, columns);
            const acc_t log_total = log(row.total);
            // From x - top, exact near the top; top + log(total) would be rounded at the size of x.
            row.write(y + i * columns, [=](acc_t exponent) { return exponent - log_total; });
        }
    });
}

// gx = gy - e^y sum(gy). A block owns a row. Moves 3 s an element.
KERNEL(log_softmax_bwd)(const T* gy, const T* y, T* gx, long long rows, long long columns) {
    gradient(
        gy, y, gx, rows, columns, [](acc_t g, acc_t) { return g; },
        [](acc_t g, acc_t y, acc_t total) { return g - exp(y) * total; });
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
template <int N>
__device__ acc_t row_loss(const T* x, long long label, const Classes& classes, acc_t smoothing,
                          acc_t all_weights, T* p) {
    SoftmaxRow<N> row(x, classes.count);
    const acc_t log_total = log(row.total), scale = 1 / row.total;
    acc_t loss = (1 - smoothing) * classes.weight_of(label) * (log_total - row.shifted(label));
    if (smoothing > 0) {
        const acc_t weighted = row_sum(classes.count, [&](long long j) {
            return classes.weight_of(j) * row.shifted(j);
        });
        loss += smoothing / classes.count * (all_weights * log_total - weighted);
    }
    row.write(p, [=](acc_t e) { return e * scale; });
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
    const bool wide = wide_rows(columns, x, p);
    BLOCK_PER_ROW(i, rows) {
        const long long label = target[i];
        T* pi = p + i * columns;
        acc_t loss = 0;
        if (label == ignore_index) {
            fill_row(pi, columns, 0);
        } else if (classes.has(label)) {
            const T* xi = x + i * columns;
            loss = wide ? row_loss<WIDE>(xi, label, classes, smoothing, all_weights, pi)
                        : row_loss<1>(xi, label, classes, smoothing, all_weights, pi);
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
