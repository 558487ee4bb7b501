// Runs a grid of CUDA threads as fibres, under any of several schedules.
//
// Within a block every thread is a fibre that runs until it ends or has to wait: for its block at a
// barrier, for its warp in a shuffle, or asleep for what another block does. What runs next is the
// schedule's choice, and a correct kernel gives the same bits under every schedule. A wrong one may
// hide its fault from some of them, so there are two kinds:
//
//   breadth first   every thread of the block takes one turn after the other: a thread that reads
//                   what another has yet to write reads it too early
//   depth first     a warp runs until all of it waits at a barrier, then the next one: a warp that
//                   overwrites what another has yet to read overwrites it too early
//
// each with the threads and blocks in forward, reverse or random order.
//
// Blocks run one after the other, as CUDA may run them. Those of a cooperative launch run side by
// side: breadth first from one barrier of a block to its next, depth first until the block can do
// nothing but wait for others. Their static shared memory is lost whenever another block has its
// turn, so that a cooperative kernel has to use dynamic shared memory.
//
// A fibre lives on when its thread has ended, and takes a thread of the next block. How it is entered
// and left is in fibre.hpp. Under ThreadSanitizer every CUDA thread of the grid counts as a thread of
// its own, also those of blocks that ran one after the other, and only barriers order them.

#include "device.hpp"
#include "fibre.hpp"

