// The cells of recurrent layers: one step of all sequences, forward and backward.
//
//     rnn     h = tanh(a), or max(a, 0)
//     lstm    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the parts of a
//             c = f c + i g,  h = o tanh(c)
//     gru     r, u = sigmoid of the first two parts of a;  q = the third part of the product and
//             its bias;  n = tanh(the third part of z + bias + r q);  h = (1 - u) n + u h
//
// a = z + product + bias. The products are cuBLAS's: z = x W_ih' of all steps is made at once
// before the first step, product = h W_hh' of one step before its cell. A cell is all that is left
// between two products, one launch; the gradients of the weights are one product each, after the
// last step.
//
//     z, gates      (batch, G units), G = 1, 4 or 3 parts; the gates take the place of z
//     product       like z, or null: 0. Backward it is gz W_hh of the step that came just before,
//                   (batch, units): what flows back through that product
//     bias          (G units,), or null: 0. gru: (4 units,), the last part is that of q
//     lengths       (batch,), or null. Sequence n has the steps t < lengths[n]; at all others its
//                   state stays, its y is 0 and its gz too
//     h, c          (batch, units), the state: read, and written in place
//     y, cells, q   (batch, units), what becomes of h, c and q at this step, kept for backward
//     gh, gc        (batch, units), gradients of the state, in place: of the one after this step
//                   before, of the one before it after, without what goes through the product
//     gy, gz        gradients of y (null: 0) and of z; gru: (batch, 4 units), of r, u, n and q
//
// A thread owns one unit of one sequence, in all parts, and loops on over the grid; a kernel
// NAME_sequence goes through all steps of a whole sequence in one block. Legal launches: any number
// of blocks, and at most 256 units for NAME_sequence.
// Bytes moved per element of s bytes (one unit of one sequence): each kernel says it. What counts
// at these sizes is the launch.
//
// Twins: gpunet/backend/cpu/recurrent.py, which go through all steps at once.

__device__ acc_t sigmoid(acc_t x) { return 1 / (1 + exp(-x)); }

__device__ bool goes_on(const long long* lengths, long long n, long long t) {
    return !lengths || t < lengths[n];
}

__device__ acc_t or_zero(const T* x, long long i) { return x ? acc_t(x[i]) : 0; }

// One unit of one sequence: unit j of sequence n is element i of a state. Part k of z is at
// part(k), of a bias at bias(k).
struct Unit {
    long long i, n, j, units, parts;

    __device__ Unit(long long i, long long units, long long parts)
        : i(i), n(i / units), j(i % units), units(units), parts(parts) {}
    __device__ long long part(long long k) const { return (n * parts + k) * units + j; }
    __device__ long long bias(long long k) const { return k * units + j; }

    // Part k of a.
    __device__ acc_t sum(const T* z, const T* product, const T* b, long long k) const {
        return acc_t(z[part(k)]) + or_zero(product, part(k)) + or_zero(b, bias(k));
    }
};

// ------------------------------------------------------------------------------------------------
// RNN

// h and y of one step. A thread owns units of sequences. Moves 4 s a unit of a sequence.
KERNEL(rnn_fwd)(const T* z, const T* product, const T* bias, const long long* lengths, T* h, T* y,
                long long t, long long batch, long long units, bool relu) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 1);
        if (!goes_on(lengths, unit.n, t)) {
            y[i] = T(0);
            continue;
        }
        const acc_t a = unit.sum(z, product, bias, 0);
        h[i] = y[i] = T(relu ? (a <= 0 ? 0 : a) : tanh(a));  // NaN stays NaN
    }
}

// gz and gh of one step. A thread owns units of sequences. Moves 4 s a unit of a sequence.
KERNEL(rnn_bwd)(const T* gy, const T* product, const T* y, const long long* lengths, acc_t* gh,
                T* gz, long long t, long long batch, long long units, bool relu) {
    GRID_STRIDE(i, batch * units) {
        const acc_t g = gh[i] + or_zero(product, i);
        if (!goes_on(lengths, i / units, t)) {
            gh[i] = g;
            gz[i] = T(0);
            continue;
        }
        const acc_t h = acc_t(y[i]), slope = relu ? acc_t(!(h <= 0)) : 1 - h * h;
        gz[i] = T((g + or_zero(gy, i)) * slope);
        gh[i] = 0;
    }
}

// ------------------------------------------------------------------------------------------------
// LSTM

// One unit of one sequence at one step: its gates and its c.
struct Cell {
    acc_t i, f, g, o, c;

