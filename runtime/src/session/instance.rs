//! Maps and programs of one plan on one engine build, and the links to the processes that run it.

mod pause;

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use profinfer_compiler::plan::Plan;
use profinfer_ebpf::counting::SWITCHES;
use profinfer_ebpf::layout::{Layout, MapId, PointCounter, TABLE_CAUSES, TableCounter, counter};
use profinfer_ebpf::object::RING_BYTES;
use profinfer_ebpf::target::cookie;
use profinfer_ebpf::{MapKind, MapSpec, Object, Program, SiteSpec, TargetFacts};

use super::SessionError;
use super::cost::Runs;
use super::counters::Counters;
use super::kernel_events::{KernelEvent, attach_to_kernel, kernel_event};
use super::ranges::Ranges;
use super::sites::{Found, Target};
use super::stacks::Stacks;
use crate::kernel::{
    self, AttachType, Kernel, KernelError, LICENSE, Link, Map, MappedArray, ProgramSpec, ProgramType, RingBuffer,
    Update,
};
use crate::target::{CostClass, FileIdentity, Module, Process};

/// Events that can wait in the ring: the smallest take 32 bytes of it.
const MOST_WAITING: u32 = RING_BYTES / 32;

/// Maps, programs and links of one plan on one engine build.
pub struct Instance {
    /// The files that it is for.
    pub identity: Vec<FileIdentity>,
    /// What the code was emitted for.
    pub facts: TargetFacts,
    /// Where everything lies.
    pub layout: Layout,
    /// The engine's file.
    pub path: PathBuf,
    /// Maps by use.
    maps: HashMap<MapId, Map>,
    /// The inner maps of swapped tables, two each.
    inner: HashMap<MapId, [Map; 2]>,
    specs: HashMap<MapId, MapSpec>,
    counters: MappedArray,
    /// Events of streamed tables.
    events: Option<RingBuffer>,
    programs: Vec<(SiteSpec, kernel::Program)>,
    checks: Vec<(SiteSpec, kernel::Program)>,
    /// The dearest instruction that each of the programs is attached to.
    classes: Vec<Option<CostClass>>,
    /// Links by process.
    links: HashMap<u32, Vec<Link>>,
    check_links: HashMap<u32, Vec<Link>>,
    /// What was found in each process.
    found: HashMap<u32, FoundIn>,
    /// The layout check is over.
    checks_ended: bool,
    /// Links have been taken away for a while.
    paused: bool,
    /// Links to events of the kernel, which are those of all processes.
    kernel_links: Vec<Link>,
    /// What lies in the memory of processes, where that is wanted.
    ranges: Option<Ranges>,
    /// Call stacks, where they are wanted.
    stacks: Option<Stacks>,
    /// What keeps what threads count, at every switch between tasks.
    switches: Option<(kernel::Program, Link)>,
}

/// What was found in a process, program by program.
#[derive(Debug)]
struct FoundIn {
    programs: Vec<Vec<Found>>,
    checks: Vec<Vec<Found>>,
}

/// What was attached to a process.
#[derive(Debug, Default)]
pub struct Attached {
    /// Functions and instructions probed.
    pub found: Vec<(SiteSpec, Vec<Found>)>,
}

impl Instance {
    /// Makes the maps and loads the programs. Nothing is attached yet.
    ///
    /// # Errors
    /// The programs cannot be built, or the kernel refuses a map or program.
    pub fn new(
        plan: &Plan,
        target: &Target,
        identity: Vec<FileIdentity>,
        counting: &Counters,
        kernel: &dyn Kernel,
    ) -> Result<Instance, SessionError> {
        match Self::load(plan, target, identity.clone(), counting, kernel) {
            Err(SessionError::Kernel(KernelError::Verifier { .. })) if plan.points.iter().any(|p| p.aside) => {
                // What is too much for it in a loop over events it takes where each is read at its own time.
                let mut plan = plan.clone();
                plan.points.iter_mut().for_each(|p| p.aside = false);
                Self::load(&plan, target, identity, counting, kernel)
            }
            loaded => loaded,
        }
    }

