//! A plan and what is known of its target to maps and programs: everything the loader needs.

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::{Expr, OutKey, Plan, Point, SlotHow, Table, UserExpr};
use profinfer_compiler::typed::PointId;
use profinfer_lang::ast::Edge;

use crate::asm::{BuildError, Code};
use crate::counting::counted_size;
use crate::emit::{CHECK_SAMPLES, Emit, RANGED, SERIES_KEY, SERIES_VALUE};
use crate::layout::{FRONT_ROWS, Layout, MAX_FRAMES, MAX_STACKS, MapId, range, waiting};
use crate::target::TargetFacts;

/// Maps and programs of one plan for one target.
#[derive(Debug)]
pub struct Object {
    /// Where everything lies.
    pub layout: Layout,
    /// The maps, in the order they are to be made.
    pub maps: Vec<MapSpec>,
    /// The programs that gather.
    pub programs: Vec<Program>,
    /// The programs of the layout check, detached once it is done.
    pub checks: Vec<Program>,
    /// What runs at every switch between tasks, on `sched_switch`, where threads count.
    pub switches: Option<Code>,
}

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSpec {
    /// Which.
    pub id: MapId,
    /// Name in the kernel, at most 15 characters.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries at most.
    pub max_entries: u32,
    /// Inside an array of two maps, of which a clear empties one and switches to it.
    pub swapped: bool,
    /// The first value (arrays of one).
    pub value: Option<Vec<u8>>,
}

/// The kinds of map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// Array of one value that user space maps into its memory.
    Shared,
    /// Array.
    Array,
    /// Hash that allocates as it fills.
    Hash,
    /// Hash that drops what was used least lately.
    LruHash,
    /// Ring buffer of so many bytes.
    Ring,
    /// Call stacks by number.
    Stacks,
    /// Events of a counter, one for each CPU.
    Perf,
}

/// A program with the site it is for.
#[derive(Debug)]
pub struct Program {
    /// Name in the kernel, at most 15 characters.
    pub name: String,
    /// Where it is attached.
    pub site: SiteSpec,
    /// What it does, for people: `close ggml_op; open ggml_graph`.
    pub actions: Vec<Action>,
    /// Its code.
    pub code: Code,
}

/// A place in the target, by function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSpec {
    /// Symbols; the first that the target has is taken.
    pub symbols: Vec<String>,
    /// Where in them.
    pub at: Edge,
    /// Bit n: integer argument n is read.
    pub args_used: u8,
    /// The stack pointer has to be that of the entry.
    pub needs_entry_sp: bool,
    /// The point works without it.
    pub optional: bool,
    /// The functions are those that a script names, for points of this template.
    pub called: Option<Template>,
    /// It is no function of the target but an event of the kernel: `software:page-faults-maj`, `clock:99`,
    /// `sched:sched_switch`.
    pub kernel: bool,
}

/// What a program does for a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An event begins, at the start of that index.
    Start(PointId, usize),
    /// The open event goes over from work to waiting.
    Mark(PointId),
    /// The open event ends.
    Stop(PointId),
}

impl Action {
    /// The point it is for.
    pub fn point(self) -> PointId {
        match self {
            Self::Start(p, _) | Self::Mark(p) | Self::Stop(p) => p,
        }
    }
}

/// Open steps at once, over all pools of all processes.
const MAX_STATES: u32 = 16_384;
/// The category of tracepoints whose programs take the arguments of the kernel's own call, not a record made of them.
pub const RAW_TRACEPOINT: &str = "raw_tracepoint";
/// Maps that the kernel lets a program name (`MAX_USED_MAPS`).
const MAX_MAPS: usize = 64;
/// Threads whose slot is kept.
const MAX_THREADS: u32 = 4_096;
/// Threads whose slot is kept where events are put aside: those that compute graphs.
const MAX_THREADS_ASIDE: u32 = 1_024;
/// Processes whose kernel events are told.
const MAX_TARGETS: u32 = 1_024;
/// Series whose last event is kept.
const MAX_SERIES: u32 = 4_096;
/// Rows that are kept of what is put together of parts: 256 sequences on 64 threads.
const MAX_PARTS: u32 = 16_384;
/// Bytes of the ring of events: some hundred thousand of them, read several times a second.
pub const RING_BYTES: u32 = 8 << 20;
/// Rows at least where they are put together in user space.
const HIDDEN_ROWS: u64 = 16_384;
/// Buckets of a fine histogram per row, at the most that is planned for.
const BUCKETS_PER_ROW: u64 = 64;