#include <algorithm>
#include <link.h>
#include <memory>
#include <random>
#include <string>
#include <vector>

Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {
namespace {

constexpr unsigned WARP = 32, MAX_THREADS = 256;
constexpr unsigned SIDE_BY_SIDE = 64;  // blocks of a cooperative launch, at most
constexpr unsigned PATIENCE = 100;     // turns in which all sleep, until it counts as for ever
constexpr unsigned POISON = 0xff;      // in shared memory that nobody wrote: NaN
#ifdef SANITIZED
constexpr size_t GUARD = 0;  // the sanitizer has its own
#else
constexpr size_t GUARD = 64;  // bytes on either side of dynamic shared memory, to stay as they are
#endif

enum class State { READY, AT_BARRIER, IN_SHUFFLE, ASLEEP, DONE };

struct Thread {
    State state;
    Index index;
    const char* barrier;       // the source line of the one where it waits
    unsigned mask, source;     // of a shuffle: with whom, from whom,
    uint64_t given, received;  // what it gave and what it got
    bool fenced;               // whether it made a memory fence
    bool slept;                // whether it has just been woken
    bool has_fibre;            // which waits in `here` for its next turn
    Place here;
};

// A block and its fibres, which live on for blocks to come.
struct Block {
    Index index;
    size_t number;  // what the race detector calls it
    bool ended;
    Thread threads[MAX_THREADS];
    const std::unique_ptr<char[]> stacks{new char[MAX_THREADS * STACK]};  // touched when used
    std::unique_ptr<unsigned char[]> shared;  // dynamic shared memory, between two guards
    size_t room = 0;                          // its bytes between the guards
};

// One launch at a time; the fibres find it here.
std::vector<std::unique_ptr<Block>> blocks;  // as many as run side by side
Block* block;                                // the one whose turn it is
unsigned running;                            // number of its thread whose turn it is
bool moved;  // whether a thread did anything but wake up and fall asleep again
size_t shared_size;
Place scheduler;
Races races;
void (*kernel)(void** arguments);
void** kernel_arguments;
std::string error;

// ------------------------------------------------------------------------------------------------
// A thread's side

void switch_to_scheduler() {
    races.enter_scheduler();
    go(block->threads[running].here, scheduler);
}

void fibre() {
    for (;;) {
        kernel(kernel_arguments);
        races.end_thread();
        block->threads[running].state = State::DONE;
        switch_to_scheduler();
    }
}

std::string place() {
    const std::string x = std::to_string(blockIdx.x), y = std::to_string(blockIdx.y);
    return "block (" + x + ", " + y + "): ";
}

// Ends the launch with an error; the thread gets no further turn.
void give_up(const char* why) {
    error = place() + "thread " + std::to_string(running) + " " + why;
    block->threads[running].mask = 0;  // so that no shuffle is complete with it
    switch_to_scheduler();
}

bool all_lanes_are_here(unsigned first_lane, unsigned mask) {
    for (unsigned lane = 0; lane < WARP; ++lane) {
        const Thread& other = block->threads[first_lane + lane];
        const bool here = other.state == State::IN_SHUFFLE && other.mask == mask;
        if (mask >> lane & 1 && !here) return false;
    }
    return true;
}

}  // namespace

void wait_for_block(const char* place) {
    Thread& me = block->threads[running];
    me.state = State::AT_BARRIER;
    me.barrier = place;
    races.arrive_at_barrier();
    switch_to_scheduler();
    races.leave_barrier();
}

void sleep() {
    block->threads[running].state = State::ASLEEP;
    switch_to_scheduler();
}

void* dynamic_shared() { return block->shared.get() + GUARD; }

void fence() { block->threads[running].fenced = true; }
bool fenced() { return block->threads[running].fenced; }

uint64_t exchange(unsigned mask, uint64_t bits, unsigned source) {
    Thread& me = block->threads[running];
    me.state = State::IN_SHUFFLE;
    me.mask = mask;
    const auto in_mask = [mask](unsigned lane) { return lane < WARP && mask >> lane & 1; };
    if (!in_mask(running % WARP)) give_up("is not in the mask of its own shuffle");
    if (!in_mask(source)) give_up("asks a lane that is not in the mask");
    me.source = source;
    me.given = bits;
    const unsigned first_lane = running / WARP * WARP;
    if (all_lanes_are_here(first_lane, mask)) {  // the last to come serves them all
        for (unsigned lane = 0; lane < WARP; ++lane) {
            Thread& other = block->threads[first_lane + lane];
            if (!(mask >> lane & 1)) continue;
            other.received = block->threads[first_lane + other.source].given;
            other.state = State::READY;
        }
    }
    switch_to_scheduler();
    return me.received;
}

// ------------------------------------------------------------------------------------------------
// The scheduler's side

namespace {

enum Order { FORWARD, REVERSE, RANDOM };

struct Schedule {
    Order order;
    bool depth_first;
    std::mt19937 random;

    std::vector<unsigned> permutation(unsigned count) {
        std::vector<unsigned> numbers(count);
        for (unsigned i = 0; i < count; ++i) numbers[i] = i;
        if (order == REVERSE) std::reverse(numbers.begin(), numbers.end());
        if (order == RANDOM) std::shuffle(numbers.begin(), numbers.end(), random);
        return numbers;
    }
};

// Returns when the thread has to wait, or has ended.
void resume(unsigned number) {
    running = number;
    Thread& thread = block->threads[number];
    threadIdx = thread.index;
    races.enter_thread(number);
    if (thread.has_fibre) return go(scheduler, thread.here);
    thread.has_fibre = true;
    start(scheduler, thread.here, block->stacks.get() + number * STACK, fibre);
}

// Gives turns to threads [first, last) until all of them wait at a barrier, sleep, are done, or are
// stuck.
void run(unsigned first, unsigned last, Schedule& schedule) {
    for (bool any_ran = true; any_ran;) {
        any_ran = false;
        for (unsigned offset : schedule.permutation(last - first)) {
            Thread& thread = block->threads[first + offset];
            if (thread.state != State::READY) continue;
            const bool slept = thread.slept;
            thread.slept = false;
            resume(first + offset);
            any_ran = true;
            moved |= !slept || thread.state != State::ASLEEP;
        }
    }
}

std::string description(const Thread& thread) {
    const std::string name = "thread " + std::to_string(thread.index.x);
    if (thread.state == State::DONE) return name + " has ended";
    if (thread.state == State::IN_SHUFFLE) return name + " waits for lanes of its warp";
    return name + " waits at " + thread.barrier;
}

// Wakes those that sleep. Whether any do.
bool wake(unsigned count) {
    bool any = false;
    for (unsigned i = 0; i < count; ++i) {
        Thread& thread = block->threads[i];
        if (thread.state != State::ASLEEP) continue;
        thread.state = State::READY;
        any = thread.slept = true;
    }
    return any;
}

// Opens the barrier that all threads wait at. False if the block has ended, or will never go on.
bool open_barrier(unsigned count) {
    if (!error.empty()) return false;
    Thread* threads = block->threads;
    const Thread& one = threads[0];
    for (unsigned i = 0; i < count; ++i) {
        const Thread& other = threads[i];
        const bool ended = one.state == State::DONE && other.state == State::DONE;
        const bool waiting = one.state == State::AT_BARRIER && other.state == State::AT_BARRIER;
        if (ended || (waiting && !std::strcmp(one.barrier, other.barrier))) continue;
        error = place() + description(one) + ", " + description(other);
        return false;
    }
    if (one.state == State::DONE) return false;
    for (unsigned i = 0; i < count; ++i) threads[i].state = State::READY;
    races.open_barrier();
    return true;
}

// Shared memory: this library's thread-local storage, of the OS thread that launches.
struct Shared {
    void* start;
    size_t size;
};

// Written before shared memory is looked for: it exists from the first access on.
thread_local volatile char shared_memory_exists;

int find_shared_memory(dl_phdr_info* library, size_t, void* found) {
    const auto contains = [&](const ElfW(Phdr)& segment) {
        const uintptr_t start = library->dlpi_addr + segment.p_vaddr;
        const uintptr_t here = reinterpret_cast<uintptr_t>(&find_shared_memory);
        return segment.p_type == PT_LOAD && start <= here && here < start + segment.p_memsz;
    };
    const ElfW(Phdr)*first = library->dlpi_phdr, *last = first + library->dlpi_phnum;
    if (std::none_of(first, last, contains)) return 0;
    for (const ElfW(Phdr)* segment = first; segment < last; ++segment)
        if (segment->p_type == PT_TLS)
            *static_cast<Shared*>(found) = {library->dlpi_tls_data, segment->p_memsz};
    return 1;
}

Shared shared_memory() {
    Shared found = {};
    shared_memory_exists = 1;
    dl_iterate_phdr(find_shared_memory, &found);
    return found;
}

void poison(void* start, size_t size) {
    for (size_t i = 0; i < size; ++i) static_cast<volatile unsigned char*>(start)[i] = POISON;
}

// Makes a block the one that runs.
void choose(Block& chosen, const Shared& shared) {
    block = &chosen;
    blockIdx = chosen.index;
    races.choose_block(chosen.number);
    // With NaN: a block must not find there what the one before left.
    poison(shared.start, shared.size);
}

// Makes a block number `number` of the grid, at its start.
void begin(Block& begun, unsigned number, const Shared& shared) {
    begun.index = {number % gridDim.x, number / gridDim.x, 0};
    begun.ended = false;
    const unsigned count = blockDim.x;
    for (unsigned i = 0; i < MAX_THREADS; ++i) {
        Thread& thread = begun.threads[i];
        thread.state = i < count ? State::READY : State::DONE;
        thread.index = {i, 0, 0};
        thread.fenced = thread.slept = false;
    }
    // The blocks of a launch keep theirs: to the race detector, giving it up would be a write.
    if (!begun.shared || begun.room != shared_size) {
        begun.shared.reset(new unsigned char[shared_size + 2 * GUARD]);
        begun.room = shared_size;
    }
    poison(begun.shared.get(), shared_size + 2 * GUARD);
    begun.number = races.start_block(count, begun.stacks.get());
    races.forget(shared.start, shared.size);
    races.forget(begun.shared.get(), shared_size);
}

// Runs the block that was chosen to its next barrier, or to its end. Whether it waits for others.
bool run_to_barrier(Schedule& schedule) {
    const unsigned count = blockDim.x, group = schedule.depth_first ? WARP : count;
    // Warps are groups of depth-first schedules; otherwise the whole block is one group.
    for (unsigned g : schedule.permutation((count + group - 1) / group))
        run(g * group, std::min(count, (g + 1) * group), schedule);
    if (error.empty() && wake(count)) return true;
    block->ended = !open_barrier(count);
    return false;
}

void check_guards(const Block& ended) {
    const unsigned char* start = ended.shared.get();
    const auto changed = [](unsigned char byte) { return byte != POISON; };
    for (const unsigned char* guard : {start, start + GUARD + shared_size})
        if (error.empty() && std::any_of(guard, guard + GUARD, changed))
            error = place() + "writes outside its shared memory";
}

// Runs blocks [first, last) of the grid side by side until all have ended, or one fails.
void run_blocks(unsigned first, unsigned last, Schedule& schedule, const Shared& shared) {
    const unsigned count = last - first;
    while (blocks.size() < count) blocks.emplace_back(new Block());
    for (unsigned i = 0; i < count; ++i) begin(*blocks[i], first + i, shared);
    unsigned left = count, idle = 0;
    while (left) {
        moved = false;
        for (unsigned i : schedule.permutation(count)) {
            if (blocks[i]->ended) continue;
            choose(*blocks[i], shared);
            bool waits = false;
            do waits = run_to_barrier(schedule);
            while (!block->ended && !waits && (schedule.depth_first || count == 1));
            if (block->ended) {
                check_guards(*block);
                --left;
            }
            if (!error.empty()) return;
        }
        idle = moved ? 0 : idle + 1;
        if (idle == PATIENCE) {
            error = place() + "sleeps for ever";
            return;
        }
    }
}

}  // namespace

// Runs entry(arguments) for every thread of the grid, each block with `shared_bytes` of dynamic shared
// memory, all blocks side by side if `cooperative`. Returns what went wrong, or null.
extern "C" __attribute__((visibility("default")))
const char* launch(void (*entry)(void**), void** arguments, unsigned grid_x, unsigned grid_y,
                   unsigned block_size, unsigned shared_bytes, int cooperative, int order,
                   int depth_first) {
    const unsigned count = grid_x * grid_y;
    if (block_size == 0 || block_size > MAX_THREADS || block_size % WARP || !grid_x || !grid_y ||
        grid_y > 65535 || (cooperative && count > SIDE_BY_SIDE))
        return "this launch is not legal";
    kernel = entry;
    kernel_arguments = arguments;
    error.clear();
    blockDim = {block_size, 1, 1};
    gridDim = {grid_x, grid_y, 1};
    shared_size = shared_bytes;
    const Shared shared = shared_memory();
    Schedule schedule = {Order(order), depth_first != 0, std::mt19937()};
    if (cooperative)
        run_blocks(0, count, schedule, shared);
    else
        for (unsigned number : schedule.permutation(count))
            if (error.empty()) run_blocks(number, number + 1, schedule, shared);
    races.end_grid();
    if (error.empty()) return nullptr;
    for (const auto& each : blocks)  // threads in the middle of the kernel are given up
        for (Thread& thread : each->threads)
            if (thread.state != State::DONE) thread.has_fibre = false;
    return error.c_str();
}

}  // namespace host
