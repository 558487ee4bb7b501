// Connectionist temporal classification: sums over all alignments of labels with the steps of a
// sequence, forward and backward.
//
// The states of a sequence are its labels and the blanks before, between and after them. Pair j is
// label j and the blank behind it; pair 0 has only the first blank. With logarithms added up as by
// a (+) b = log(e^a + e^b), y the log p of a state's class, and ' for the step before, or next:
//
//     alpha of blank j      y + ended,  where ended = alpha' of blank j (+) alpha' of label j
//     alpha of label j + 1  y + (alpha' of label j + 1 (+) ended), or if it is the class of label
//                           j, (+) alpha' of blank j: else the two would be one label
//     beta of blank j       (y' + beta') of blank j (+) that of label j + 1
//     beta of label j       (y' + beta') of label j (+) beta of blank j, or if label j + 1 is the
//                           same class, (+) (y' + beta') of blank j
//     loss                  -(alpha of blank j (+) alpha of label j) of the last pair and step
//     gx                    -gy sum(e^(alpha + beta + loss)) over the states of each class
//
//     x, gx                 (steps, batch, channels) log p of each class
//     classes               (batch, width), the blank, then the labels
//     times, counts         (batch,) how many steps and labels of each sequence count
//     alpha, beta           (batch, steps, 2, width), at each step the blanks, then the labels;
//                           label 0, and what lies beyond times and counts, mean nothing
//     loss, gy              (batch,); loss is infinity where no alignment is possible
//
// Legal launches: any number of blocks. A block a sequence with about a thread for a pair is best,
// or a block a row of gx with a thread for a class. No two arrays may overlap.
// Bytes moved: s is the size of acc_t. But a step waits for the one before it, which takes longer.
//
// Twins: gpunet/backend/cpu/ctc.py.

constexpr int HELD = 512;  // pairs of a step that shared memory has room for
constexpr int HELD_TWICE = 2 * 2 * HELD;

__device__ acc_t infinity() {
    const acc_t zero = 0;
    return 1 / zero;
}

// The blanks before the first step, at which all is at the first of them.
__device__ acc_t beginning(long long j) { return j == 0 ? 0 : -infinity(); }

// log(e^a + e^b); either may be -infinity, and NaN stays NaN.
__device__ acc_t log_add(acc_t a, acc_t b) {
    const acc_t high = a > b ? a : b, low = a > b ? b : a;
    return low == -infinity() ? high : high + log1p(exp(low - high));
}

// The logarithms of the states at one step.
struct Row {
    acc_t *blank, *label;

    __device__ Row(acc_t* first, long long width) : blank(first), label(first + width) {}
};

// A sequence, and where the logarithms of its steps lie.
struct Sequence {
    const long long* classes;
    long long width, last, steps;
    acc_t *all, *held;

    __device__ Sequence(const long long* classes, const long long* times, const long long* counts,
                        acc_t* all, acc_t* held, long long n, long long steps, long long width)
        : classes(classes + n * width), width(width), last(counts[n]), steps(times[n]),
          all(all + n * steps * 2 * width), held(held) {}

    // Whether label j + 1 may come right behind label j, with no blank in between.
    __device__ bool changes(long long j) const {
        return j < last && classes[j + 1] != classes[j];
    }

    // Where a step is kept.
    __device__ Row kept(long long t) const { return Row(all + t * 2 * width, width); }

    // Where the next step reads it: in shared memory, which has two in turns, if there is room.
    __device__ Row row(long long t) const {
        return width > HELD ? kept(t) : Row(held + t % 2 * 2 * HELD, HELD);
    }

    // Alignments that are in pair j after a step.
    __device__ acc_t ended(long long t, long long j) const {
        const Row at = row(t);
        return j == 0 ? at.blank[0] : log_add(at.blank[j], at.label[j]);
    }
};