impl Object {
    /// Builds maps and programs.
    pub fn build(plan: &Plan, target: &TargetFacts) -> Result<Object, BuildError> {
        let layout = Layout::new(plan)?;
        let sites = group_by_site(plan, target);
        let mut programs = Vec::new();
        for (n, (mut site, actions)) in sites.into_iter().enumerate() {
            for action in &actions {
                site.args_used |= args_used(plan, *action);
                let template = plan.points[action.point()].template;
                site.needs_entry_sp |= matches!(template, Template::Span | Template::Call);
            }
            let is_of_any_thread = |a: &Action| plan.points[a.point()].template == Template::OffCpu;
            let mut emit = match site.kernel {
                // A thread that leaves the CPU is looked at beside one that comes back, whoever they belong to.
                true => Emit::of_kernel(plan, &layout, target, !actions.iter().any(is_of_any_thread)),
                false if leaves_most(plan, target, &site, &actions) => Emit::of_some_hits(plan, &layout, target),
                false => Emit::new(plan, &layout, target, site.at, site.called.is_some()),
            };
            // These look first whether there is anything to do.
            let is_late = |a: &Action| {
                let (Action::Start(p, _) | Action::Mark(p)) = *a else { return false };
                plan.points[p].template == Template::Sequence || plan.points[p].template.is_kernel()
            };
            if !actions.iter().all(is_late) {
                emit.now_once();
            }
            for action in &actions {
                match *action {
                    Action::Start(point, start) => emit.start(point, start)?,
                    Action::Mark(point) if site.kernel => emit.kernel_mark(point),
                    Action::Mark(point) => emit.mark(point),
                    Action::Stop(point) => emit.stop(point),
                }
            }
            emit.asm.exit();
            let code = emit.asm.finish()?;
            if code.maps() > MAX_MAPS {
                let point = plan.points[actions[0].point()].name.clone();
                return Err(BuildError::TooManyMaps { point, maps: code.maps(), limit: MAX_MAPS });
            }
            let what = if site.at == Edge::Entry { "at" } else { "ret" };
            programs.push(Program {
                name: kernel_name(&format!("pi_{what}{n}_{}", plan.points[actions[0].point()].name)),
                site,
                actions,
                code,
            });
        }
        let checks = check_programs(plan, &layout, target)?;
        let maps = maps(plan, &layout);
        let switches = crate::counting::switches(plan, target)?;
        Ok(Object { layout, maps, programs, checks, switches })
    }
}

/// Sites with what is to be done there: entries outermost point first, returns innermost first.
fn group_by_site(plan: &Plan, target: &TargetFacts) -> Vec<(SiteSpec, Vec<Action>)> {
    let mut sites: Vec<(SiteSpec, Vec<Action>)> = Vec::new();
    let mut add = |symbols: &[String], at: Edge, optional: bool, action: Action| {
        let point = &plan.points[action.point()];
        let called = point.called.as_ref().map(|_| point.template);
        let kernel = point.template.is_kernel();
        // Tracepoints that a script names have programs of their own, which look at the current thread only.
        let apart = kernel && point.template != Template::Tracepoint;
        let same = |s: &SiteSpec| !apart && s.symbols == symbols && s.at == at && s.called == called;
        match sites.iter_mut().find(|(s, _)| same(s)) {
            Some((site, actions)) => {
                site.optional &= optional;
                actions.push(action);
            }
            None => {
                let symbols = symbols.to_vec();
                let site = SiteSpec { symbols, at, args_used: 0, needs_entry_sp: false, optional, called, kernel };
                sites.push((site, vec![action]));
            }
        }
    };
    let outermost = plan.outermost_first();
    let used = |p: &PointId| plan.points[*p].used && target.has(*p);
    for &point in outermost.iter().filter(|p| used(p)) {
        for (i, start) in plan.points[point].starts.iter().enumerate() {
            if target.starts[point][i] {
                add(&start.symbols, Edge::Entry, start.optional, Action::Start(point, i));
            }
        }
    }
    for &point in outermost.iter().filter(|p| used(p)) {
        for symbol in kernel_marks(plan, point) {
            add(&[(*symbol).to_owned()], Edge::Entry, false, Action::Mark(point));
        }
    }
    for &point in outermost.iter().filter(|p| used(p) && target.has_mark(**p)) {
        if let Some(mark) = &plan.points[point].mark {
            add(&mark.site.symbols, Edge::Entry, mark.site.optional, Action::Mark(point));
        }
    }
    for &point in outermost.iter().rev().filter(|p| used(p)) {
        let p = &plan.points[point];
        if matches!(p.template, Template::Span | Template::Call) {
            for (i, start) in p.starts.iter().enumerate() {
                // One that is followed to where its caller goes on is over there, whichever way it was left.
                if target.starts[point][i]
                    && !p.stops.iter().any(|s| s.at == Edge::Behind && s.symbols == start.symbols)
                {
                    add(&start.symbols, Edge::Return, start.optional, Action::Stop(point));
                }
            }
        }
        for stop in &p.stops {
            add(&stop.symbols, stop.at, stop.optional, Action::Stop(point));
        }
    }
    sites
}