    // From the four parts of a, and c of the step before.
    __device__ static Cell forward(const acc_t* a, acc_t before) {
        Cell cell = {sigmoid(a[0]), sigmoid(a[1]), tanh(a[2]), sigmoid(a[3]), 0};
        cell.c = cell.f * before + cell.i * cell.g;
        return cell;
    }

    // From what was kept.
    __device__ Cell(const T* gates, const Unit& unit, acc_t c)
        : i(acc_t(gates[unit.part(0)])), f(acc_t(gates[unit.part(1)])),
          g(acc_t(gates[unit.part(2)])), o(acc_t(gates[unit.part(3)])), c(c) {}
    __device__ Cell(acc_t i, acc_t f, acc_t g, acc_t o, acc_t c) : i(i), f(f), g(g), o(o), c(c) {}

    __device__ acc_t h() const { return o * tanh(c); }

    __device__ void keep(T* gates, const Unit& unit) const {
        gates[unit.part(0)] = T(i);
        gates[unit.part(1)] = T(f);
        gates[unit.part(2)] = T(g);
        gates[unit.part(3)] = T(o);
    }

    // Gradients of the four parts of a, from that of h; gc is the gradient of c from later steps,
    // and becomes that of c before.
    __device__ void backward(acc_t gh, acc_t before, acc_t* gc, acc_t* ga) const {
        const acc_t tc = tanh(c), g_c = *gc + gh * o * (1 - tc * tc);
        ga[0] = g_c * g * i * (1 - i);
        ga[1] = g_c * before * f * (1 - f);
        ga[2] = g_c * i * (1 - g * g);
        ga[3] = gh * tc * o * (1 - o);
        *gc = g_c * f;
    }
};

// h, c, y, cells and the gates of one step. A thread owns units of sequences. Moves 15 s a unit of
// a sequence.
KERNEL(lstm_fwd)(T* z, const T* product, const T* bias, const long long* lengths, T* h, acc_t* c,
                 T* y, T* cells, long long t, long long batch, long long units) {
    GRID_STRIDE(k, batch * units) {
        const Unit unit(k, units, 4);
        if (!goes_on(lengths, unit.n, t)) {
            y[k] = T(0);
            cells[k] = T(c[k]);
            continue;
        }
        acc_t a[4];
#pragma unroll
        for (int part = 0; part < 4; ++part) a[part] = unit.sum(z, product, bias, part);
        const Cell cell = Cell::forward(a, c[k]);
        cell.keep(z, unit);
        c[k] = cell.c;
        cells[k] = T(cell.c);
        h[k] = y[k] = T(cell.h());
    }
}

// gz, gh and gc of one step. before: c of the step before, null for zeros. A thread owns units of
// sequences. Moves 12 s a unit of a sequence.
KERNEL(lstm_bwd)(const T* gy, const T* product, const T* gates, const T* cells, const T* before,
                 const long long* lengths, acc_t* gh, acc_t* gc, T* gz, long long t,
                 long long batch, long long units) {
    GRID_STRIDE(k, batch * units) {
        const Unit unit(k, units, 4);
        const acc_t g = gh[k] + or_zero(product, k);
        const bool on = goes_on(lengths, unit.n, t);
        acc_t ga[4] = {};
        if (on) {
            const Cell cell(gates, unit, acc_t(cells[k]));
            cell.backward(g + or_zero(gy, k), or_zero(before, k), &gc[k], ga);
        }
        gh[k] = on ? 0 : g;
#pragma unroll
        for (int part = 0; part < 4; ++part) gz[unit.part(part)] = T(ga[part]);
    }
}

// All steps in one launch, for layers of at most MOST units. A block takes one sequence from its
// first step to its last: it needs nothing of the others, so blocks never wait for each other. The
// state lies in shared memory, twice: a step reads one and writes the other, so that one barrier a
// step is enough. The recurrent weights come from the L2 cache at every step; neighbouring threads
// read neighbouring ones.

constexpr int MOST = 256;

