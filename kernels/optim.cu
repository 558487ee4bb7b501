// Optimizer steps: all parameters in one launch, one pass over the memory of each.
//
//     table        (parameters,) rows of type Parameter, below
//     chunks       (gridDim.x,): which piece of which parameter each block owns
//     chunk_size   elements of a piece; the last piece of a parameter has what is left
//     lr           (1,) learning rate: a float64 in device memory, as are the counts of steps, so
//                  that a step can be recorded once and replayed while both change
//
// The arrays of the table must not overlap. Every parameter has at least one chunk, even without
// elements, or else its steps would not be counted.
// Each block owns one chunk; within it a thread takes 16 bytes of each array at a time where all
// addresses allow it. Legal launches: exactly one block a chunk; a chunk_size of some thousand, a
// multiple of 8, is best.
// Bytes moved per element of s bytes: SGD 3 s, with momentum 5 s; Adam 7 s, with AMSGrad 9 s. It is
// the least there is.
//
// Twins: gpunet/backend/cpu/optim.py.

// One parameter. All fields are 8 bytes wide, so the host can write the table as a record array.
struct Parameter {
    T* p;           // (size,) the values, changed
    const T* g;     // (size,) their gradient
    T* velocity;    // (size,) of SGD; null without momentum
    T* m;           // (size,) of Adam: the average of the gradient
    T* v;           // (size,) of Adam: the average of its square
    T* v_max;       // (size,) of Adam: the largest v so far; null without AMSGrad
    double* steps;  // (1,) how many were made, raised by the launch
    unsigned long long* arrivals;  // (1,) 0 before and after every launch
    long long size;
};

struct Chunk {
    long long parameter;  // a row of the table
    long long index;      // which of the parameter's pieces
};

// ------------------------------------------------------------------------------------------------
// What the rules share

// The number of the step being made, 1 for the first. Every block calls this once.
__device__ double count_step(const Parameter& t, long long chunk_size) {
    __shared__ double number;
    if (threadIdx.x == 0) {
        number = *t.steps + 1;
        // The block that arrives last raises the count: by then all blocks of this parameter have
        // read it. The fence keeps each block's reading before its arrival.
        __threadfence();
        const unsigned long long others = t.size > 0 ? (t.size - 1) / chunk_size : 0;
        if (atomicAdd(t.arrivals, 1ull) == others) {
            *t.steps = number;
            *t.arrivals = 0;
        }
    }
    __syncthreads();
    return number;
}

// Calls rule.update<N>(t, i) for the elements i .. i+N-1, for all elements of the chunk.
template <typename Rule>
__device__ void update_chunk(const Rule& rule, const Parameter& t, long long index,
                             long long chunk_size) {
    const long long start = index * chunk_size;
    const long long stop = t.size - start < chunk_size ? t.size : start + chunk_size;
    const bool aligned = start % WIDE == 0 && is_aligned(t.p) && is_aligned(t.g) &&
                         is_aligned(t.velocity) && is_aligned(t.m) && is_aligned(t.v) &&
                         is_aligned(t.v_max);
    const long long wide = aligned ? (stop - start) / WIDE : 0;
    BLOCK_STRIDE(k, wide) rule.template update<WIDE>(t, start + k * WIDE);
    const long long rest = start + wide * WIDE;
    BLOCK_STRIDE(k, stop - rest) rule.template update<1>(t, rest + k);
}

// ------------------------------------------------------------------------------------------------
// SGD:  v <- momentum v + (1 - dampening) g,  p <- p - lr v,  the first v being g itself.
// With Nesterov p <- p - lr (g + momentum v); without a velocity p <- p - lr g, and momentum is 0.
// weight_decay p joins g. sign is 1, or -1 to climb.

struct Sgd {
    acc_t rate, sign, weight_decay;
    acc_t kept, fresh;       // v = kept v + fresh g
    acc_t through, carried;  // p -= rate (through g + carried v)

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i), v = {};
        const Values<N> g = load<N>(t.g + i);
        if (kept != 0) v = load<N>(t.velocity + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t gradient = sign * g.at[k] + weight_decay * p.at[k];
            v.at[k] = kept * v.at[k] + fresh * gradient;
            p.at[k] -= rate * (through * gradient + carried * v.at[k]);
        }
        store<N>(t.p + i, p);
        if (t.velocity) store<N>(t.velocity + i, v);
    }
};

KERNEL(sgd_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                 const double* lr, acc_t sign, acc_t momentum, double dampening,
                 acc_t weight_decay, bool nesterov) {
    const Chunk chunk = chunks[blockIdx.x];
    const Parameter t = table[chunk.parameter];
    const bool undamped = count_step(t, chunk_size) == 1 || !t.velocity;
    const acc_t kept = undamped ? 0 : momentum, fresh = undamped ? 1 : acc_t(1 - dampening);
    const acc_t through = nesterov ? 1 : 0, carried = nesterov ? momentum : 1;
    const Sgd rule = {acc_t(*lr), sign, weight_decay, kept, fresh, through, carried};
    update_chunk(rule, t, chunk.index, chunk_size);
}

// ------------------------------------------------------------------------------------------------
// Adam:  m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,
//        p <- p - lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps)
// coupled p joins g (Adam's weight decay); lr decoupled p leaves p (AdamW's). With AMSGrad the
// largest v so far stands for v in the last line. sign is 1, or -1 to climb.

struct Adam {
    acc_t rate, root_correction;  // lr / (1 - beta1^step) and 1 / sqrt(1 - beta2^step)
    acc_t beta1, beta2, new1, new2;  // new is 1 - beta
    acc_t sign, coupled, shrink, eps;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i), m = load<N>(t.m + i), v = load<N>(t.v + i), largest = {};
        const Values<N> g = load<N>(t.g + i);
        if (t.v_max) largest = load<N>(t.v_max + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t gradient = sign * g.at[k] + coupled * p.at[k];
            m.at[k] = beta1 * m.at[k] + new1 * gradient;
            v.at[k] = beta2 * v.at[k] + new2 * gradient * gradient;
            largest.at[k] = fmax(largest.at[k], v.at[k]);  // v is never below 0: without AMSGrad, v
            const acc_t root = sqrt(largest.at[k]) * root_correction;
            p.at[k] = shrink * p.at[k] - rate * m.at[k] / (root + eps);
        }
        store<N>(t.p + i, p);
        store<N>(t.m + i, m);
        store<N>(t.v + i, v);
        if (t.v_max) store<N>(t.v_max + i, largest);
    }
};

KERNEL(adam_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                  const double* lr, acc_t sign, double beta1, double beta2, acc_t eps,
                  acc_t coupled, double decoupled) {
    const Chunk chunk = chunks[blockIdx.x];
    const Parameter t = table[chunk.parameter];
    const double step = count_step(t, chunk_size);
    // 1 - beta is small, so the rounding of beta counts: double precision, but in one thread of a
    // block only, for it is slow on most devices.
    __shared__ Adam shared_rule;
    if (threadIdx.x == 0) {
        const double rate = *lr / (1 - pow(beta1, step));
        const double root_correction = 1 / sqrt(1 - pow(beta2, step));
        shared_rule = {acc_t(rate),      acc_t(root_correction),
                       acc_t(beta1),     acc_t(beta2),
                       acc_t(1 - beta1), acc_t(1 - beta2),
                       sign,             coupled,
                       acc_t(1 - *lr * decoupled), eps};
    }
    __syncthreads();
    const Adam rule = shared_rule;
    update_chunk(rule, t, chunk.index, chunk_size);
}