// loss and alpha, from x. A block owns a sequence. Moves 3 s a pair and step.
KERNEL(ctc_loss_fwd)(const T* x, const long long* classes, const long long* times,
                     const long long* counts, acc_t* alpha, acc_t* loss, long long steps,
                     long long batch, long long channels, long long width) {
    __shared__ acc_t held[HELD_TWICE];
    BLOCK_PER_ROW(n, batch) {
        const Sequence path(classes, times, counts, alpha, held, n, steps, width);
        for (long long t = 0; t < path.steps; ++t) {
            const T* y = x + (t * batch + n) * channels;
            const Row here = path.row(t), kept = path.kept(t);
            __syncthreads();
            BLOCK_STRIDE(j, path.last + 1) {
                acc_t blank = beginning(j), ended = blank, there = -infinity();
                if (t > 0) {
                    const Row before = path.row(t - 1);
                    blank = before.blank[j];
                    ended = path.ended(t - 1, j);
                    if (j < path.last) there = before.label[j + 1];
                }
                here.blank[j] = kept.blank[j] = acc_t(y[path.classes[0]]) + ended;
                if (j < path.last) {
                    const acc_t label = log_add(there, path.changes(j) ? ended : blank);
                    const acc_t emission = acc_t(y[path.classes[j + 1]]);
                    here.label[j + 1] = kept.label[j + 1] = emission + label;
                }
            }
        }
        __syncthreads();
        if (threadIdx.x == 0)
            loss[n] = -(path.steps ? path.ended(path.steps - 1, path.last) : beginning(path.last));
    }
}

// beta, from x. A block owns a sequence. Moves 3 s a pair and step.
KERNEL(ctc_loss_bwd)(const T* x, const long long* classes, const long long* times,
                     const long long* counts, acc_t* beta, long long steps, long long batch,
                     long long channels, long long width) {
    __shared__ acc_t held[HELD_TWICE];
    BLOCK_PER_ROW(n, batch) {
        const Sequence path(classes, times, counts, beta, held, n, steps, width);
        for (long long t = path.steps - 1; t >= 0; --t) {
            const T* y = x + ((t + 1) * batch + n) * channels;  // of the next step, if there is one
            const Row next = path.row(t + 1), here = path.row(t), kept = path.kept(t);
            __syncthreads();
            BLOCK_STRIDE(j, path.last + 1) {
                acc_t blank = j == path.last ? 0 : -infinity(), label = blank;
                if (t + 1 < path.steps) {
                    const acc_t stay = acc_t(y[path.classes[0]]) + next.blank[j];
                    const acc_t there = acc_t(y[path.classes[j]]) + next.label[j];
                    blank = stay;
                    if (j < path.last)
                        blank = log_add(stay, acc_t(y[path.classes[j + 1]]) + next.label[j + 1]);
                    label = log_add(there, path.changes(j) ? blank : stay);
                }
                here.blank[j] = kept.blank[j] = blank;
                here.label[j] = kept.label[j] = label;
            }
        }
    }
}

// The second launch of the backward pass: gx, from gy, alpha, beta and loss. Where no alignment is
// possible it is NaN, or 0 if zero_infinity. A block owns a row of gx, a thread classes of it.
// Moves 4 s a pair and step, and gx.
KERNEL(ctc_loss_bwd_finish)(const T* gy, const long long* classes, const long long* times,
                            const long long* counts, const acc_t* alpha, const acc_t* beta,
                            const acc_t* loss, T* gx, long long steps, long long batch,
                            long long channels, long long width, bool zero_infinity) {
    BLOCK_PER_ROW(i, steps * batch) {
        const long long t = i / batch, n = i % batch, last = counts[n];
        const long long* path = classes + n * width;
        const long long at = (n * steps + t) * 2 * width;
        const acc_t *a = alpha + at, *b = beta + at, cost = loss[n];
        T* row = gx + i * channels;
        const bool possible = -infinity() < cost && cost < infinity();
        if (t >= times[n] || !possible) {
            const bool none = t >= times[n] || (zero_infinity && cost == infinity());
            BLOCK_STRIDE(c, channels) row[c] = T(none ? acc_t(0) : acc_t(nanf("")));
            continue;
        }
        const auto share = [=](long long state) { return exp(a[state] + b[state] + cost); };
        acc_t blanks = 0;
        BLOCK_STRIDE(j, last + 1) blanks += share(j);
        blanks = block_sum(blanks);
        BLOCK_STRIDE(c, channels) {
            acc_t total = c == path[0] ? blanks : 0;
            for (long long j = 1; j <= last; ++j)
                if (path[j] == c) total += share(width + j);
            row[c] = T(-acc_t(gy[n]) * total);
        }
    }
}
