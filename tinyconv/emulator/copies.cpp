// Fences, and cp.async: copies from global to shared memory that a thread starts and waits for later.
//
// A copy takes effect when its thread waits for it, the latest moment at which it could.  So whoever reads too early
// reads the old content, and the checker knows that a copy is on its way.
#include <algorithm>
#include "check.h"

namespace emulator {

void memory_fence(Thread& thread, Scope scope)
{
    if (Checker* checker = thread.block->launch.checker.get()) checker->fence(state(thread), scope);
}

void acquire(Thread& thread)
{
    if (Checker* checker = thread.block->launch.checker.get()) checker->acquire(state(thread));
}

void copy_async(Thread& thread, uint32_t write_site, uint32_t read_site, uint32_t to, uint64_t from, uint32_t nbytes,
                uint32_t valid)
{
    if (valid > nbytes)
        fail(thread, write_site, "cp.async of ", nbytes, " bytes says that ", valid, " of them come from memory");
    Copy copy = {to, nbytes, valid, state(thread).groups, write_site, read_site, from};
    if (Checker* checker = thread.block->launch.checker.get()) checker->depart(state(thread), copy);
    state(thread).copies.push_back(copy);
}

void commit_group(Thread& thread) { ++state(thread).groups; }

static void arrive(ThreadState& thread, uint32_t groups)
{
    auto arrives = [&](const Copy& copy) { return copy.group < groups; };
    for (const Copy& copy : thread.copies) {
        if (!arrives(copy)) continue;
        if (Checker* checker = thread.block->launch.checker.get()) checker->arrive(thread, copy);
        __builtin_memset(thread.shared + copy.to, 0, copy.nbytes);
        __builtin_memcpy(thread.shared + copy.to, reinterpret_cast<const char*>(copy.from), copy.valid);
    }
    thread.copies.erase(std::remove_if(thread.copies.begin(), thread.copies.end(), arrives), thread.copies.end());
}

void wait_group(Thread& thread, uint32_t pending)
{
    ThreadState& me = state(thread);
    if (me.groups > pending) arrive(me, me.groups - pending);
}

void wait_all(Thread& thread) { arrive(state(thread), ~0u); }

}  // namespace emulator
