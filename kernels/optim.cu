// Optimizer steps: all parameters in one launch, one pass over the memory of each.
//
//     table        (parameters,) rows of type Parameter, below
//     chunks       (gridDim.x,): which piece of which parameter each block owns
//     chunk_size   elements of a piece; the last piece of a parameter has what is left
//     lr           (1,) learning rate: a float64 in device memory, as are the counts of steps, so
//                  that a step can be recorded once and replayed while both change
//
// The options of the rule follow, by name and in the order of the CPU twin, as double or bool.
// The arrays of the table must not overlap. Every parameter has at least one chunk, even without
// elements, or else its steps would not be counted.
// Each block owns one chunk; within it a thread takes 16 bytes of each array at a time where all
// addresses allow it. Legal launches: exactly one block a chunk; a chunk_size of some thousand, a
// multiple of 8, is best.
// Bytes moved per element of s bytes: 3 s, and 2 s for each array of state: SGD with momentum 5 s,
// Adam 7 s, with AMSGrad 9 s. It is the least there is.
//
// Twins: gpunet/backend/cpu/optim.py.

// One parameter. All fields are 8 bytes wide, so the host can write the table as a record array.
struct Parameter {
    T* p;           // (size,) the values, changed
    const T* g;     // (size,) their gradient
    T* state[3];    // (size,) each, what the rule remembers, in the order its text gives; null
                    // where it has less, or the options do not need it
    double* steps;  // (1,) how many were made, raised by the launch; null for SGD without momentum
    double* product;               // (1,) of NAdam: the product of all mu, kept by the launch
    unsigned long long* arrivals;  // (1,) 0 before and after every launch
    long long size;
};

struct Chunk {
    long long parameter;  // a row of the table
    long long index;      // which of the parameter's pieces
};

// ------------------------------------------------------------------------------------------------
// What the rules share

// What a parameter counts; a rule sees step 1 first.
struct Counts {
    double step, product;
};

// The gradient a rule works with: climbing turned round, weight decay joined to it.
struct Gradient {
    acc_t sign, decay;
    __device__ acc_t operator()(acc_t g, acc_t p) const { return sign * g + decay * p; }
};

__device__ Gradient gradient_with(double weight_decay, bool maximize) {
    return {acc_t(maximize ? -1 : 1), acc_t(weight_decay)};
}

// What decoupled weight decay leaves of a parameter.
__device__ acc_t shrink_by(double rate, double weight_decay, bool decoupled) {
    return acc_t(decoupled ? 1 - rate * weight_decay : 1);
}

// The averages of the gradient and of its square that Adam and its kin keep.
struct Moments {
    acc_t beta1, beta2, new1, new2;  // new is 1 - beta
    __device__ void update(acc_t& m, acc_t& v, acc_t gradient) const {
        m = beta1 * m + new1 * gradient;
        v = beta2 * v + new2 * gradient * gradient;
    }
};

__device__ Moments moments_with(double beta1, double beta2) {
    return {acc_t(beta1), acc_t(beta2), acc_t(1 - beta1), acc_t(1 - beta2)};
}

// Calls rule.update<N>(t, i) for the elements i .. i+N-1, for all elements of the chunk.
template <typename Rule>
__device__ void update_chunk(const Rule& rule, const Parameter& t, long long index,
                             long long chunk_size) {
    const long long start = index * chunk_size;
    const long long stop = t.size - start < chunk_size ? t.size : start + chunk_size;
    const bool aligned = start % WIDE == 0 && is_aligned(t.p) && is_aligned(t.g) &&
                         is_aligned(t.state[0]) && is_aligned(t.state[1]) &&
                         is_aligned(t.state[2]);
    const long long wide = aligned ? (stop - start) / WIDE : 0;
    BLOCK_STRIDE(k, wide) rule.template update<WIDE>(t, start + k * WIDE);
    const long long rest = start + wide * WIDE;
    BLOCK_STRIDE(k, stop - rest) rule.template update<1>(t, rest + k);
}

// The whole kernel: counts the step, has the rule made for it by make(counts), applies the rule.
//
// Where 1 - beta is small, the rounding of beta counts: the rule's numbers are worked out in double
// precision, but by one thread of a block only, for it is slow on most devices.
template <typename Rule, typename Make>
__device__ void step_chunk(const Parameter* table, const Chunk* chunks, long long chunk_size,
                           Make make) {
    const Chunk chunk = chunks[blockIdx.x];
    const Parameter t = table[chunk.parameter];
    __shared__ Rule shared_rule;
    if (threadIdx.x == 0) {
        Counts counts = {t.steps ? *t.steps + 1 : 1, t.product ? *t.product : 1};
        shared_rule = make(counts);
        // The block that arrives last writes the counts: by then all blocks of this parameter have
        // read them. The fence keeps each block's reading before its arrival.
        __threadfence();
        const unsigned long long others = t.size > 0 ? (t.size - 1) / chunk_size : 0;
        if (t.steps && atomicAdd(t.arrivals, 1ull) == others) {
            *t.steps = counts.step;
            if (t.product) *t.product = counts.product;
            *t.arrivals = 0;
        }
    }
    __syncthreads();
    update_chunk(Rule(shared_rule), t, chunk.index, chunk_size);
}