// lstm_fwd of all steps. All arrays but w, bias, lengths, h and c are of all steps; w: (units, 4
// units), W_hh transposed. A block owns a sequence. Moves 15 s a unit and step, and w from the L2
// cache.
KERNEL(lstm_fwd_sequence)(T* z, const T* w, const T* bias, const long long* lengths, T* h,
                          acc_t* c, T* y, T* cells, long long steps, long long batch,
                          long long units, bool reverse, bool keep) {
    __shared__ acc_t state[2][MOST];
    BLOCK_PER_ROW(n, batch) {
        __syncthreads();  // the sequence before has been read to its end
        BLOCK_STRIDE(j, units) state[0][j] = acc_t(h[n * units + j]);
        for (long long s = 0; s < steps; ++s) {
            const long long t = reverse ? steps - 1 - s : s, row = t * batch + n;
            const acc_t* before = state[s % 2];
            acc_t* after = state[(s + 1) % 2];
            const bool on = goes_on(lengths, n, t);
            __syncthreads();
            BLOCK_STRIDE(j, units) {
                const Unit unit(row * units + j, units, 4);
                acc_t* cj = c + n * units + j;
                after[j] = before[j];
                if (on) {
                    acc_t a[4];
#pragma unroll
                    for (int part = 0; part < 4; ++part) a[part] = unit.sum(z, nullptr, bias, part);
                    for (long long k = 0; k < units; ++k)
#pragma unroll
                        for (int part = 0; part < 4; ++part)
                            a[part] += before[k] * acc_t(w[(k * 4 + part) * units + j]);
                    const Cell cell = Cell::forward(a, *cj);
                    cell.keep(z, unit);
                    *cj = cell.c;
                    after[j] = acc_t(T(cell.h()));
                }
                y[unit.i] = T(on ? after[j] : 0);
                if (keep) cells[unit.i] = T(*cj);
            }
        }
        __syncthreads();
        BLOCK_STRIDE(j, units) h[n * units + j] = T(state[steps % 2][j]);
    }
}

// lstm_bwd of all steps. gy, gates, cells and gz are of all steps; w: (4 units, units), W_hh; c_0:
// null for zeros. A block owns a sequence. Moves 12 s a unit and step, and w from the L2 cache.
KERNEL(lstm_bwd_sequence)(const T* gy, const T* w, const T* gates, const T* cells, const T* c_0,
                          const long long* lengths, acc_t* gh, acc_t* gc, T* gz, long long steps,
                          long long batch, long long units, bool reverse) {
    __shared__ acc_t slopes[2][4 * MOST];  // gz of the step that came just before, and of this one
    BLOCK_PER_ROW(n, batch) {
        __syncthreads();  // the sequence before has been read to its end
        BLOCK_STRIDE(j, 4 * units) slopes[0][j] = 0;
        for (long long s = 0; s <= steps; ++s) {
            const long long t = reverse ? s : steps - 1 - s, row = t * batch + n;
            const long long earlier = reverse ? t + 1 : t - 1;
            const acc_t* before = slopes[s % 2];
            acc_t* after = slopes[(s + 1) % 2];
            const bool on = s < steps && goes_on(lengths, n, t);
            __syncthreads();
            BLOCK_STRIDE(j, units) {
                const long long k = n * units + j;
                acc_t g = gh[k], ga[4] = {};
                for (long long m = 0; m < 4 * units; ++m) g += before[m] * acc_t(w[m * units + j]);
                if (on) {
                    const Unit unit(row * units + j, units, 4);
                    const long long i = (earlier * batch + n) * units + j;
                    const acc_t c = s + 1 == steps ? or_zero(c_0, k) : acc_t(cells[i]);
                    const Cell cell(gates, unit, acc_t(cells[unit.i]));
                    cell.backward(g + or_zero(gy, unit.i), c, &gc[k], ga);
                }
                gh[k] = on ? 0 : g;
#pragma unroll
                for (int part = 0; part < 4; ++part) {
                    const T rounded = T(ga[part]);
                    after[part * units + j] = acc_t(rounded);
                    if (s < steps) gz[(row * 4 + part) * units + j] = rounded;
                }
            }
        }
    }
}

// All steps in one launch of a whole grid, for layers whose recurrent weights fit into the shared
// memory of all blocks together: each loads its part once, and keeps it. Of the step before, it
// needs all units of its sequences: blocks of equal blockIdx.y put them into `moving`, and wait for
// each other at every step, which reads one half of it and writes the other. Products are made of
// Tiles, both factors of which lie in panels (K, 4). Legal launches: the grid that just covers all
// units and sequences; 4 width units elements of shared memory, for the block's part of w.

// The block's part, and where its panels are.
struct Part {
    long long unit, sequence, panel, panels;

    __device__ Part(long long width, long long height)
        : unit(blockIdx.x * width), sequence(blockIdx.y * height), panel(sequence / 4),
          panels(gridDim.y * height / 4) {}
};

