// Runs the threads of a launch in turn, on one processor: block after block, and in a block each thread until it has to
// wait for others.  Nothing depends on time, so a launch does the same every time; the order is the caller's choice.
#include <algorithm>
#include "check.h"

namespace emulator {

constexpr size_t STACK = 128 * 1024;   // of a thread, apart from its arrays
constexpr size_t RESERVE = 32 * 1024;  // of that, for the runtime itself, and for a function that has just begun

static thread_local Stacks stacks;
static thread_local ThreadState* starting;  // handed to a fiber that begins

// ------------------------------------------------------------------------------------------------ blocks

Block::Block(Launch& l) : launch(l)
{
    const Request& r = launch.request;
    uint32_t count = r.block.x * r.block.y * r.block.z;
    threads.resize(r.meets ? count : 1);
    shared.resize(r.static_shared + r.dynamic_shared + 128);
    order_ = launch.ordered(count);
    if (r.meets) stacks.reserve(count, STACK + 4 * r.local_nbytes);
}

void Block::run(uint32_t n)
{
    const Request& r = launch.request;
    number = n, done_ = 0, clock = barrier_clock = 1;
    // Shared memory begins with arbitrary content: a byte that makes NaN of a float shows who relies on it.
    std::fill(shared.begin(), shared.end(), char(0xff));
    if (launch.checker) launch.checker->begin_block(*this);
    if (r.meets) run_as_fibers(); else run_one_after_another();
}

void Block::prepare(ThreadState& thread, uint32_t index)
{
    const Request& r = launch.request;
    thread.tid = {index % r.block.x, index / r.block.x % r.block.y, index / r.block.x / r.block.y};
    thread.ctaid = {number % r.grid.x, number / r.grid.x % r.grid.y, number / r.grid.x / r.grid.y};
    thread.ntid = r.block, thread.nctaid = r.grid;
    thread.index = index, thread.steps = 0, thread.block = this;
    thread.shared = reinterpret_cast<char*>((reinterpret_cast<uint64_t>(shared.data()) + 127) / 128 * 128);
    thread.shared_nbytes = r.static_shared + r.dynamic_shared;
    thread.dynamic_shared = r.static_shared;
    thread.state = State::Ready, thread.groups = 0, thread.frame = nullptr, thread.clock = 1;
    thread.copies.clear();
    std::fill_n(thread.known, 32, 0);
    thread.acquired = thread.loaded = thread.fenced[0] = thread.fenced[1] = nullptr;
}

void Block::run_one_after_another()
{
    const Request& r = launch.request;
    char* top = static_cast<char*>(__builtin_frame_address(0));
    for (uint32_t index : order_) {
        prepare(threads[0], index);
        threads[0].stack_end = top - STACK - 4 * r.local_nbytes;
        r.kernel(threads[0], r.parameters);
        if (!threads[0].copies.empty()) wait_all(threads[0]);
    }
}

// Where a fiber begins.  Nothing may leave it, by return or by exception: there is nothing below on its stack.
static void fiber()
{
    ThreadState& thread = *starting;
    Block& block = *thread.block;
    try {
        block.launch.request.kernel(thread, block.launch.request.parameters);
        wait_all(thread);
    } catch (const Failure& failure) {
        block.failure = failure.message;
    } catch (...) {
        block.failure = text(block.launch.request.name, ": an exception in the emulator's runtime");
    }
    block.wait(thread, State::Done);
    __builtin_unreachable();
}

void Block::wait(ThreadState& thread, State state)
{
    thread.state = state;
    Context::exchange(thread.context, scheduler);
}

void Block::run_as_fibers()
{
    for (uint32_t i = 0; i < threads.size(); ++i) {
        prepare(threads[i], i);
        threads[i].stack_end = stacks.stack(i) + RESERVE + launch.request.local_nbytes;
        threads[i].context.start(stacks.stack(i), stacks.nbytes(i), fiber);
    }
    while (done_ < threads.size()) {
        bool progress = false;
        if (launch.request.order == Order::Shuffled) std::shuffle(order_.begin(), order_.end(), launch.random);
        for (uint32_t index : order_) {
            ThreadState& thread = threads[index];
            if (thread.state != State::Ready) continue;
            progress = true;
            starting = &thread;
            Context::exchange(scheduler, thread.context);
            if (!failure.empty()) throw Failure{failure};
            done_ += thread.state == State::Done;
        }
        if (!progress) unblock();
    }
}

// No thread can run.  Either all that are left wait at the barrier, which opens, or a warp waits only for threads that
// have returned (the hardware goes on without them), or the kernel hangs.
void Block::unblock()
{
    bool in_warp = false;
    for (ThreadState& thread : threads) {
        if (thread.state != State::InWarp) continue;
        in_warp = true;
        if (!launch.checker && finish_warp(thread, true)) {
            thread.state = State::Ready;
            return;
        }
    }
    if (in_warp) report_deadlock();
    open_barrier();
}

// ------------------------------------------------------------------------------------------------ barriers

uint32_t barrier(Thread& thread, uint32_t site, uint32_t id, uint32_t count, Vote vote, bool ballot)
{
    ThreadState& me = state(thread);
    uint32_t all = uint32_t(me.block->threads.size());
    if (count && (count + 31) / 32 != (all + 31) / 32)
        fail(thread, site, "a barrier for ", count, " of the block's ", all,
             " threads; the emulator knows only those for all");
    me.site = site, me.barrier_id = id, me.vote = vote, me.ballot = ballot;
    me.block->wait(me, State::AtBarrier);
    return me.tally;
}

void Block::open_barrier()
{
    const ThreadState* first = nullptr;
    uint32_t count = 0, votes = 0;
    for (ThreadState& thread : threads) {
        if (thread.state != State::AtBarrier) continue;
        if (!first) first = &thread;
        bool same = launch.checker ? thread.site == first->site : thread.barrier_id == first->barrier_id;
        if (!same || thread.vote != first->vote)
            fail(thread, thread.site, "barrier divergence: this thread waits at this barrier, thread ",
                 coordinates(launch.request.block, first->index), " at another one, at ",
                 place(launch.request.sites[first->site]));
        ++count, votes += thread.ballot;
    }
    if (launch.checker && done_)
        for (ThreadState& thread : threads)
            if (thread.state == State::Done)
                fail(threads[first->index], first->site, "barrier divergence: ", count,
                     " threads wait at this barrier, but ", done_,
                     " have returned without reaching it, the first of them thread ",
                     coordinates(launch.request.block, thread.index));
    for (ThreadState& thread : threads)
        if (thread.state == State::AtBarrier) {
            thread.tally = thread.vote == Vote::Count ? votes : thread.vote == Vote::All ? votes == count : votes > 0;
            thread.state = State::Ready;
        }
    if (launch.checker) launch.checker->after_barrier(*this);
}

// ------------------------------------------------------------------------------------------------ warps

void warp(Thread& thread, uint32_t site, WarpOperation operation, uint32_t mask, const uint32_t* in, uint32_t* out)
{
    ThreadState& me = state(thread);
    if (!(mask >> me.lane() & 1))
        fail(thread, site, "lane ", me.lane(), " calls a warp operation for the lanes of mask ", hexadecimal(mask),
             ", to which it does not belong");
    me.site = site, me.operation = operation, me.mask = mask, me.lane_data = {in, out};
    me.state = State::InWarp;
    if (me.block->finish_warp(me, false))
        me.state = State::Ready;
    else
        me.block->wait(me, State::InWarp);
}

static bool together(const ThreadState& a, const ThreadState& b)
{
    return a.state == State::InWarp && b.state == State::InWarp && a.operation == b.operation && a.mask == b.mask;
}

// Performs the operation that `arrived` waits in, if all other lanes of its mask wait in the same.  Lanes that the
// block does not have (its size need not be a multiple of 32) are not waited for.
bool Block::finish_warp(ThreadState& arrived, bool without_done)
{
    ThreadState* first = &threads[arrived.index & ~31u];
    uint32_t lanes = uint32_t(std::min<size_t>(32, threads.size() - first->index)), present = 0;
    Lane data[32] = {};
    for (uint32_t lane = 0; lane < lanes; ++lane) {
        ThreadState& other = first[lane];
        if (!(arrived.mask >> lane & 1) || (without_done && other.state == State::Done)) continue;
        if (!together(other, arrived)) return false;
        present |= 1u << lane, data[lane] = other.lane_data;
    }
    arrived.operation(present, data);
    if (launch.checker && !arrived.lane_data.out) launch.checker->after_warp_barrier(first, present);
    for (uint32_t lane = 0; lane < lanes; ++lane)
        if (present >> lane & 1) first[lane].state = State::Ready;
    return true;
}

void Block::report_deadlock()
{
    for (ThreadState& thread : threads) {
        if (thread.state != State::InWarp) continue;
        ThreadState* first = &threads[thread.index & ~31u];
        for (uint32_t lane = 0; lane < 32 && first->index + lane < threads.size(); ++lane) {
            ThreadState& other = first[lane];
            if (!(thread.mask >> lane & 1)) continue;
            if (together(thread, other)) continue;
            std::string does = " has returned", where = place(launch.request.sites[other.site]);
            if (other.state == State::AtBarrier) does = " waits at a barrier, at " + where;
            if (other.state == State::InWarp) does = " waits in another operation, or with another mask, at " + where;
            fail(thread, thread.site, "a warp operation that is never complete: lane ", lane, " of its mask ",
                 hexadecimal(thread.mask), does);
        }
    }
    throw Failure{text(launch.request.name, ": deadlock")};
}

}  // namespace emulator