    fn load(
        plan: &Plan,
        target: &Target,
        identity: Vec<FileIdentity>,
        counting: &Counters,
        kernel: &dyn Kernel,
    ) -> Result<Instance, SessionError> {
        let object = Object::build(plan, &target.facts)?;
        let mut maps = HashMap::new();
        let mut inner = HashMap::new();
        let mut specs = HashMap::new();
        for spec in &object.maps {
            if spec.swapped {
                let pair = [create(spec, kernel)?, create(spec, kernel)?];
                let outer = kernel.create_array_of_maps(&spec.name, &pair[0], 2)?;
                outer.set_inner(1, &pair[1])?;
                maps.insert(spec.id, outer);
                inner.insert(spec.id, pair);
            } else {
                let map = create(spec, kernel)?;
                if let MapId::Perf(counter) = spec.id {
                    for (cpu, meter) in counting.meters(counter) {
                        let fd = meter.raw_fd().to_ne_bytes();
                        map.update(&cpu.to_ne_bytes(), &fd, Update::Any)?;
                    }
                }
                if let Some(value) = &spec.value {
                    map.update(&0u32.to_ne_bytes(), value, Update::Any)?;
                }
                maps.insert(spec.id, map);
            }
            specs.insert(spec.id, spec.clone());
        }
        let counters = MappedArray::new(&maps[&MapId::Counters])?;
        let events = maps.get(&MapId::Events).map(RingBuffer::new).transpose()?;
        let ranges = maps.contains_key(&MapId::Ranges).then(Ranges::default);
        let stacks = maps.contains_key(&MapId::Stacks).then(Stacks::default);
        let mut programs = load_all(object.programs.iter().chain(&object.checks), &maps, kernel)?;
        let checks = programs.split_off(object.programs.len());
        let switches = match &object.switches {
            Some(code) => {
                let insns = link_maps(code, |id| maps.get(id).map(Map::fd));
                let program = kernel.load(&ProgramSpec {
                    name: SWITCHES,
                    prog_type: ProgramType::RawTracepoint,
                    expected_attach_type: AttachType::Perf,
                    insns: &insns,
                    license: LICENSE,
                })?;
                // From here on every switch is seen: no thread counts yet.
                let link = kernel.raw_tracepoint(&program, "sched_switch")?;
                Some((program, link))
            }
            None => None,
        };
        Ok(Instance {
            identity,
            facts: target.facts.clone(),
            layout: object.layout,
            path: target.engine_path(),
            maps,
            inner,
            specs,
            counters,
            events,
            classes: vec![None; programs.len()],
            programs,
            checks,
            links: HashMap::new(),
            check_links: HashMap::new(),
            found: HashMap::new(),
            checks_ended: false,
            paused: false,
            kernel_links: Vec::new(),
            ranges,
            stacks,
            switches,
        })
    }

    /// Attaches everything to a process.
    ///
    /// # Errors
    /// A function cannot be probed, or the kernel refuses a link.
    pub fn attach(&mut self, pid: u32, target: &Target, kernel: &dyn Kernel) -> Result<Attached, SessionError> {
        let mut attached = Attached::default();
        // The innermost stops first, the outermost starts last: no start is without its stop.
        if self.kernel_links.is_empty() {
            for (spec, program) in self.programs.iter().filter(|(spec, _)| spec.kernel) {
                self.kernel_links.push(attach_to_kernel(spec, program, kernel)?);
            }
        }
        let mut found_in = FoundIn { programs: Vec::new(), checks: Vec::new() };
        for (n, (spec, _)) in self.programs.iter().enumerate() {
            let found = target.find(spec)?;
            let dearest = found.iter().flat_map(|f| &f.sites).map(|site| site.cost).max();
            self.classes[n] = self.classes[n].max(dearest);
            if !spec.kernel {
                attached.found.push((spec.clone(), found.clone()));
            }
            found_in.programs.push(found);
        }
        for (spec, _) in &self.checks {
            found_in.checks.push(target.find(spec)?);
        }
        self.found.insert(pid, found_in);
        self.attach_found(pid, kernel)?;
        Ok(attached)
    }

