// Each access against those that came before it at the same place.
#include <utility>
#include "check.h"

namespace emulator {

// Two reads never conflict; nor do two atomics, unless one is atomic only for the threads of another block.
bool Checker::conflict(Stamp a, Stamp b) const
{
    const Site &one = site_of(a), &other = site_of(b);
    if (!writes(one.kind) && !writes(other.kind)) return false;
    if (!is_atomic(one.kind) || !is_atomic(other.kind)) return true;
    return a.block != b.block && (one.scope == Scope::Block || other.scope == Scope::Block);
}

void Checker::check_race(ThreadState& thread, Area& area, uint64_t offset, uint64_t nbytes, Stamp now, Kind kind,
                         Flight flight)
{
    uint64_t count = 0;
    Cell* cells = area.cells(offset, nbytes, count);
    for (uint64_t i = 0; i < count; ++i) {
        Cell& cell = cells[i];
        auto what = [&] { return area.byte(offset + i * (nbytes / count)); };
        auto against = [&](Stamp other) {
            if (!before(other, thread) && conflict(now, other)) race(thread, now, what(), other);
        };
        if (cell.write.in_flight && flight != Flight::Arrives) race(thread, now, what(), cell.write);
        against(cell.write);
        for (Stamp other : cell.atomics) against(other);
        if (Rare* rare = area.rare(&cell))
            for (Stamp other : {rare->loads[0], rare->loads[1], rare->of_block[0], rare->of_block[1]}) against(other);
        if (writes(kind)) {
            for (Stamp other : cell.reads) against(other);
            if (cell.constant.block) not_constant(thread, now, what(), cell.constant);
        }
        if (kind == Kind::Constant)
            for (Stamp other : {cell.write, cell.atomics[0]})
                if (other.block) not_constant(thread, now, what(), other);
        note(thread, area, cell, now, site_of(now));
    }
}

void Checker::note(ThreadState& thread, Area& area, Cell& cell, Stamp now, const Site& site)
{
    if (site.scope == Scope::Block) remember(thread, area.make_rare(&cell).of_block, now);
    switch (site.kind) {
    case Kind::Write:
        cell = {now, {}, {}, {}};
        if (Rare* rare = area.rare(&cell)) *rare = {};
        break;
    case Kind::AtomicRead: remember(thread, area.make_rare(&cell).loads, now); break;
    case Kind::AtomicWrite:
    case Kind::Atomic: remember(thread, cell.atomics, now); break;
    case Kind::Constant: cell.constant = now; [[fallthrough]];
    default: remember(thread, cell.reads, now);
    }
}

static int distance(Stamp a, Stamp b)
{
    if (a.block != b.block) return 3;
    return a.thread / 32 != b.thread / 32 ? 2 : a.thread != b.thread;
}

void Checker::remember(const ThreadState& thread, Stamp (&pair)[2], Stamp now)
{
    auto& [first, second] = pair;
    // Who is ordered after `now` is ordered after what happened before it: `now` can stand for that.
    if (before(first, thread)) first = {};
    if (before(second, thread)) second = {};
    if (!first.block)
        first = now;
    else if (!second.block || distance(first, now) > distance(first, second))
        second = now;
}

// ------------------------------------------------------------------------------------------------ cp.async

void Checker::depart(ThreadState& thread, const Copy& copy)
{
    access(thread, copy.from, copy.read_site, copy.valid);
    access(thread, copy.to, copy.write_site, copy.nbytes, Flight::Departs);
    if (copy.valid) sources_.emplace(copy.from, Source{thread.index, copy.valid, copy.read_site});
}

// It may have read its source until now, so that counts as another access.
void Checker::arrive(ThreadState& thread, const Copy& copy)
{
    for (auto [at, end] = sources_.equal_range(copy.from); at != end; ++at)
        if (at->second.thread == thread.index && at->second.nbytes == copy.valid) {
            sources_.erase(at);
            break;
        }
    access(thread, copy.from, copy.read_site, copy.valid, Flight::Arrives);
    access(thread, copy.to, copy.write_site, copy.nbytes, Flight::Arrives);
}

void Checker::check_sources(ThreadState& thread, const Area& area, uint64_t offset, uint64_t nbytes, uint32_t site)
{
    constexpr uint64_t longest = 16;
    uint64_t address = area.begin + offset;
    auto at = sources_.lower_bound(address < longest ? 0 : address - longest);
    for (; at != sources_.end() && at->first < address + nbytes; ++at)
        if (at->first + at->second.nbytes > address)
            fail(thread, site, "data race: this thread writes ", area.byte(offset), " while ",
                 "thread ", coordinates(launch_.request.block, at->second.thread),
                 " has a cp.async from there in flight, issued at ", place(launch_.request.sites[at->second.site]));
}

// ------------------------------------------------------------------------------------------------ messages

static const char* does(Kind kind)
{
    switch (kind) {
    case Kind::Write: return "writes ";
    case Kind::Atomic: return "atomically updates ";
    case Kind::AtomicRead: return "atomically reads ";
    case Kind::AtomicWrite: return "atomically writes ";
    default: return "reads ";
    }
}

std::string Checker::who(const ThreadState& thread, Stamp other) const
{
    const Request& request = launch_.request;
    std::string name = text("thread ", coordinates(request.block, uint32_t(other.thread)));
    if (other.block != thread.block->number + 1)
        name += text(" of block ", coordinates(request.grid, uint32_t(other.block - 1)));
    return name;
}

void Checker::race(ThreadState& thread, Stamp now, const std::string& what, Stamp other)
{
    const Site &mine = site_of(now), &theirs = site_of(other);
    std::string start = text("data race: this thread ", does(mine.kind), what);
    if (other.in_flight)
        fail(thread, now.site, start, " while ", who(thread, other), " has a cp.async to it in flight, issued at ",
             place(theirs));
    bool both = is_atomic(mine.kind) && is_atomic(theirs.kind);
    fail(thread, now.site, start, ", which ", who(thread, other), writes(theirs.kind) ? " wrote" : " read", " at ",
         place(theirs), ", with no synchronisation between the two",
         both ? ": an atomic of a block's scope is none for other blocks" : "");
}

void Checker::not_constant(ThreadState& thread, Stamp now, const std::string& what, Stamp other)
{
    const char* how = " as constant (ld.global.nc: __ldg, or const __restrict__)";
    const Site &mine = site_of(now), &theirs = site_of(other);
    bool reader = mine.kind == Kind::Constant;
    fail(thread, now.site, "not constant: this thread ", does(mine.kind), what, reader ? how : "", ", which ",
         who(thread, other), reader ? " wrote" : " read", reader ? "" : how, " in the same launch, at ", place(theirs));
}

}  // namespace emulator
