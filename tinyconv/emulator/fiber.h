// A fiber is a stack and a place to go on from: a thread of execution that only runs when it is told to.
//
// The emulator gives one to every CUDA thread of a block whose threads wait for one another.  A thread that waits
// switches back to the scheduler in the middle of whatever function it is in; later it goes on from there.  A switch
// saves the registers that a C++ function must preserve and exchanges the stack pointer: a few nanoseconds, with no
// system call.
#pragma once
#include <sys/mman.h>
#include <unistd.h>
#include <cstddef>
#include <cstdint>
#include <new>

#if defined(__x86_64__) && !defined(PORTABLE_FIBERS)

extern "C" void emulator_switch(void** save, void* restore);
asm(R"(
    .text
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, . - emulator_switch
)");

namespace emulator {

struct Context {
    void* stack_pointer = nullptr;
    // Makes this the context of a fiber that will start in `entry`, which must never return.
    void start(char* stack, size_t nbytes, void (*entry)())
    {
        void** top = reinterpret_cast<void**>(stack + nbytes);
        *--top = nullptr;  // the return address of `entry`; with it the stack is aligned as after a call
        *--top = reinterpret_cast<void*>(entry);
        for (int i = 0; i < 6; ++i) *--top = nullptr;  // the six registers
        stack_pointer = top;
    }
    static void exchange(Context& from, Context& to) { emulator_switch(&from.stack_pointer, to.stack_pointer); }
};

}  // namespace emulator

#else  // the same through the C library, which makes a system call for every switch
#include <ucontext.h>

namespace emulator {

struct Context {
    ucontext_t state;
    void start(char* stack, size_t nbytes, void (*entry)())
    {
        getcontext(&state);
        state.uc_stack.ss_sp = stack, state.uc_stack.ss_size = nbytes, state.uc_link = nullptr;
        makecontext(&state, entry, 0);
    }
    static void exchange(Context& from, Context& to) { swapcontext(&from.state, &to.state); }
};

}  // namespace emulator
#endif

namespace emulator {

// Zeros, of which only the pages that are touched take up memory.  Give them back with munmap.
inline void* reserve_memory(size_t nbytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
}

// Stacks for fibers, kept from launch to launch.  Below each lies a page that may not be touched: a stack that
// overflows ends the process, rather than damage its neighbour.
class Stacks {
public:
    ~Stacks() { release(); }
    void reserve(size_t count, size_t nbytes)
    {
        nbytes = (nbytes + PAGE - 1) / PAGE * PAGE + PAGE;
        if (count <= count_ && nbytes <= stride_) return;
        release();
        memory_ = static_cast<char*>(reserve_memory(count * nbytes)), count_ = count, stride_ = nbytes;
        for (size_t i = 0; i < count; ++i) mprotect(memory_ + i * stride_, PAGE, PROT_NONE);
    }
    char* stack(size_t i) const { return memory_ + i * stride_ + PAGE; }
    // Stacks that begin at the same place of a page would compete for the same lines of the cache: stagger them.
    size_t nbytes(size_t i) const { return stride_ - PAGE - i % 16 * 576; }

private:
    void release()
    {
        if (memory_) munmap(memory_, count_ * stride_);
        memory_ = nullptr, count_ = stride_ = 0;
    }
    static constexpr size_t PAGE = 16384;  // a multiple of the usual page sizes
    char* memory_ = nullptr;
    size_t count_ = 0, stride_ = 0;
};

}  // namespace emulator
