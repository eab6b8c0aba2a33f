// What happened before what: what each thread knows of the others, and what hands that knowledge on.
#include <algorithm>
#include <set>
#include "check.h"

namespace emulator {

using Shared = std::shared_ptr<const Knowledge>;

static uint64_t key(uint64_t block, uint64_t thread) { return block << 10 | thread; }

void Knowledge::join(const Knowledge& other)
{
    for (auto [thread, clock] : other.threads) threads[thread] = std::max(threads[thread], clock);
    for (auto [block, clock] : other.blocks) blocks[block] = std::max(blocks[block], clock);
}

bool Knowledge::has(Stamp stamp) const
{
    auto block = blocks.find(stamp.block);
    if (block != blocks.end() && stamp.clock < block->second) return true;
    auto thread = threads.find(key(stamp.block, stamp.thread));
    return thread != threads.end() && stamp.clock <= thread->second;
}

static std::shared_ptr<Knowledge> copy_of(const Shared& known)
{
    return known ? std::make_shared<Knowledge>(*known) : std::make_shared<Knowledge>();
}

static Shared joined(const Shared& known, const Knowledge& more)
{
    auto all = copy_of(known);
    all->join(more);
    return all;
}

bool Checker::before(Stamp stamp, const ThreadState& thread) const
{
    const Block& block = *thread.block;
    if (stamp.block == 0) return true;  // nobody's
    if (stamp.block == block.number + 1) {
        if (stamp.thread == thread.index || stamp.clock < block.barrier_clock) return true;
        bool same_warp = stamp.thread / 32 == thread.index / 32;
        if (same_warp && stamp.clock <= thread.known[stamp.thread % 32]) return true;
    }
    return thread.acquired && thread.acquired->has(stamp);
}

// ------------------------------------------------------------------------------------------------ threads that meet

// One clock for the whole block: what follows a synchronisation has a higher one than all that came before.
static uint16_t tick(Block& block)
{
    if (block.clock == 0xffff)
        throw Failure{text(block.launch.request.name,
                           ": a block synchronises more than 65535 times; check mode needs a smaller case")};
    return ++block.clock;
}

// What one of these threads has seen of other blocks, all of them have seen now.
static void share_acquired(const std::vector<ThreadState*>& threads)
{
    std::set<Shared> different;
    for (ThreadState* thread : threads)
        if (thread->acquired) different.insert(thread->acquired);
    if (different.empty()) return;
    Shared all = *different.begin();
    for (auto other = std::next(different.begin()); other != different.end(); ++other) all = joined(all, **other);
    for (ThreadState* thread : threads) thread->acquired = all;
}

void Checker::after_barrier(Block& block)
{
    block.barrier_clock = tick(block);
    std::vector<ThreadState*> all;
    for (ThreadState& thread : block.threads) {
        thread.clock = block.barrier_clock;
        all.push_back(&thread);
    }
    share_acquired(all);
}

void Checker::after_warp_barrier(ThreadState* first, uint32_t present)
{
    uint16_t known[32] = {}, clock = tick(*first->block);
    std::vector<ThreadState*> lanes;
    for (uint32_t lane = 0; lane < 32; ++lane) {
        if (!(present >> lane & 1)) continue;
        for (uint32_t other = 0; other < 32; ++other) known[other] = std::max(known[other], first[lane].known[other]);
        known[lane] = std::max(known[lane], first[lane].clock);
        lanes.push_back(first + lane);
    }
    for (ThreadState* lane : lanes) {
        std::copy_n(known, 32, lane->known);
        lane->clock = clock;
    }
    share_acquired(lanes);
}

// ------------------------------------------------------------------------------------------------ fences and atomics

// What the thread did and has seen so far is what its next atomics publish.
void Checker::fence(ThreadState& thread, Scope scope)
{
    acquire(thread);
    auto seen = copy_of(thread.acquired);
    uint64_t block = thread.block->number + 1;
    seen->blocks[block] = thread.block->barrier_clock;
    for (uint32_t lane = 0; lane < 32; ++lane)
        if (thread.known[lane]) seen->threads[key(block, (thread.index & ~31u) + lane)] = thread.known[lane];
    seen->threads[key(block, thread.index)] = thread.clock;
    thread.fenced[int(Scope::Block)] = seen;
    if (scope == Scope::Device) thread.fenced[int(Scope::Device)] = seen;
    thread.clock = tick(*thread.block);
}

void Checker::acquire(ThreadState& thread)
{
    if (!thread.loaded) return;
    thread.acquired = joined(thread.acquired, *thread.loaded);
    thread.loaded = nullptr;
}

static void exchange(ThreadState& thread, std::unordered_map<uint64_t, Knowledge>& published, uint64_t address,
                     Kind kind, const Shared& fenced)
{
    auto found = published.find(address);
    if (found != published.end() && reads(kind)) {
        Shared& to = kind == Kind::AtomicRead ? thread.loaded : thread.acquired;
        to = joined(to, found->second);
    }
    if (fenced && writes(kind)) published[address].join(*fenced);
}

void Checker::exchange_knowledge(ThreadState& thread, uint64_t address, const Site& site, bool in_shared)
{
    exchange(thread, published_in_block_, address, site.kind, thread.fenced[int(Scope::Block)]);
    if (site.scope == Scope::Device && !in_shared)
        exchange(thread, published_, address, site.kind, thread.fenced[int(Scope::Device)]);
}

}  // namespace emulator