/// Events of the kernel that a point of it needs beside its starts.
fn kernel_marks(plan: &Plan, point: PointId) -> &'static [&'static str] {
    match plan.points[point].template {
        Template::Fault => &["software:page-faults"],
        Template::OffCpu if plan.points[point].reads("queue", &plan.tables, point) => &["raw_tracepoint:sched_wakeup"],
        _ => &[],
    }
}

/// Whether a program is for a start alone that looks at the event first, and at the process only if it counts.
fn leaves_most(plan: &Plan, target: &TargetFacts, site: &SiteSpec, actions: &[Action]) -> bool {
    let [Action::Start(point, _)] = *actions else { return false };
    let p = &plan.points[point];
    let is_plain = matches!(p.template, Template::Sequence | Template::Enter | Template::Span | Template::Rows);
    let only = p.only.as_ref().is_some_and(|only| !only.any(&|e| matches!(e, Expr::Pid | Expr::Tid)));
    target.by_process && site.called.is_none() && is_plain && p.team.is_none() && only
}

fn check_programs(plan: &Plan, layout: &Layout, target: &TargetFacts) -> Result<Vec<Program>, BuildError> {
    let mut programs = Vec::new();
    for (point, p) in plan.points.iter().enumerate() {
        if !p.used || p.checks.is_empty() || !target.has(point) {
            continue;
        }
        for (i, start) in p.starts.iter().enumerate().filter(|(i, _)| target.starts[point][*i]) {
            let mut emit = Emit::new(plan, layout, target, Edge::Entry, false);
            emit.sample(point, i);
            emit.asm.exit();
            let mut args = 0;
            let loads = p.checks.iter().flat_map(|c| &c.leaves);
            for leaf in loads {
                args |= args_of_capture(plan, &leaf.value, point, i);
            }
            let site = SiteSpec {
                symbols: start.symbols.clone(),
                at: Edge::Entry,
                args_used: args,
                needs_entry_sp: false,
                optional: start.optional,
                called: None,
                kernel: false,
            };
            let name = kernel_name(&format!("pi_chk{i}_{}", p.name));
            programs.push(Program { name, site, actions: vec![Action::Start(point, i)], code: emit.asm.finish()? });
        }
    }
    Ok(programs)
}

fn kernel_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).take(15).collect()
}

/// Integer arguments that an action reads, as bits.
fn args_used(plan: &Plan, action: Action) -> u8 {
    let Action::Start(point, start) = action else { return 0 };
    let p = &plan.points[point];
    let mut bits = 0;
    for e in p.state_by.iter().chain(&p.only).chain(&p.team) {
        bits |= args_of(plan, e, point, start);
    }
    for t in plan.tables.iter().filter(|t| t.point == point) {
        for e in &t.open {
            bits |= args_of(plan, e, point, start);
        }
    }
    if let Some(parts) = &p.parts {
        for e in [&parts.number, &parts.row].into_iter().chain(parts.gathered.iter().filter_map(|g| g.value.as_ref())) {
            bits |= args_of(plan, e, point, start);
        }
    }
    for c in &p.captures {
        bits |= args_of_capture(plan, &c.value, point, start);
    }
    bits
}