    /// Whether links are taken away for a while: then nothing is attached to processes that come.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Tells the events that were sent since it was last asked, in order: all that are there now, and some of those that come
    /// meanwhile.
    pub fn events(&mut self, mut event: impl FnMut(&[u8], &TargetFacts, &Layout)) {
        let Some(ring) = &mut self.events else { return };
        // However fast they come, it ends.
        for _ in 0..MOST_WAITING {
            if !ring.with_next(|bytes| event(bytes, &self.facts, &self.layout)) {
                break;
            }
        }
    }

    /// Has the kernel's events of a process told by this instance, if it tells any.
    ///
    /// # Errors
    /// The kernel refuses the entry.
    pub fn tell_of(&mut self, process: &Process) -> Result<(), SessionError> {
        if let Some(stacks) = &mut self.stacks {
            stacks.look(process);
        }
        let maps = (self.maps.get(&MapId::Targets), self.maps.get(&MapId::Ranges));
        let Some(targets) = maps.0 else { return Ok(()) };
        targets.update(&u64::from(process.pid()).to_ne_bytes(), &0u64.to_ne_bytes(), Update::Any)?;
        if let (Some(known), Some(ranges)) = (&mut self.ranges, maps.1) {
            known.look(process, targets, ranges, &mut self.facts)?;
        }
        Ok(())
    }

    /// Looks up the call stacks that have come since it last did.
    ///
    /// # Errors
    /// The map of stacks cannot be read.
    pub fn look_up_stacks(&mut self) -> Result<(), KernelError> {
        match (&mut self.stacks, self.maps.get(&MapId::Stacks)) {
            (Some(known), Some(map)) => known.look_up(map, &mut self.facts),
            _ => Ok(()),
        }
    }

    /// How many call stacks were looked up, and how many of them end before the thread's beginning.
    pub fn stacks_seen(&self) -> Option<(usize, usize)> {
        self.stacks.as_ref().map(Stacks::seen)
    }

    /// Whether it is to be looked at what lies in the memory of processes.
    pub fn has_ranges(&self) -> bool {
        self.ranges.is_some() || self.stacks.is_some()
    }

    /// Whether there was no room for all that lies in the memory of processes.
    pub fn ranges_are_crowded(&self) -> bool {
        self.ranges.as_ref().is_some_and(|ranges| ranges.crowded)
    }