// ------------------------------------------------------------------------------------------------
// SGD:  v <- momentum v + (1 - dampening) g,  p <- p - lr v,  the first v being g itself.
// With Nesterov p <- p - lr (g + momentum v); without a velocity p <- p - lr g.
// State: v.

struct Sgd {
    Gradient gradient;
    acc_t rate;
    acc_t kept, fresh;       // v = kept v + fresh g
    acc_t through, carried;  // p -= rate (through g + carried v)

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i), v = {};
        const Values<N> g = load<N>(t.g + i);
        if (t.state[0] && kept != 0) v = load<N>(t.state[0] + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t G = gradient(g.at[k], p.at[k]);
            v.at[k] = kept * v.at[k] + fresh * G;
            p.at[k] -= rate * (through * G + carried * v.at[k]);
        }
        store<N>(t.p + i, p);
        if (t.state[0]) store<N>(t.state[0] + i, v);
    }
};

// A step of SGD, as above.
KERNEL(sgd_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                 const double* lr, double momentum, double dampening, double weight_decay,
                 bool nesterov, bool maximize) {
    step_chunk<Sgd>(table, chunks, chunk_size, [&](const Counts& now) -> Sgd {
        // Without a velocity there is no count, and every step is the first: v = g.
        const bool first = now.step == 1;
        return {gradient_with(weight_decay, maximize), acc_t(*lr),
                acc_t(first ? 0 : momentum), acc_t(first ? 1 : 1 - dampening),
                acc_t(nesterov ? 1 : 0), acc_t(nesterov ? momentum : 1)};
    });
}

// ------------------------------------------------------------------------------------------------
// Adagrad:  s <- s + g^2,  p <- p - lr / (1 + (step - 1) lr_decay) g / (sqrt(s) + eps)
// State: s.

struct Adagrad {
    Gradient gradient;
    acc_t rate, eps;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i), s = load<N>(t.state[0] + i);
        const Values<N> g = load<N>(t.g + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t G = gradient(g.at[k], p.at[k]);
            s.at[k] += G * G;
            p.at[k] -= rate * G / (sqrt(s.at[k]) + eps);
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, s);
    }
};

// A step of Adagrad, as above.
KERNEL(adagrad_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                     const double* lr, double lr_decay, double weight_decay, double eps,
                     bool maximize) {
    step_chunk<Adagrad>(table, chunks, chunk_size, [&](const Counts& now) -> Adagrad {
        return {gradient_with(weight_decay, maximize),
                acc_t(*lr / (1 + (now.step - 1) * lr_decay)), acc_t(eps)};
    });
}

// ------------------------------------------------------------------------------------------------
// Adadelta:  v <- rho v + (1 - rho) g^2,     d = sqrt(u + eps) / sqrt(v + eps) g,
//            u <- rho u + (1 - rho) d^2,     p <- p - lr d
// State: v, u.

struct Adadelta {
    Gradient gradient;
    acc_t rate, kept, fresh, eps;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i);
        Values<N> v = load<N>(t.state[0] + i), u = load<N>(t.state[1] + i);
        const Values<N> g = load<N>(t.g + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t G = gradient(g.at[k], p.at[k]);
            v.at[k] = kept * v.at[k] + fresh * G * G;
            const acc_t d = sqrt(u.at[k] + eps) / sqrt(v.at[k] + eps) * G;
            u.at[k] = kept * u.at[k] + fresh * d * d;
            p.at[k] -= rate * d;
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, v);
        store<N>(t.state[1] + i, u);
    }
};

// A step of Adadelta, as above.
KERNEL(adadelta_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                      const double* lr, double rho, double eps, double weight_decay,
                      bool maximize) {
    step_chunk<Adadelta>(table, chunks, chunk_size, [&](const Counts&) -> Adadelta {
        return {gradient_with(weight_decay, maximize), acc_t(*lr), acc_t(rho), acc_t(1 - rho),
                acc_t(eps)};
    });
}

