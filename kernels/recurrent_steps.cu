// All steps of a recurrent layer in one launch. This file is compiled behind recurrent.cu, which
// has the cells, and says what their arrays are.
//
// NAME_sequence: for few weights. A block takes one sequence from its first step to its last: it
// needs nothing of the others, so blocks never wait for each other. The state lies in shared
// memory, twice: a step reads one and writes the other, so that one barrier a step is enough. The
// recurrent weights come from the L2 cache at every step; neighbouring threads read neighbouring
// ones.
//
// NAME_persistent: for layers whose recurrent weights fit into the shared memory of all blocks
// together. Each loads its part once, and keeps it. Of the step before, it needs all units of its
// sequences: blocks of equal blockIdx.y put them into `moving`, and wait for each other at every
// step, which reads one half of it and writes the other. Products are made of Tiles, both factors
// of which lie in panels (K, 4). A block owns units blockIdx.x width ... of sequences blockIdx.y
// height ..., both multiples of 4.
//
//     bias, lengths                   as for one step
//     z, gates, y, cells, q, gy, gz   likewise, but of all steps
//     w                               (G units, units), W_hh; the first kernel has it transposed
//     h, c, gh, gc                    of the step before the first; in place, of the last
//     h_0, c_0                        (batch, units), null for zeros
//     moving                          (2, gridDim.y height / 4, M, 4), 0 beforehand: M elements of
//                                     sequence n are in panel n / 4
//     barrier                         (gridDim.y,), 0 beforehand
//
// Legal launches: NAME_sequence: any number of blocks, at most 256 units. NAME_persistent: the grid
// that just covers all units and sequences, G width units elements of shared memory.
//
// Twins: gpunet/backend/cpu/recurrent.py.

// ------------------------------------------------------------------------------------------------
// A block a sequence

constexpr int MOST = 256;

// lstm_fwd of all steps; w: (units, 4 units), W_hh transposed. A block owns a sequence. Moves 15 s
// a unit and step, and w from the L2 cache.
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
                    const LSTMCell cell = LSTMCell::forward(a, *cj);
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

// lstm_bwd of all steps. A block owns a sequence. Moves 12 s a unit and step, and w from the L2
// cache.
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
                    const LSTMCell cell(gates, unit, acc_t(cells[unit.i]));
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

// ------------------------------------------------------------------------------------------------
// The whole grid

// The units and sequences of a block.
struct Part {
    long long unit, sequence, width, height;  // the first of them, and how many

    __device__ Part(long long width, long long height)
        : unit(blockIdx.x * width), sequence(blockIdx.y * height), width(width), height(height) {}

    // Calls f(n, j) for unit j of sequence n, all that there are.
    template <typename Call>
    __device__ void each(long long batch, long long units, Call f) const {
        BLOCK_STRIDE(i, width * height) {
            const long long j = unit + i % width, n = sequence + i / width;
            if (j < units && n < batch) f(n, j);
        }
    }

    // The gates of its units, rows of w (gates, units, units), into panels (width / 4, gates,
    // units, 4).
    __device__ void load_rows(T* panels, const T* w, long long gates, long long units) const {
        BLOCK_STRIDE(i, gates * width * units) {
            const long long k = i % units, gate = i / units % gates, local = i / (gates * units);
            const long long j = unit + local, panel = local / 4 * gates + gate;
            if (j < units)
                panels[(panel * units + k) * 4 + local % 4] = w[(gate * units + j) * units + k];
        }
    }

    // Its units, columns of w (rows, units), into panels (width / 4, rows, 4).
    __device__ void load_columns(T* panels, const T* w, long long rows, long long units) const {
        BLOCK_STRIDE(i, width * rows) {
            const long long local = i % width, m = i / width, j = unit + local;
            if (j < units) panels[(local / 4 * rows + m) * 4 + local % 4] = w[m * units + j];
        }
    }
};

// Tile i of a part, four units of four sequences, by 16 lanes: each has the sum of one unit of one
// sequence in the end. Beyond the last tile, where `there` is false, it reads the first.
struct Square {
    long long column, n, j;  // of tiles in the part; the sequence; the unit
    bool there;

    __device__ Square(const Part& part, long long i, long long batch, long long units) {
        const long long across = part.width / 4, tile = i < tiles(part) ? i : 0;
        column = tile % across;
        n = part.sequence + tile / across * 4 + lane() % 16 / 4;
        j = part.unit + column * 4 + lane() % 4;
        there = i < tiles(part) && n < batch && j < units;
    }
    __device__ static long long tiles(const Part& part) { return part.width * part.height / 16; }
};