    /// Looks at what lies in the memory of processes, if that is wanted and it is time again.
    ///
    /// # Errors
    /// The kernel refuses an entry.
    pub fn look_at_memory<'p>(&mut self, processes: impl Iterator<Item = &'p Process>) -> Result<(), SessionError> {
        let due = self.ranges.as_mut().is_some_and(Ranges::is_due);
        for process in processes {
            if !self.tells_of(process.pid()) && !self.links.contains_key(&process.pid()) {
                continue;
            }
            if let Some(stacks) = &mut self.stacks {
                stacks.look(process);
            }
            if !due || !self.tells_of(process.pid()) {
                continue;
            }
            let maps = self.maps.get(&MapId::Targets).zip(self.maps.get(&MapId::Ranges));
            if let (Some(known), Some((targets, ranges))) = (&mut self.ranges, maps) {
                known.look(process, targets, ranges, &mut self.facts)?;
            }
        }
        Ok(())
    }

    /// Whether this instance tells the kernel's events of a process.
    pub fn tells_of(&self, pid: u32) -> bool {
        let known = self.maps.get(&MapId::Targets).map(|map| map.lookup(&u64::from(pid).to_ne_bytes()));
        matches!(known, Some(Ok(Some(_))))
    }

    /// Takes the links to a process away, in the background: nothing waits for it.
    pub fn detach(&mut self, pid: u32) {
        if let Some(targets) = self.maps.get(&MapId::Targets) {
            let _known = targets.delete(&u64::from(pid).to_ne_bytes());
        }
        if let Some(ranges) = &mut self.ranges {
            ranges.forget(pid);
        }
        self.found.remove(&pid);
        let links = self.links.remove(&pid).into_iter().chain(self.check_links.remove(&pid)).flatten();
        let _in_background = close_all(links.collect());
    }

    /// Takes all links away.
    pub fn detach_all(&mut self) {
        let links = self.links.drain().chain(self.check_links.drain()).flat_map(|(_, links)| links);
        let links = links.chain(self.kernel_links.drain(..)).chain(self.switches.take().map(|(_, link)| link));
        for thread in close_all(links.collect()) {
            let _done = thread.join();
        }
    }

    /// What the programs have done so far, as the kernel has counted it while it was asked to.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn runs(&self) -> Result<Vec<Runs>, KernelError> {
        let own = self.programs.iter().map(|(_, program)| program).zip(self.classes.iter().copied());
        let others = self.checks.iter().map(|(_, program)| program).chain(self.switches.iter().map(|(p, _)| p));
        own.chain(others.map(|program| (program, None)))
            .map(|(program, class)| {
                let info = program.info()?;
                Ok(Runs { id: info.id, class, runs: info.run_cnt, ns: info.run_time_ns })
            })
            .collect()
    }

    /// Takes the links of the layout check away, in the background.
    pub fn end_checks(&mut self) {
        self.checks_ended = true;
        let _in_background = close_all(self.check_links.drain().flat_map(|(_, links)| links).collect());
    }

    /// Whether the layout check is still attached.
    pub fn is_checking(&self) -> bool {
        self.check_links.values().any(|links| !links.is_empty())
    }

    /// Processes with links.
    pub fn pids(&self) -> Vec<u32> {
        self.links.keys().copied().collect()
    }

    /// Opens, narrows or shuts the gate: see [`counter::GATE`].
    pub fn set_gate(&self, value: u64) {
        self.counters.store_u64(counter::GATE as usize, value);
    }

    /// The gate's position.
    pub fn gate(&self) -> u64 {
        self.counters.load_u64(counter::GATE as usize)
    }

    /// Says that no step can have been cut by attaching.
    pub fn set_all_known(&self) {
        self.counters.store_u64(counter::ALL_KNOWN as usize, 1);
    }

    /// Steps open now.
    pub fn active(&self) -> u64 {
        let n = self.counters.load_u64(counter::ACTIVE as usize) as i64;
        n.max(0) as u64
    }

    /// A counter of a point.
    pub fn point_counter(&self, point: usize, which: PointCounter) -> u64 {
        self.counters.load_u64(self.layout.point_counter(point, which) as usize)
    }

    /// Whether a point had events and none of them came to its mark.
    pub fn never_marked(&self, point: usize) -> bool {
        self.point_counter(point, PointCounter::Events) > 0
            && self.counters.load_u64(self.layout.mark_counter(point) as usize) == 0
    }

    /// What a table lost, by cause.
    pub fn table_drops(&self, table: usize) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        TABLE_CAUSES.iter().map(move |(which, cause)| {
            (*cause, self.counters.load_u64(self.layout.table_counter(table, *which) as usize))
        })
    }

    /// A map by use, where it is not a swapped one.
    pub fn map(&self, id: MapId) -> Option<&Map> {
        self.maps.get(&id)
    }

    /// The map of a table (or of one of its histograms) that is written to now.
    pub fn current(&self, id: MapId, table: usize) -> Option<&Map> {
        match self.inner.get(&id) {
            Some(pair) => Some(&pair[self.generation(table)]),
            None => self.maps.get(&id),
        }
    }

    fn generation(&self, table: usize) -> usize {
        (self.counters.load_u64(self.layout.table_counter(table, TableCounter::Generation) as usize) & 1) as usize
    }

    /// Switches a table and its histograms to empty maps and gives back the full ones, which nobody writes to any more:
    /// every event is in one of them, and in one only.
    ///
    /// # Errors
    /// The kernel refuses a map.
    pub fn swap(&mut self, table: usize, kernel: &dyn Kernel) -> Result<HashMap<MapId, Map>, KernelError> {
        let ids: Vec<MapId> = self
            .inner
            .keys()
            .copied()
            .filter(|id| matches!(id, MapId::Table(t) | MapId::Hist(t, _) if *t == table))
            .collect();
        let old = self.generation(table);
        let word = self.layout.table_counter(table, TableCounter::Generation) as usize;
        // The maps of the other generation are empty: they were made anew when they were last given back.
        self.counters.store_u64(word, (1 - old) as u64);
        // A program that has read the old generation must not find the fresh map in its place: the kernel waits for
        // programs that run at every such update, so one that changes nothing comes first.
        if let Some(id) = ids.first() {
            self.maps[id].set_inner(old as u32, &self.inner[id][old])?;
        }
        let mut full = HashMap::new();
        for id in ids {
            let fresh = create(&self.specs[&id], kernel)?;
            self.maps[&id].set_inner(old as u32, &fresh)?;
            if let Some(pair) = self.inner.get_mut(&id) {
                full.insert(id, std::mem::replace(&mut pair[old], fresh));
            }
        }
        Ok(full)
    }

    /// Bytes of kernel memory that the maps take now.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn kernel_bytes(&self) -> Result<u64, KernelError> {
        let mut bytes = 0;
        for map in self.maps.values().chain(self.inner.values().flatten()) {
            bytes += map.kernel_bytes()?;
        }
        Ok(bytes)
    }
}