fn args_of_capture(plan: &Plan, c: &profinfer_compiler::plan::CaptureValue, point: PointId, start: usize) -> u8 {
    use profinfer_compiler::plan::CaptureValue;
    match c {
        CaptureValue::Number(e) => args_of(plan, e, point, start),
        CaptureValue::Text(sources, _) => sources.iter().fold(0, |bits, (e, _)| bits | args_of(plan, e, point, start)),
        CaptureValue::Comm | CaptureValue::ArgText(..) => 0,
    }
}

fn args_of(plan: &Plan, e: &Expr, point: PointId, start: usize) -> u8 {
    let all = |es: &[Expr]| es.iter().fold(0, |bits, e| bits | args_of(plan, e, point, start));
    match e {
        Expr::Arg(name) => {
            let args = &plan.points[point].starts[start].args;
            let arg = args.iter().find(|a| a.name == *name);
            arg.map_or(0, |a| 1u8.checked_shl(a.position as u32).unwrap_or(0))
        }
        Expr::Load { base, index, .. } => {
            args_of(plan, base, point, start) | index.as_ref().map_or(0, |(i, _)| args_of(plan, i, point, start))
        }
        Expr::Neg(a) | Expr::Not(a) | Expr::Has(a) | Expr::Matches(a, _, _) | Expr::Float32(a) | Expr::Steps(a, ..) => {
            args_of(plan, a, point, start)
        }
        Expr::Arith(_, ab) | Expr::Cmp(_, ab) | Expr::And(ab) | Expr::Or(ab) => all(ab.as_slice()),
        Expr::If(c) => all(c.as_slice()),
        Expr::First(es) => all(es),
        _ => 0,
    }
}

/// The maps of a plan.
struct Maps(Vec<MapSpec>);

impl Maps {
    fn add(&mut self, id: MapId, name: &str, kind: MapKind, sizes: (u32, u32), max_entries: u32) -> &mut MapSpec {
        let (key_size, value_size) = sizes;
        let name = kernel_name(&format!("pi_{name}"));
        let at = self.0.len();
        self.0.push(MapSpec { id, name, kind, key_size, value_size, max_entries, swapped: false, value: None });
        &mut self.0[at]
    }
}