// lstm_fwd of all steps; z, y and cells are of all steps; w: (4 units, units), W_hh; moving: (2,
// gridDim.y height / 4, units, 4), 0 beforehand: h of sequence n is in panel n / 4; barrier:
// (gridDim.y,). A block owns units blockIdx.x width ... of sequences blockIdx.y height ..., both
// multiples of 4; a tile are the gates of a unit of four sequences. Moves 15 s a unit and step, w
// once, and units height s a block and step from the L2 cache.
KERNEL(lstm_fwd_persistent)(T* z, const T* w, const T* bias, const long long* lengths, T* h,
                            acc_t* c, T* y, T* cells, T* moving, GridBarrier* barrier,
                            long long steps, long long batch, long long units, long long width,
                            long long height, bool reverse, bool keep) {
    DYNAMIC_SHARED(weights);  // (width, units, 4)
    const Part part(width, height);
    const auto place = [=](long long half, long long n, long long j) {
        return ((half * part.panels + n / 4) * units + j) * 4 + n % 4;
    };
    BLOCK_STRIDE(i, 4 * width * units) {
        const long long k = i % units, gate = i / units % 4, local = i / (4 * units);
        const long long j = part.unit + local;
        if (j < units) weights[(local * units + k) * 4 + gate] = w[(gate * units + j) * units + k];
    }
    BLOCK_STRIDE(i, width * height) {
        const long long j = part.unit + i % width, n = part.sequence + i / width;
        if (j < units && n < batch) moving[place(0, n, j)] = h[n * units + j];
    }
    const long long tiles = width * height / 4;
    for (long long s = 0; s < steps; ++s) {
        const long long t = reverse ? steps - 1 - s : s, now = s % 2;
        row_barrier(barrier, s);
        TILE_STRIDE(i, tiles, 4) {
            const bool real = i < tiles;
            const long long local = real ? i % width : 0, four = real ? i / width : 0;
            const long long j = part.unit + local, n = part.sequence + 4 * four + lane() % 4;
            const T* x = moving + (now * part.panels + part.panel + four) * 4 * units;
            const Tile<4> tile(x, weights + local * 4 * units, units);
            if (real && j < units && n < batch) {
                const Unit unit((t * batch + n) * units + j, units, 4);
                acc_t* cj = c + n * units + j;
                T after = moving[place(now, n, j)];
                const bool on = goes_on(lengths, n, t);
                if (on) {
                    acc_t a[4];
#pragma unroll
                    for (int gate = 0; gate < 4; ++gate)
                        a[gate] = unit.sum(z, nullptr, bias, gate) + tile.at[gate];
                    const Cell cell = Cell::forward(a, *cj);
                    cell.keep(z, unit);
                    *cj = cell.c;
                    after = T(cell.h());
                }
                moving[place(1 - now, n, j)] = after;
                y[unit.i] = on ? after : T(0);
                if (keep) cells[unit.i] = T(*cj);
            }
        }
    }
    __syncthreads();
    BLOCK_STRIDE(i, width * height) {
        const long long j = part.unit + i % width, n = part.sequence + i / width;
        if (j < units && n < batch) h[n * units + j] = moving[place(steps % 2, n, j)];
    }
}

