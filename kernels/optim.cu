// Optimizer steps: all parameters in one launch, one pass over the memory of each.
//
//     table       (parameters,) rows of type Parameter, below
//     chunks      (gridDim.x,): which piece of which parameter each block owns
//     chunk_size  elements of a piece; the last piece of a parameter has what is left
//     lr          (1,) learning rate, float64 in device memory like the step counts, so that a step
//                 can be recorded once and replayed while both change
//
// The arrays of the table must not overlap. Every parameter has at least one chunk, even with no
// elements, or else its steps would not be counted. Legal launches: one block a chunk, of any whole
// number of warps; a chunk_size of about 16384 gives each thread enough to do. Within its chunk a
// thread takes 16 bytes of each array at a time where all addresses allow it.
// Bytes moved per element of s bytes: SGD 3 s, with momentum 5 s; Adam 7 s, with AMSGrad 9 s, which is the least there is.
//
// Twins: gpunet/backend/cpu/optim.py.

// One parameter. All fields are 8 bytes wide: the host writes this as a record array.
struct Parameter {
    T* p;            // (size,) the values, changed
    const T* g;      // (size,) their gradient
    T* velocity;     // (size,) SGD's; null without momentum
    T* m;            // (size,) Adam's average of the gradient
    T* v;            // (size,) Adam's average of its square
    T* v_max;        // (size,) the largest v so far; null without AMSGrad
    double* step;    // (1,) steps done, raised by this launch
    unsigned long long* arrivals;  // (1,) 0 before and after every launch
    long long size;
};

struct Chunk {
    long long parameter;  // row of the table
    long long index;      // which of the parameter's pieces
};

// ------------------------------------------------------------------------------------------------
// What both rules share

// The number of the step being made: 1 for the first. To be called once by every block.
__device__ double count_step(const Parameter& t, long long chunk_size) {
    __shared__ double number;
    if (threadIdx.x == 0) {
        number = *t.step + 1;
        // The last block to arrive raises the count: by then all blocks of the parameter have read
        // it. The fence keeps a block's reading before its arrival.
        __threadfence();
        const unsigned long long last = t.size > chunk_size ? (t.size - 1) / chunk_size : 0;
        if (atomicAdd(t.arrivals, 1ull) == last) {
            *t.step = number;
            *t.arrivals = 0;
        }
    }
    __syncthreads();
    return number;
}

// Calls update(i, width) for the block's elements: wide ones first, as many as fit, then single ones. 