fn maps(plan: &Plan, layout: &Layout) -> Vec<MapSpec> {
    let mut maps = Maps(Vec::new());
    maps.add(MapId::Counters, "counters", MapKind::Shared, (4, layout.counter_words * 8), 1);
    maps.add(MapId::Threads, "threads", MapKind::LruHash, (8, layout.thread_size), threads(layout));
    for (id, p) in plan.points.iter().enumerate().filter(|(_, p)| p.used) {
        let l = &layout.points[id];
        if l.by_state {
            maps.add(MapId::State(id), &p.name, MapKind::Hash, (l.state_key, l.size), MAX_STATES);
        }
        if p.template == Template::Call {
            maps.add(MapId::State(id), &p.name, MapKind::LruHash, (l.state_key, l.size), MAX_STATES);
        }
        if p.template == Template::OffCpu {
            // Threads come and go often, with the scheduler's locks held: nothing is allocated there.
            maps.add(MapId::State(id), &p.name, MapKind::LruHash, (8, waiting::SIZE), MAX_STATES);
        }
        if let Some(parts) = &l.parts {
            let name = format!("part_{}", p.name);
            maps.add(MapId::Parts(id), &name, MapKind::LruHash, (16, parts.value_size()), MAX_PARTS);
        }
        if !p.checks.is_empty() {
            let name = format!("chk_{}", p.name);
            maps.add(MapId::Check(id), &name, MapKind::Array, (4, 8 + l.check_size), CHECK_SAMPLES);
        }
    }
    if plan.points.iter().any(|p| p.used && p.template.is_kernel()) {
        maps.add(MapId::Targets, "targets", MapKind::Hash, (8, 8), MAX_TARGETS);
    }
    let in_range = |(id, p): (usize, &Point)| p.used && RANGED.iter().any(|name| p.reads(name, &plan.tables, id));
    if plan.points.iter().enumerate().any(|(id, p)| p.template == Template::Fault && in_range((id, p))) {
        maps.add(MapId::Ranges, "ranges", MapKind::Array, (4, range::SIZE), range::MAX);
    }
    if (0..plan.points.len()).any(|id| plan.has_stacks(id)) {
        maps.add(MapId::Stacks, "stacks", MapKind::Stacks, (4, 8 * MAX_FRAMES), MAX_STACKS);
    }
    if plan.points.iter().any(|p| p.used && !p.series.is_empty()) {
        maps.add(MapId::Series, "series", MapKind::LruHash, (SERIES_KEY, SERIES_VALUE), MAX_SERIES);
    }
    let fresh = layout.fresh(plan);
    let bytes = fresh.len() as u32;
    maps.add(MapId::Fresh, "fresh", MapKind::Array, (4, bytes), 1).value = Some(fresh);
    let counters = plan.counters();
    if !counters.is_empty() {
        maps.add(MapId::Counted, "counted", MapKind::LruHash, (8, counted_size(&counters)), MAX_THREADS);
    }
    for counter in counters {
        maps.add(MapId::Perf(counter), counter.word(), MapKind::Perf, (4, 4), 0);
    }
    if plan.tables.iter().any(|t| t.streamed) {
        maps.add(MapId::Events, "events", MapKind::Ring, (0, 0), RING_BYTES);
    }
    for (t, table) in plan.tables.iter().enumerate().filter(|(_, t)| !t.streamed) {
        let l = &layout.tables[t];
        if l.keeps.is_empty() {
            continue;
        }
        let limit = u32::try_from(rows_together(plan, &l.keeps)).unwrap_or(u32::MAX);
        if l.front {
            let name = format!("front_{}", table.name);
            maps.add(MapId::Front(t), &name, MapKind::Array, (4, FRONT_ROWS * l.front_row()), 1);
        }
        let rows = maps.add(MapId::Table(t), &table.name, MapKind::Hash, (l.key_size, l.value_size), limit);
        rows.swapped = table.cleared;
        for (s, slot) in table.slots.iter().enumerate() {
            if matches!(slot.how, SlotHow::Hist(k) if k > 0) && slot.derived.is_none() {
                let entries = kernel_buckets(table) as u32;
                let name = format!("h{s}_{}", table.name);
                let buckets = maps.add(MapId::Hist(t, s), &name, MapKind::Hash, (l.key_size + 8, 8), entries);
                buckets.swapped = table.cleared;
            }
        }
    }
    maps.0
}

/// Rows that the kernel keeps for tables whose rows lie together: as many as they may have each, those with the same keys once.
fn rows_together(plan: &Plan, tables: &[usize]) -> u64 {
    let keys = |t: usize| plan.tables[t].key.iter().map(|field| &field.source);
    let is_new = |(i, t): &(usize, &usize)| !tables[..*i].iter().any(|before| keys(*before).eq(keys(**t)));
    tables.iter().enumerate().filter(is_new).map(|(_, t)| kernel_rows(&plan.tables[*t])).sum()
}

/// Threads whose slot is kept: slots are made at once, and where events are put aside in them they are large.
fn threads(layout: &Layout) -> u32 {
    let is_large = layout.points.iter().any(|l| l.aside.is_some());
    if is_large { MAX_THREADS_ASIDE } else { MAX_THREADS }
}

/// Buckets that the kernel keeps of a fine histogram, over all rows of a table.
pub fn kernel_buckets(table: &Table) -> u64 {
    (kernel_rows(table) * BUCKETS_PER_ROW).clamp(4096, 131_072)
}

/// Rows that the kernel keeps: more than are shown where user space puts several of them into one.
pub fn kernel_rows(table: &Table) -> u64 {
    let same = |(i, key): (usize, &OutKey)| key.value == UserExpr::Field(i);
    let as_shown =
        table.user.is_none() && table.key.len() == table.keys.len() && table.keys.iter().enumerate().all(same);
    if table.key.is_empty() {
        return 1;
    }
    if as_shown { table.limit } else { table.limit.max(HIDDEN_ROWS) }
}
