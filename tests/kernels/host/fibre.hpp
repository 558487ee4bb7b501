// How a fibre is entered and left, and what ThreadSanitizer is told of it.
//
// makecontext only gives a fibre its stack; from then on it is entered and left by longjmp, which
// makes no system call. Sanitizers follow every jump and lose their way in these: for them it is
// swapcontext, which is ten times as slow.

#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ucontext.h>
#include <vector>

namespace host {
namespace {

constexpr size_t STACK = 64 * 1024, USED = 8 * 1024;  // bytes; kernels do not call deep

void lay_out(ucontext_t& context, char* stack, void (*fibre)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    makecontext(&context, fibre, 0);
}

#ifdef SANITIZED

using Place = ucontext_t;

void go(Place& from, Place& to) { swapcontext(&from, &to); }

void start(Place& from, Place& fibres_own, char* stack, void (*fibre)()) {
    lay_out(fibres_own, stack, fibre);
    swapcontext(&from, &fibres_own);
}

#else

using Place = jmp_buf;

void go(Place& from, Place& to) {
    if (!_setjmp(from)) _longjmp(to, 1);
}

void start(Place& from, Place&, char* stack, void (*fibre)()) {
    ucontext_t context;
    lay_out(context, stack, fibre);
    if (!_setjmp(from)) setcontext(&context);
}

#endif

#ifdef RACES

extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_acquire(void*);
void __tsan_release(void*);
void __tsan_java_init(uintptr_t, uintptr_t);
void __tsan_java_alloc(uintptr_t, uintptr_t);
}

// Tells ThreadSanitizer which CUDA thread runs, and what orders two of them: the start and the end of
// the grid for all, a barrier for those of one block.
class Races {
public:
    // A new block, which gets a number. Its stacks may be those of another one before.
    size_t start_block(unsigned count, char* stacks) {
        if (blocks.empty()) scheduler = __tsan_get_current_fiber();
        for (unsigned i = 1; i <= count; ++i)  // kernels use the upper end, which comes first
            forget(stacks + i * STACK - USED, USED);
        blocks.emplace_back(new Block{{}, {}, 0});
        for (unsigned i = 0; i < count; ++i) blocks.back()->threads.push_back(__tsan_create_fiber(0));
        return blocks.size() - 1;
    }

    // What is read and written from now on is another block's.
    void choose_block(size_t number) { block = blocks[number].get(); }

    // Memory that is another one from now on, though at the same address.
    void forget(void* start, size_t size) {
        static const bool once = (__tsan_java_init(8, uintptr_t(1) << 47), true);
        (void)once;
        const uintptr_t address = reinterpret_cast<uintptr_t>(start);
        if (size) __tsan_java_alloc(address & ~uintptr_t(7), (size + 7) & ~size_t(7));
    }

    void enter_thread(unsigned number) { enter(number, false); }
    void enter_scheduler() { enter(0, true); }

    // Barriers alternate between two tags: a thread that is one ahead must not order those behind.
    void arrive_at_barrier() {
        __tsan_release(&block->barrier[block->passed % 2]);
    }
    void leave_barrier() {
        __tsan_acquire(&block->barrier[(block->passed - 1) % 2]);
    }
    void open_barrier() {
        ++block->passed;
    }

    void end_thread() {
        __tsan_release(&grid);
    }

    // Fibres are kept until here: a race with one that is gone would not be reported.
    void end_grid() {
        __tsan_acquire(&grid);
        for (const auto& block : blocks)
            for (void* thread : block->threads) __tsan_destroy_fiber(thread);
        blocks.clear();
    }

private:
    struct Block {
        std::vector<void*> threads;
        char barrier[2];
        unsigned passed;
    };

    void enter(unsigned number, bool to_scheduler) {
        const unsigned without_order = 1;
        void* to = to_scheduler ? scheduler : block->threads[number];
        __tsan_switch_to_fiber(to, without_order);
    }

    std::vector<std::unique_ptr<Block>> blocks;
    Block* block = nullptr;  // the one that runs
    void* scheduler = nullptr;
    char grid = 0;
};

#else

class Races {
public:
    size_t start_block(unsigned, char*) { return 0; }
    void choose_block(size_t) {}
    void forget(void*, size_t) {}
    void enter_thread(unsigned) {}
    void enter_scheduler() {}
    void arrive_at_barrier() {}
    void leave_barrier() {}
    void open_barrier() {}
    void end_thread() {}
    void end_grid() {}
};

#endif

}  // namespace
}  // namespace host