/// Closes links, all at once: the kernel waits some 50 ms for each until no program runs any more, and those waits overlap.
pub(super) fn close_all(links: Vec<Link>) -> Vec<JoinHandle<()>> {
    links.into_iter().map(|link| std::thread::spawn(move || drop(link))).collect()
}

fn create(spec: &MapSpec, kernel: &dyn Kernel) -> Result<Map, KernelError> {
    let name = spec.name.clone();
    let made = match spec.kind {
        MapKind::Shared => {
            let mut s = kernel::MapSpec::array(name, spec.value_size, spec.max_entries);
            s.mmapable = true;
            s
        }
        MapKind::Array => kernel::MapSpec::array(name, spec.value_size, spec.max_entries),
        MapKind::Hash => kernel::MapSpec::hash(name, spec.key_size, spec.value_size, spec.max_entries),
        MapKind::Ring => kernel::MapSpec::ring_buffer(name, spec.max_entries),
        MapKind::Stacks => kernel::MapSpec::stacks(name, spec.value_size, spec.max_entries),
        MapKind::Perf => kernel::MapSpec::perf_event_array(name, kernel::possible_cpus()? as u32),
        MapKind::LruHash => kernel::MapSpec::lru_hash(name, spec.key_size, spec.value_size, spec.max_entries),
    };
    kernel.create_map(&made)
}