// lstm_bwd of all steps; gy, gates, cells and gz are of all steps; w: (4 units, units), W_hh; c_0:
// null for zeros; moving: (2, gridDim.y height / 4, 4 units, 4), 0 beforehand: gz; barrier:
// (gridDim.y,). A block owns units and sequences as above; a tile are four units of four sequences.
// Moves 12 s a unit and step, w once, and 4 units height s a block and step from the L2 cache.
KERNEL(lstm_bwd_persistent)(const T* gy, const T* w, const T* gates, const T* cells, const T* c_0,
                            const long long* lengths, acc_t* gh, acc_t* gc, T* gz, T* moving,
                            GridBarrier* barrier, long long steps, long long batch,
                            long long units, long long width, long long height, bool reverse) {
    DYNAMIC_SHARED(weights);  // (width / 4, 4 units, 4)
    const Part part(width, height);
    BLOCK_STRIDE(i, 4 * width * units) {
        const long long local = i % width, m = i / width, j = part.unit + local;
        if (j < units)
            weights[(local / 4 * 4 * units + m) * 4 + local % 4] = w[m * units + j];
    }
    const long long across = width / 4, tiles = across * height / 4;
    for (long long s = 0; s <= steps; ++s) {
        const long long t = reverse ? s : steps - 1 - s, now = s % 2;
        const long long earlier = reverse ? t + 1 : t - 1;
        row_barrier(barrier, s);
        TILE_STRIDE(i, tiles, 16) {
            const bool real = i < tiles;
            const long long local = real ? i % across : 0, four = real ? i / across : 0;
            const int a = lane() % 16 / 4, b = lane() % 4;
            const long long j = part.unit + 4 * local + b, n = part.sequence + 4 * four + a;
            const long long panel = part.panel + four;
            const T* x = moving + (now * part.panels + panel) * 16 * units;
            const Tile<16> tile(x, weights + local * 16 * units, 4 * units);
            if (real && j < units && n < batch) {
                const long long k = n * units + j;
                const bool on = s < steps && goes_on(lengths, n, t);
                const acc_t g = gh[k] + tile.at[0];
                const Unit unit((t * batch + n) * units + j, units, 4);
                acc_t ga[4] = {};
                if (on) {
                    const long long before = (earlier * batch + n) * units + j;
                    const acc_t c = s + 1 == steps ? or_zero(c_0, k) : acc_t(cells[before]);
                    const Cell cell(gates, unit, acc_t(cells[unit.i]));
                    cell.backward(g + or_zero(gy, unit.i), c, &gc[k], ga);
                }
                gh[k] = on ? 0 : g;
                T* to = moving + ((1 - now) * part.panels + panel) * 16 * units;
#pragma unroll
                for (int gate = 0; gate < 4; ++gate) {
                    to[(gate * units + j) * 4 + a] = T(ga[gate]);
                    if (s < steps) gz[unit.part(gate)] = T(ga[gate]);
                }
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------
// GRU

// h, y, q and the gates of one step. A thread owns units of sequences. Moves 11 s a unit of a
// sequence.
KERNEL(gru_fwd)(T* z, const T* product, const T* bias, const long long* lengths, T* h, T* y, T* q,
                long long t, long long batch, long long units) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 3);
        if (!goes_on(lengths, unit.n, t)) {
            y[i] = T(0);
            continue;
        }
        const acc_t r = sigmoid(unit.sum(z, product, bias, 0));
        const acc_t u = sigmoid(unit.sum(z, product, bias, 1));
        const acc_t inner = or_zero(product, unit.part(2)) + or_zero(bias, unit.bias(3));
        const acc_t n = tanh(acc_t(z[unit.part(2)]) + or_zero(bias, unit.bias(2)) + r * inner);
        z[unit.part(0)] = T(r);
        z[unit.part(1)] = T(u);
        z[unit.part(2)] = T(n);
        q[i] = T(inner);
        h[i] = y[i] = T(n + u * (acc_t(h[i]) - n));
    }
}

// gz, gh and back of one step. before: y of step `earlier`, null if this step is the first of all;
// h_0: the first state, null for zeros; back: (batch, 3 units), what the next product takes of gz:
// r, u and q. A thread owns units of sequences. Moves 13 s a unit of a sequence.
KERNEL(gru_bwd)(const T* gy, const T* product, const T* gates, const T* q, const T* before,
                const T* h_0, const long long* lengths, acc_t* gh, T* gz, T* back, long long t,
                long long earlier, long long batch, long long units) {
    GRID_STRIDE(i, batch * units) {
        const Unit unit(i, units, 3), four(i, units, 4);
        const acc_t g_all = gh[i] + or_zero(product, i);
        if (!goes_on(lengths, unit.n, t)) {
            gh[i] = g_all;
            for (int part = 0; part < 4; ++part) gz[four.part(part)] = T(0);
            for (int part = 0; part < 3; ++part) back[unit.part(part)] = T(0);
            continue;
        }
        const bool first = !before || !goes_on(lengths, unit.n, earlier);
        const acc_t h = first ? or_zero(h_0, i) : acc_t(before[i]);
        const acc_t r = acc_t(gates[unit.part(0)]), u = acc_t(gates[unit.part(1)]);
        const acc_t n = acc_t(gates[unit.part(2)]), g = g_all + or_zero(gy, i);
        const acc_t gn = g * (1 - u) * (1 - n * n), gu = g * (h - n) * u * (1 - u);
        const acc_t gr = gn * acc_t(q[i]) * r * (1 - r);
        gz[four.part(0)] = back[unit.part(0)] = T(gr);
        gz[four.part(1)] = back[unit.part(1)] = T(gu);
        gz[four.part(2)] = T(gn);
        gz[four.part(3)] = back[unit.part(2)] = T(gn * r);
        gh[i] = g * u;
    }
}