// ------------------------------------------------------------------------------------------------
// RMSprop:  v <- alpha v + (1 - alpha) g^2,  b <- momentum b + g / (sqrt(v) + eps),  p <- p - lr b
// Centered, m <- alpha m + (1 - alpha) g, and v - m^2 stands under the root.
// State: v; m, null if not centered; b, null without momentum.

struct Rmsprop {
    Gradient gradient;
    acc_t rate, kept, fresh, eps, momentum;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i), v = load<N>(t.state[0] + i), m = {}, b = {};
        const Values<N> g = load<N>(t.g + i);
        if (t.state[1]) m = load<N>(t.state[1] + i);
        if (t.state[2]) b = load<N>(t.state[2] + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t G = gradient(g.at[k], p.at[k]);
            v.at[k] = kept * v.at[k] + fresh * G * G;
            acc_t variance = v.at[k];
            if (t.state[1]) {
                m.at[k] = kept * m.at[k] + fresh * G;
                variance -= m.at[k] * m.at[k];
                if (variance < 0) variance = 0;  // by rounding, where g stays the same for long
            }
            b.at[k] = momentum * b.at[k] + G / (sqrt(variance) + eps);
            p.at[k] -= rate * b.at[k];
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, v);
        if (t.state[1]) store<N>(t.state[1] + i, m);
        if (t.state[2]) store<N>(t.state[2] + i, b);
    }
};

// A step of RMSprop, as above.
KERNEL(rmsprop_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                     const double* lr, double alpha, double eps, double weight_decay,
                     double momentum, bool maximize) {
    step_chunk<Rmsprop>(table, chunks, chunk_size, [&](const Counts&) -> Rmsprop {
        return {gradient_with(weight_decay, maximize), acc_t(*lr), acc_t(alpha),
                acc_t(1 - alpha), acc_t(eps), acc_t(momentum)};
    });
}

// ------------------------------------------------------------------------------------------------
// Adam:  m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,
//        p <- p - lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps)
// Decoupled, lr weight_decay p leaves p (AdamW). With AMSGrad the largest v so far stands for v in
// the last line.
// State: m, v; the largest v, null without AMSGrad.

struct Adam {
    Gradient gradient;
    Moments moments;
    acc_t rate, root_correction;  // lr / (1 - beta1^step) and 1 / sqrt(1 - beta2^step)
    acc_t eps, shrink;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i), largest = {};
        Values<N> m = load<N>(t.state[0] + i), v = load<N>(t.state[1] + i);
        const Values<N> g = load<N>(t.g + i);
        if (t.state[2]) largest = load<N>(t.state[2] + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            moments.update(m.at[k], v.at[k], gradient(g.at[k], p.at[k]));
            largest.at[k] = fmax(largest.at[k], v.at[k]);  // v >= 0: without AMSGrad, v
            const acc_t root = sqrt(largest.at[k]) * root_correction;
            p.at[k] = shrink * p.at[k] - rate * m.at[k] / (root + eps);
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, m);
        store<N>(t.state[1] + i, v);
        if (t.state[2]) store<N>(t.state[2] + i, largest);
    }
};

// A step of Adam and AdamW, as above.
KERNEL(adam_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                  const double* lr, double beta1, double beta2, double eps, double weight_decay,
                  bool decoupled, bool maximize) {
    step_chunk<Adam>(table, chunks, chunk_size, [&](const Counts& now) -> Adam {
        return {gradient_with(decoupled ? 0 : weight_decay, maximize),
                moments_with(beta1, beta2),
                acc_t(*lr / (1 - pow(beta1, now.step))),
                acc_t(1 / sqrt(1 - pow(beta2, now.step))),
                acc_t(eps), shrink_by(*lr, weight_decay, decoupled)};
    });
}

// ------------------------------------------------------------------------------------------------
// Adamax:  m as Adam,  u <- max(beta2 u, |g| + eps),  p <- p - lr / (1 - beta1^step) m / u
// State: m, u.

struct Adamax {
    Gradient gradient;
    acc_t rate, beta1, beta2, new1, eps;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i);
        Values<N> m = load<N>(t.state[0] + i), u = load<N>(t.state[1] + i);
        const Values<N> g = load<N>(t.g + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t G = gradient(g.at[k], p.at[k]);
            m.at[k] = beta1 * m.at[k] + new1 * G;
            u.at[k] = fmax(beta2 * u.at[k], fabs(G) + eps);
            p.at[k] -= rate * m.at[k] / u.at[k];
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, m);
        store<N>(t.state[1] + i, u);
    }
};