// What moves from step to step: `size` elements of each sequence. One half is what the step before
// left, the other what this one leaves.
struct Moving {
    T* elements;
    long long size, panels;

    __device__ Moving(T* elements, const Part& part, long long size)
        : elements(elements), size(size), panels(gridDim.y * part.height / 4) {}
    __device__ T* panel(long long half, long long n) const {
        return elements + (half * panels + n / 4) * size * 4;
    }
    __device__ T& at(long long half, long long n, long long k) const {
        return panel(half, n)[k * 4 + n % 4];
    }
};

// lstm_fwd of all steps; M = units: h. A block owns units of sequences. Moves 15 s a unit and step,
// w once, and units height s a block and step from the L2 cache.
KERNEL(lstm_fwd_persistent)(T* z, const T* w, const T* bias, const long long* lengths, T* h,
                            acc_t* c, T* y, T* cells, T* moving, GridBarrier* barrier,
                            long long steps, long long batch, long long units, long long width,
                            long long height, bool reverse, bool keep) {
    DYNAMIC_SHARED(weights);  // (width / 4, 4, units, 4)
    const Part part(width, height);
    const Moving state(moving, part, units);
    part.load_rows(weights, w, 4, units);
    part.each(batch, units,
              [=](long long n, long long j) { state.at(0, n, j) = h[n * units + j]; });
    for (long long s = 0; s < steps; ++s) {
        const long long t = reverse ? steps - 1 - s : s, now = s % 2;
        row_barrier(barrier, s);
        TILE_STRIDE(i, Square::tiles(part)) {
            const Square square(part, i, batch, units);
            const long long n = square.n, j = square.j;
            const T* gates = weights + square.column * 16 * units;
            const Tile<4> tile(state.panel(now, n), gates, units);
            if (square.there) {
                const Unit unit((t * batch + n) * units + j, units, 4);
                acc_t* cj = c + n * units + j;
                T after = state.at(now, n, j);
                const bool on = goes_on(lengths, n, t);
                if (on) {
                    acc_t a[4];
#pragma unroll
                    for (int gate = 0; gate < 4; ++gate)
                        a[gate] = unit.sum(z, nullptr, bias, gate) + tile.of[gate];
                    const LSTMCell cell = LSTMCell::forward(a, *cj);
                    cell.keep(z, unit);
                    *cj = cell.c;
                    after = T(cell.h());
                }
                state.at(1 - now, n, j) = after;
                y[unit.i] = on ? after : T(0);
                if (keep) cells[unit.i] = T(*cj);
            }
        }
    }
    __syncthreads();
    part.each(batch, units,
              [=](long long n, long long j) { h[n * units + j] = state.at(steps % 2, n, j); });
}

// lstm_bwd of all steps; M = 4 units: gz. A block owns units of sequences. Moves 12 s a unit and
// step, w once, and 4 units height s a block and step from the L2 cache.
KERNEL(lstm_bwd_persistent)(const T* gy, const T* w, const T* gates, const T* cells, const T* c_0,
                            const long long* lengths, acc_t* gh, acc_t* gc, T* gz, T* moving,
                            GridBarrier* barrier, long long steps, long long batch,
                            long long units, long long width, long long height, bool reverse) {
    DYNAMIC_SHARED(weights);  // (width / 4, 4 units, 4)
    const Part part(width, height);
    const Moving back(moving, part, 4 * units);
    part.load_columns(weights, w, 4 * units, units);
    for (long long s = 0; s <= steps; ++s) {
        const long long t = reverse ? s : steps - 1 - s, now = s % 2;
        const long long earlier = reverse ? t + 1 : t - 1;
        row_barrier(barrier, s);
        TILE_STRIDE(i, Square::tiles(part)) {
            const Square square(part, i, batch, units);
            const long long n = square.n, j = square.j, k = n * units + j;
            const T* columns = weights + square.column * 16 * units;
            const Tile<1> tile(back.panel(now, n), columns, 4 * units);
            if (square.there) {
                const bool on = s < steps && goes_on(lengths, n, t);
                const acc_t g = gh[k] + tile.of[0];
                const Unit unit((t * batch + n) * units + j, units, 4);
                acc_t ga[4] = {};
                if (on) {
                    const long long before = (earlier * batch + n) * units + j;
                    const acc_t c = s + 1 == steps ? or_zero(c_0, k) : acc_t(cells[before]);
                    const LSTMCell cell(gates, unit, acc_t(cells[unit.i]));
                    cell.backward(g + or_zero(gy, unit.i), c, &gc[k], ga);
                }
                gh[k] = on ? 0 : g;
#pragma unroll
                for (int gate = 0; gate < 4; ++gate) {
                    back.at(1 - now, n, gate * units + j) = T(ga[gate]);
                    if (s < steps) gz[unit.part(gate)] = T(ga[gate]);
                }
            }
        }
    }
}