/// Loads programs, on all CPUs at once: what takes time is the verifier, and it takes one program as if it were alone.
///
/// # Errors
/// The kernel refuses one of them; the first of those.
fn load_all<'p>(
    programs: impl Iterator<Item = &'p Program>,
    maps: &HashMap<MapId, Map>,
    kernel: &dyn Kernel,
) -> Result<Vec<(SiteSpec, kernel::Program)>, KernelError> {
    let programs: Vec<&Program> = programs.collect();
    // The longest first, so that none is left alone at the end.
    let mut order: Vec<usize> = (0..programs.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(programs[*at].code.insns.len()));
    let next = AtomicUsize::new(0);
    let some = || {
        let mine = std::iter::from_fn(|| order.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.map(|at| (*at, load(programs[*at], maps, kernel))).collect::<Vec<_>>()
    };
    let others = std::thread::available_parallelism().map_or(1, usize::from).min(programs.len()).saturating_sub(1);
    let mut loaded = std::thread::scope(|scope| {
        let others: Vec<_> =
            (0..others).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, some).ok()).collect();
        let mut loaded = some();
        for other in others {
            loaded.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        loaded
    });
    loaded.sort_by_key(|(at, _)| *at);
    loaded.into_iter().map(|(at, program)| Ok((programs[at].site.clone(), program?))).collect()
}

/// Fills in the maps and loads a program.
fn load(program: &Program, maps: &HashMap<MapId, Map>, kernel: &dyn Kernel) -> Result<kernel::Program, KernelError> {
    let fd_of = |id: &MapId| maps.get(id).map(Map::fd);
    let insns = link_maps(&program.code, fd_of);
    let prog_type = match kernel_event(&program.site) {
        None => ProgramType::Kprobe,
        Some(KernelEvent::Tracepoint(..)) => ProgramType::Tracepoint,
        Some(KernelEvent::RawTracepoint(_)) => ProgramType::RawTracepoint,
        Some(_) => ProgramType::PerfEvent,
    };
    let spec = |expected_attach_type| ProgramSpec {
        name: &program.name,
        prog_type,
        expected_attach_type,
        insns: &insns,
        license: LICENSE,
    };
    if program.site.kernel {
        return kernel.load(&spec(AttachType::Perf));
    }
    // Asking the kernel what it can do takes 0.15 s: the better way is tried first, and asked for only if it fails.
    kernel.load(&spec(AttachType::UprobeMulti)).or_else(|error| match kernel.features().entry_attach_type() {
        AttachType::UprobeMulti => Err(error),
        other => kernel.load(&spec(other)),
    })
}

/// The instruction words with map descriptors filled in.
pub(super) fn link_maps<'m>(
    code: &profinfer_ebpf::asm::Code,
    fd_of: impl Fn(&MapId) -> Option<BorrowedFd<'m>>,
) -> Vec<u64> {
    let mut insns = code.insns.clone();
    for reloc in &code.relocs {
        if let Some(fd) = fd_of(&reloc.map) {
            insns[reloc.at].imm = fd.as_raw_fd();
        }
    }
    insns.iter().map(|i| i.word()).collect()
}

fn attach_all(
    links: &mut Vec<Link>,
    program: &kernel::Program,
    found: &[Found],
    pid: u32,
    kernel: &dyn Kernel,
) -> Result<(), SessionError> {
    // Functions of one file are one link.
    let mut files: Vec<(&Rc<Module>, Vec<u64>, Vec<u64>)> = Vec::new();
    for f in found.iter().filter(|f| !f.sites.is_empty()) {
        let at = match files.iter().position(|(m, _, _)| m.identity() == f.module.identity()) {
            Some(at) => at,
            None => {
                files.push((&f.module, Vec::new(), Vec::new()));
                files.len() - 1
            }
        };
        let (_, offsets, cookies) = &mut files[at];
        for s in &f.sites {
            let cookie = match s.taken_if {
                Some(t) => cookie::conditional(pid, t.any_set, t.signs_differ, t.negated),
                None => cookie::plain(pid),
            };
            offsets.push(s.file_offset);
            cookies.push(f.number.map_or(cookie, |number| cookie::of_function(cookie, number, s.goes_on)));
        }
    }
    for (module, offsets, cookies) in files {
        let link = kernel.uprobe_multi(program, &module.attach_path(), &offsets, &cookies, Some(pid), false);
        // The path that it is attached by says nothing to anybody else.
        links.push(link.map_err(|e| e.about(module.path().display()))?);
    }
    Ok(())
}