// A step of Adamax, as above.
KERNEL(adamax_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                    const double* lr, double beta1, double beta2, double eps,
                    double weight_decay, bool maximize) {
    step_chunk<Adamax>(table, chunks, chunk_size, [&](const Counts& now) -> Adamax {
        return {gradient_with(weight_decay, maximize), acc_t(*lr / (1 - pow(beta1, now.step))),
                acc_t(beta1), acc_t(beta2), acc_t(1 - beta1), acc_t(eps)};
    });
}

// ------------------------------------------------------------------------------------------------
// NAdam:  m and v as Adam,  mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),  P = mu_1 ... mu_t,
//         p <- p - lr ((1 - mu_t) / (1 - P) g + mu_t+1 / (1 - P mu_t+1) m)
//                     / (sqrt(v / (1 - beta2^step)) + eps)
// State: m, v.

struct Nadam {
    Gradient gradient;
    Moments moments;
    acc_t from_g, from_m, root_correction, eps, shrink;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i);
        Values<N> m = load<N>(t.state[0] + i), v = load<N>(t.state[1] + i);
        const Values<N> g = load<N>(t.g + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t G = gradient(g.at[k], p.at[k]);
            moments.update(m.at[k], v.at[k], G);
            const acc_t change = from_g * G + from_m * m.at[k];
            p.at[k] = shrink * p.at[k] - change / (sqrt(v.at[k]) * root_correction + eps);
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, m);
        store<N>(t.state[1] + i, v);
    }
};

// A step of NAdam, as above.
KERNEL(nadam_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                   const double* lr, double beta1, double beta2, double eps, double weight_decay,
                   double momentum_decay, bool decoupled, bool maximize) {
    step_chunk<Nadam>(table, chunks, chunk_size, [&](Counts& now) -> Nadam {
        const double mu = beta1 * (1 - pow(0.96, now.step * momentum_decay) / 2);
        const double next = beta1 * (1 - pow(0.96, (now.step + 1) * momentum_decay) / 2);
        now.product *= mu;
        return {gradient_with(decoupled ? 0 : weight_decay, maximize),
                moments_with(beta1, beta2),
                acc_t(*lr * (1 - mu) / (1 - now.product)),
                acc_t(*lr * next / (1 - now.product * next)),
                acc_t(1 / sqrt(1 - pow(beta2, now.step))), acc_t(eps),
                shrink_by(*lr, weight_decay, decoupled)};
    });
}

// ------------------------------------------------------------------------------------------------
// RAdam:  m and v as Adam. While too few squares are averaged (rho <= 5), p <- p - lr m^; then
//         p <- p - lr m^ r sqrt(1 - beta2^step) / (sqrt(v) + eps),
//         r^2 = (rho - 4) (rho - 2) longest / ((longest - 4) (longest - 2) rho),
//         longest = 2 / (1 - beta2) - 1,  rho = longest - 2 step beta2^step / (1 - beta2^step)
// State: m, v.

struct Radam {
    Gradient gradient;
    Moments moments;
    acc_t rate, eps, shrink;
    bool rectified;

    template <int N>
    __device__ void update(const Parameter& t, long long i) const {
        Values<N> p = load<N>(t.p + i);
        Values<N> m = load<N>(t.state[0] + i), v = load<N>(t.state[1] + i);
        const Values<N> g = load<N>(t.g + i);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            moments.update(m.at[k], v.at[k], gradient(g.at[k], p.at[k]));
            const acc_t root = rectified ? sqrt(v.at[k]) + eps : 1;
            p.at[k] = shrink * p.at[k] - rate * m.at[k] / root;
        }
        store<N>(t.p + i, p);
        store<N>(t.state[0] + i, m);
        store<N>(t.state[1] + i, v);
    }
};

// A step of RAdam, as above.
KERNEL(radam_step)(const Parameter* table, const Chunk* chunks, long long chunk_size,
                   const double* lr, double beta1, double beta2, double eps, double weight_decay,
                   bool decoupled, bool maximize) {
    step_chunk<Radam>(table, chunks, chunk_size, [&](const Counts& now) -> Radam {
        const double power2 = pow(beta2, now.step), longest = 2 / (1 - beta2) - 1;
        const double rho = longest - 2 * now.step * power2 / (1 - power2);
        double rate = *lr / (1 - pow(beta1, now.step));
        if (rho > 5)
            rate *= sqrt((1 - power2) * (rho - 4) * (rho - 2) * longest /
                         ((longest - 4) * (longest - 2) * rho));
        return {gradient_with(decoupled ? 0 : weight_decay, maximize),
                moments_with(beta1, beta2), acc_t(rate), acc_t(eps),
                shrink_by(*lr, weight_decay, decoupled), rho > 5};
    });
}