// gru_fwd of all steps; M = units: h. A block owns units of sequences. Moves 11 s a unit and step,
// w once, and units height s a block and step from the L2 cache.
KERNEL(gru_fwd_persistent)(T* z, const T* w, const T* bias, const long long* lengths, T* h, T* y,
                           T* q, T* moving, GridBarrier* barrier, long long steps,
                           long long batch, long long units, long long width, long long height,
                           bool reverse) {
    DYNAMIC_SHARED(weights);  // (width / 4, 3, units, 4)
    const Part part(width, height);
    const Moving state(moving, part, units);
    part.load_rows(weights, w, 3, units);
    part.each(batch, units,
              [=](long long n, long long j) { state.at(0, n, j) = h[n * units + j]; });
    for (long long s = 0; s < steps; ++s) {
        const long long t = reverse ? steps - 1 - s : s, now = s % 2;
        row_barrier(barrier, s);
        TILE_STRIDE(i, Square::tiles(part)) {
            const Square square(part, i, batch, units);
            const long long n = square.n, j = square.j;
            const T* gates = weights + square.column * 12 * units;
            const Tile<3> tile(state.panel(now, n), gates, units);
            if (square.there) {
                const Unit unit((t * batch + n) * units + j, units, 3);
                T after = state.at(now, n, j);
                const bool on = goes_on(lengths, n, t);
                if (on) {
                    const acc_t a[] = {unit.sum(z, nullptr, bias, 0) + tile.of[0],
                                       unit.sum(z, nullptr, bias, 1) + tile.of[1],
                                       unit.sum(z, nullptr, bias, 2)};
                    const GRUCell cell(a, tile.of[2] + or_zero(bias, 3 * units + j));
                    cell.keep(z, q, unit);
                    after = T(cell.h(acc_t(after)));
                }
                state.at(1 - now, n, j) = after;
                y[unit.i] = on ? after : T(0);
            }
        }
    }
    __syncthreads();
    part.each(batch, units,
              [=](long long n, long long j) { h[n * units + j] = state.at(steps % 2, n, j); });
}

// gru_bwd of all steps; M = 3 units: what the product takes of gz, r, u and q. A block owns units
// of sequences. Moves 13 s a unit and step, w once, and 3 units height s a block and step from the
// L2 cache.
KERNEL(gru_bwd_persistent)(const T* gy, const T* w, const T* gates, const T* q, const T* y,
                           const T* h_0, const long long* lengths, acc_t* gh, T* gz, T* moving,
                           GridBarrier* barrier, long long steps, long long batch,
                           long long units, long long width, long long height, bool reverse) {
    DYNAMIC_SHARED(weights);  // (width / 4, 3 units, 4)
    const Part part(width, height);
    const Moving back(moving, part, 3 * units);
    part.load_columns(weights, w, 3 * units, units);
    for (long long s = 0; s <= steps; ++s) {
        const long long t = reverse ? s : steps - 1 - s, now = s % 2;
        const long long earlier = reverse ? t + 1 : t - 1;
        row_barrier(barrier, s);
        TILE_STRIDE(i, Square::tiles(part)) {
            const Square square(part, i, batch, units);
            const long long n = square.n, j = square.j, k = n * units + j;
            const T* columns = weights + square.column * 12 * units;
            const Tile<1> tile(back.panel(now, n), columns, 3 * units);
            if (square.there) {
                const Unit unit((t * batch + n) * units + j, units, 3), four(unit.i, units, 4);
                acc_t g = gh[k] + tile.of[0], ga[4] = {};
                if (s < steps && goes_on(lengths, n, t)) {
                    const bool first = s + 1 == steps || !goes_on(lengths, n, earlier);
                    const long long before = (earlier * batch + n) * units + j;
                    const acc_t h = first ? or_zero(h_0, k) : acc_t(y[before]);
                    g = GRUCell(gates, q, unit).backward(g + or_zero(gy, unit.i), h, ga);
                }
                gh[k] = g;
                back.at(1 - now, n, j) = T(ga[0]);
                back.at(1 - now, n, units + j) = T(ga[1]);
                back.at(1 - now, n, 2 * units + j) = T(ga[3]);
#pragma unroll
                for (int p = 0; p < 4; ++p)
                    if (s < steps) gz[four.part(p)] = T(ga[p]);
            }
        }
    }
}
