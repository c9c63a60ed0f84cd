//! The loop of a run: attaches, waits, shows, ends.

mod arrivals;
mod attach;
mod budget;
mod costs;
mod end;
mod join;
mod missing;
mod recorded;
mod show;
mod signals;

use std::future::Future as _;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use profinfer_compiler::plan::Plan;
use profinfer_ebpf::layout::{PointCounter, gate};
use tokio::io::unix::AsyncFd;

use self::arrivals::Arrivals;
use self::budget::Keeping;
use self::missing::Missing;
pub(crate) use self::show::{OVER_LIMIT, table_record};
use self::signals::{Signals, Wake};
use super::SessionError;
use super::all_steps::AllSteps;
use super::check::{Checked, check};
use super::cost::CostMeter;
use super::counters::Counters;
use super::events::Events;
use super::files::{Files, Modules};
use super::instance::Instance;
use super::names::Names;
use super::stream::Streams;
use super::watch::{Scope, Watch};
use crate::ceilings::Ceilings;
use crate::engine::Description;
use crate::kernel::Kernel;
use crate::record::{Level, Message, Record};
use crate::recording::writer::Recorder;
use crate::target::{Held, Process, SiteChoice, TargetError};

/// How often a check or the end of open steps is looked at.
const TICK: Duration = Duration::from_millis(20);

/// What is to be observed.
pub enum Subject {
    /// Processes that run already.
    Processes(Vec<Process>),
    /// Those of some names, that run already or begin while we watch.
    Named(Names),
    /// A command that stands before its first instruction.
    Command(Held),
}

/// How long an event waits before it is printed, so that those of other threads and processes that came before it are
/// there.
pub(crate) const HOLD: Duration = Duration::from_millis(10);

/// How a run goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Waits for an engine to appear in running processes, or for a process of the name to begin.
    pub wait: bool,
    /// Processes that the observed ones begin are observed too.
    pub follow: bool,
    /// Which instruction is probed where a function is entered.
    pub sites: SiteChoice,
    /// The share of the processes' time on CPUs that it may cost; beyond it steps are left out.
    pub max_overhead: Option<f64>,
}

/// Takes the records of a run.
pub trait Sink {
    /// Takes one record.
    ///
    /// # Errors
    /// It cannot be written.
    fn record(&mut self, record: &Record) -> io::Result<()>;

    /// The terminal has another size.
    fn resized(&mut self) {}

    /// Nothing is counted any more: what comes now is the end.
    fn ending(&mut self) {}
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        (**self).record(record)
    }

    fn resized(&mut self) {
        (**self).resized();
    }

    fn ending(&mut self) {
        (**self).ending();
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status of the command, if one was run and ended.
    pub status: Option<ExitStatus>,
    /// Something was lost.
    pub losses: bool,
}

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum RunError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}

impl From<TargetError> for RunError {
    fn from(e: TargetError) -> Self {
        Self::Session(e.into())
    }
}

impl RunError {
    /// The system refuses something that is not the output.
    fn system(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Session(SessionError::Io { action, source })
    }
}

impl From<crate::kernel::KernelError> for RunError {
    fn from(e: crate::kernel::KernelError) -> Self {
        Self::Session(e.into())
    }
}

struct Observed {
    process: Process,
    exit: AsyncFd<OwnedFd>,
    alive: bool,
    /// It was not asked for by itself: if it cannot be measured, the others still can.
    is_one_of_many: bool,
}

impl Observed {
    /// It has ended, or is just ending: then it has no memory any more, a little before the system tells its end.
    fn is_gone(&self) -> bool {
        match self.process.mappings() {
            Ok(mappings) => mappings.is_empty(),
            Err(e) => matches!(e, TargetError::NoSuchProcess { .. }),
        }
    }

    /// Why it cannot be observed then.
    fn gone(&self) -> SessionError {
        SessionError::Gone { pid: self.process.pid(), comm: self.process.comm().to_owned() }
    }
}

/// Rows that found no place in a table.
#[derive(Debug, Clone, Copy, Default)]
struct Over {
    /// In rows that were cleared.
    before: u64,
    /// In those there are now.
    now: u64,
}

struct Clock {
    next: Instant,
    done: bool,
}

/// A run.
pub struct Run<'r> {
    plan: &'r Plan,
    descriptions: &'r [Description],
    kernel: &'r dyn Kernel,
    settings: Settings,
    instances: Vec<Instance>,
    observed: Vec<Observed>,
    modules: Modules,
    command: Option<Held>,
    /// The process is a command that we started.
    launched: bool,
    started: Instant,
    /// When counting ended.
    ended: Option<Instant>,
    /// When each table was last emptied.
    since: Vec<Instant>,
    checked: bool,
    /// What is to be said once counting has begun.
    news: Vec<Message>,
    /// What the script names, and which processes do not have it.
    missing: Missing,
    /// What is to be said once a process has loaded all that it needs.
    arrivals: Arrivals,
    /// There was a Ctrl-C.
    interrupted: bool,
    /// Rows over the limit, by table.
    over: Vec<Over>,
    /// Rows of streamed tables.
    streams: Streams,
    /// Processes that are meant by name.
    names: Names,
    /// More processes than can be observed: it was said.
    crowded: bool,
    /// Since when none of the observed processes lives.
    deserted: Option<Instant>,
    /// When it is to be looked whether all is over, if none lives.
    next_look: Instant,
    /// Events at which something is done.
    events: Events,
    /// When it is time to look at what came through the ring.
    next_tick: Instant,
    /// What the machine can do at most, if that was measured.
    ceilings: Ceilings,
    /// Counters of the processor and the kernel.
    counters: Counters,
    /// What all this costs.
    cost: CostMeter,
    /// What it may cost, and where it stands with that.
    keeping: Option<Keeping>,
    /// How many steps there are, where some may be left out.
    all_steps: Option<AllSteps>,
    /// What events are recorded to, if they are.
    recorder: Option<Recorder>,
}

impl<'r> Run<'r> {
    /// A run that has not begun.
    pub fn new(plan: &'r Plan, descriptions: &'r [Description], kernel: &'r dyn Kernel, settings: Settings) -> Self {
        let now = Instant::now();
        Self {
            plan,
            descriptions,
            kernel,
            settings,
            instances: Vec::new(),
            observed: Vec::new(),
            modules: Modules::default(),
            command: None,
            launched: false,
            started: now,
            ended: None,
            since: vec![now; plan.tables.len()],
            checked: false,
            news: Vec::new(),
            missing: Missing::new(plan),
            arrivals: Arrivals::default(),
            interrupted: false,
            over: vec![Over::default(); plan.tables.len()],
            streams: Streams::default(),
            names: Names::default(),
            crowded: false,
            deserted: None,
            next_look: now,
            events: Events::new(plan),
            next_tick: now,
            ceilings: if plan.asks_ceilings() { Ceilings::of_this_machine() } else { Ceilings::default() },
            counters: Counters::default(),
            cost: CostMeter::default(),
            keeping: None,
            all_steps: None,
            recorder: None,
        }
    }

    /// Has the events of its recorded tables written.
    pub fn record_to(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Takes the recording out, if one was begun and not ended.
    pub fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    /// The recording that is made, if one is.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Runs to the end: of the duration, of the processes, by `exit`, by Ctrl-C. A command is waited for.
    ///
    /// # Errors
    /// [`RunError`]; nothing stays attached. A command that runs already goes on, and one that was held does too where
    /// it is the output that failed: see [`Run::command_ended`].
    pub async fn go(&mut self, subject: Subject, sink: &mut dyn Sink) -> Result<Outcome, RunError> {
        let mut signals = Signals::new().map_err(RunError::system("listen to signals"))?;
        let result = self.observe(subject, &mut signals, sink).await;
        // Links go in one go; what is in the maps was read.
        self.instances.iter_mut().for_each(Instance::detach_all);
        self.instances.clear();
        if let Some(mut all) = self.all_steps.take() {
            all.detach_all();
        }
        if let (Err(RunError::Output(_)), Some(held)) = (&result, &mut self.command) {
            // If it has been killed meanwhile, its status tells.
            let _killed = held.release();
        }
        let losses = result?;
        Ok(Outcome { status: self.command_ended().await?, losses })
    }

    /// Whether a command was started and has not ended.
    pub fn command_runs(&mut self) -> bool {
        self.command.as_mut().is_some_and(|held| matches!(held.try_wait(), Ok(None)))
    }

    /// Waits for the command to end, or for Ctrl-C; none if there is no command, or it goes on.
    ///
    /// # Errors
    /// The system cannot tell.
    pub async fn command_ended(&mut self) -> Result<Option<ExitStatus>, RunError> {
        let (Some(held), Some(observed)) = (&mut self.command, self.observed.first()) else { return Ok(None) };
        if held.is_held() {
            return Ok(None);
        }
        let mut signals = Signals::new().map_err(RunError::system("listen to signals"))?;
        loop {
            if let Some(status) = held.try_wait()? {
                return Ok(Some(status));
            }
            tokio::select! {
                ended = observed.exit.readable() => drop(ended.map_err(RunError::system("wait for the command"))?),
                wake = signals.next() => match wake {
                    // The command had the first Ctrl-C too and may take its time; a second one is for us.
                    Wake::Interrupt if !self.interrupted => self.interrupted = true,
                    Wake::Interrupt | Wake::Terminate => return Ok(None),
                    _ => {}
                },
            }
        }
    }

    async fn observe(
        &mut self,
        subject: Subject,
        signals: &mut Signals,
        sink: &mut dyn Sink,
    ) -> Result<bool, RunError> {
        let launched = matches!(subject, Subject::Command(_));
        self.launched = launched;
        self.cost.begin();
        self.begin_budget()?;
        if let Subject::Named(names) = &subject {
            self.names = names.clone();
        }
        let named = !self.names.is_empty();
        self.counters = Counters::open(self.plan, self.kernel)?;
        self.counters.require(self.plan)?;
        for text in self.counters.absent() {
            self.news.push(Message { level: Level::Warning, kind: "missing", text });
        }
        let mut watch = Watch::new(self.kernel, Scope { births: self.settings.follow || named, execs: named })?;
        let processes = match subject {
            Subject::Processes(all) => all,
            Subject::Named(_) => self.named()?,
            Subject::Command(held) => {
                let process = Process::open(held.pid())?;
                self.command = Some(held);
                vec![process]
            }
        };
        for process in processes {
            watch.add(process.pid(), launched)?;
            let at = self.put(process)?;
            self.observed[at].is_one_of_many = named;
        }
        let mut without = 0;
        for i in 0..self.observed.len() {
            if self.scan(i, launched)? || launched {
                continue;
            }
            without += 1;
            if self.observed[i].is_gone() {
                self.observed[i].alive = false;
                let text = self.observed[i].gone().to_string();
                self.news.push(Message { level: Level::Warning, kind: "gone", text });
            } else if !self.settings.wait && !named {
                let error = self.missing.take(self.observed[i].process.pid());
                return Err(error.unwrap_or_else(|| self.no_engine(i)).into());
            }
        }
        if named && !self.settings.wait && without == self.observed.len() {
            let names = self.names.to_string();
            return Err(SessionError::NoEngineNamed { names, number: without }.into());
        }
        let gone = self.observed.first().filter(|_| !launched && self.observed.iter().all(|o| !o.alive));
        if let Some(first) = gone.filter(|_| !named) {
            return Err(first.gone().into());
        }
        if self.instances.is_empty() {
            let what = if self.plan.needs_engine() { "an engine" } else { "what the script names" };
            self.say(sink, Level::Info, "waiting", format!("waiting for {what} to be loaded"))?;
        }
        self.started = Instant::now();
        self.counters.begin()?;
        self.events.begin();
        self.since.fill(self.started);
        self.begin_recording(sink)?;
        // Before counting begins: what `begin` shows is empty, and what it clears loses nothing.
        let begin = self.plan.begin.clone();
        let mut reason = self.act(&begin, sink)?.then(|| "exit".to_owned());
        self.count(sink)?;
        if let Some(held) = &mut self.command {
            held.release()?;
        }
        let mut clocks: Vec<Clock> = self
            .plan
            .timers
            .iter()
            .map(|t| Clock { next: self.started + Duration::from_nanos(t.period_ns), done: false })
            .collect();
        while reason.is_none() {
            match self.wait(signals, &mut watch, &clocks).await? {
                Wake::Interrupt => {
                    self.interrupted = true;
                    reason = Some("interrupt".to_owned());
                }
                Wake::Terminate => reason = Some("terminated".to_owned()),
                Wake::Deadline => reason = Some("duration".to_owned()),
                Wake::ShowAll => self.show_all(sink)?,
                Wake::Resized => sink.resized(),
                Wake::Measure => self.measure_cost()?,
                Wake::Budget => self.keep_budget(sink)?,
                Wake::Tick => {
                    self.next_tick = Instant::now() + TICK;
                    self.drain();
                    self.look_at_recording()?;
                    self.check(sink)?;
                    for instance in &mut self.instances {
                        instance.look_at_memory(self.observed.iter().filter(|o| o.alive).map(|o| &o.process))?;
                    }
                    if self.happen(HOLD, sink)? || self.instances.iter().any(|i| i.gate() == gate::NO_NEW_STEP) {
                        reason = Some("exit".to_owned());
                    }
                }
                Wake::Loaded(pids) => {
                    for pid in pids {
                        if let Some(i) = self.join(pid, &mut watch, sink)? {
                            self.scan(i, true)?;
                            self.count(sink)?;
                        }
                        watch.resume(pid)?;
                    }
                }
                Wake::Exited(i) => {
                    let pid = self.observed[i].process.pid();
                    self.cost.read_clocks(&[pid]);
                    self.observed[i].alive = false;
                    watch.remove(pid)?;
                    self.check(sink)?;
                    // What it computed is in the maps; of many that come and go no links stay.
                    self.instances.iter_mut().for_each(|instance| instance.detach(pid));
                    if let Some(all) = &mut self.all_steps {
                        all.detach(pid);
                    }
                    self.missing.ended(pid);
                    self.modules.ended();
                    self.deserted = self.observed.iter().all(|o| !o.alive).then(Instant::now);
                    self.next_look = Instant::now() + self.last_look();
                }
                Wake::Deserted => {
                    self.next_look = Instant::now() + self.last_look();
                    if self.is_over(&watch) {
                        reason = Some("target exited".to_owned());
                    }
                }
                Wake::Timer(t) => {
                    let timer = self.plan.timers[t].clone();
                    if self.act(&timer.actions, sink)? {
                        reason = Some("exit".to_owned());
                    }
                    // A late timer does not fire twice to catch up.
                    let period = Duration::from_nanos(timer.period_ns);
                    clocks[t].done = !timer.repeats;
                    clocks[t].next = (clocks[t].next + period).max(Instant::now());
                }
            }
        }
        self.finish(reason.unwrap_or_default(), signals, watch, sink).await
    }

    async fn wait(&self, signals: &mut Signals, watch: &mut Watch, clocks: &[Clock]) -> Result<Wake, RunError> {
        let due = clocks.iter().enumerate().filter(|(_, c)| !c.done).min_by_key(|(_, c)| c.next);
        let (timer, at) = due.map_or((usize::MAX, None), |(i, c)| (i, Some(c.next)));
        let deadline = self.settings.duration.map(|d| self.started + d);
        let streams = self.plan.tables.iter().any(|t| t.streamed) && !self.instances.is_empty();
        let ranges = self.instances.iter().any(Instance::has_ranges);
        let looks = streams || ranges || !self.arrivals.is_empty() || (!self.checked && !self.instances.is_empty());
        // However often something else wakes us.
        let tick = looks.then(|| self.next_tick.min(Instant::now() + TICK));
        let look = self.deserted.map(|_| self.next_look);
        let measure = self.cost.next();
        let budget = self.keeping.as_ref().filter(|_| !self.instances.is_empty()).map(|keeping| keeping.next);
        let alarm = |at: Option<Instant>| async move {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let exits = self.observed.iter().enumerate().filter(|(_, o)| o.alive);
        let exited = first_exit(exits.map(|(i, o)| (i, &o.exit)).collect());
        tokio::select! {
            biased;
            wake = signals.next() => Ok(wake),
            pids = watch.next() => Ok(Wake::Loaded(pids?)),
            i = exited => Ok(Wake::Exited(i.map_err(RunError::system("wait for the process"))?)),
            () = alarm(deadline) => Ok(Wake::Deadline),
            // Before timers: one that is always due must not keep it from its turn.
            () = alarm(tick) => Ok(Wake::Tick),
            () = alarm(look) => Ok(Wake::Deserted),
            () = alarm(measure) => Ok(Wake::Measure),
            () = alarm(budget) => Ok(Wake::Budget),
            () = alarm(at) => Ok(Wake::Timer(timer)),
        }
    }

    /// Says which processes were attached to, of those that have computed something since or have loaded nothing more
    /// for a while (`quiet`).
    fn arrive(&mut self, sink: &mut dyn Sink, quiet: Duration) -> Result<(), RunError> {
        let (plan, instances) = (self.plan, &self.instances);
        let computes = |pid| instances.iter().any(|i| i.pids().contains(&pid) && has_events(plan, i));
        for message in self.arrivals.settled(quiet, computes) {
            sink.record(&Record::Message(message)).map_err(RunError::Output)?;
        }
        Ok(())
    }

    /// Opens the gate of everything attached, and says so only then: who waits for the word misses nothing.
    fn count(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        self.begin_cost()?;
        if let Some(all) = &self.all_steps {
            all.count(self.launched);
        }
        let known = self.launched && !self.keeping.as_ref().is_some_and(Keeping::has_paused);
        let sees = self.keeping.as_ref().is_none_or(Keeping::sees);
        for instance in self.instances.iter().filter(|_| sees) {
            if known {
                instance.set_all_known();
            }
            // An `exit` at an event may have narrowed it already.
            if instance.gate() == gate::SHUT {
                instance.set_gate(gate::COUNTING);
                if !known {
                    instance.forget_outside(self.plan)?;
                }
            }
        }
        for message in std::mem::take(&mut self.news) {
            sink.record(&Record::Message(message)).map_err(RunError::Output)?;
        }
        Ok(())
    }

    fn no_engine(&self, index: usize) -> SessionError {
        let process = &self.observed[index].process;
        let names: Vec<&str> = self.descriptions.iter().map(|d| d.catalogue.description.as_str()).collect();
        let foreign = self.modules.known(process).and_then(|all| Files::foreign_engine(self.descriptions, &all));
        let why = foreign.unwrap_or_else(|| {
            format!(
                "none of its files exports what is known of {} (use --wait if it is loaded later)",
                names.join(", ")
            )
        });
        SessionError::NoEngine { pid: process.pid(), comm: process.comm().to_owned(), why }
    }

    fn check(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        self.arrive(sink, arrivals::QUIET)?;
        // After the end nothing is attached any more that could tell.
        if self.checked || !self.instances.iter().any(Instance::is_checking) {
            return Ok(());
        }
        let mut all = true;
        for instance in self.instances.iter_mut().filter(|i| i.is_checking()) {
            match check(self.plan, instance)? {
                Checked::Fully => instance.end_checks(),
                Checked::Partly => all = false,
            }
        }
        if all && !self.instances.is_empty() {
            self.checked = true;
            let names: Vec<String> = self.instances.iter().map(|i| file_name(&i.path)).collect();
            let text = format!("the layout of {} is as described", names.join(", "));
            self.say(sink, Level::Info, "checked", text)?;
        }
        Ok(())
    }

    pub(in crate::session) fn say(
        &self,
        sink: &mut dyn Sink,
        level: Level,
        kind: &'static str,
        text: String,
    ) -> Result<(), RunError> {
        sink.record(&Record::Message(Message { level, kind, text })).map_err(RunError::Output)
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// Whether anything was counted.
fn has_events(plan: &Plan, instance: &Instance) -> bool {
    (0..plan.points.len()).any(|p| instance.point_counter(p, PointCounter::Hits) > 0)
}

/// The first of these processes to end.
async fn first_exit(all: Vec<(usize, &AsyncFd<OwnedFd>)>) -> io::Result<usize> {
    if all.is_empty() {
        return std::future::pending().await;
    }
    let mut waits: Vec<_> =
        all.into_iter().map(|(i, fd)| Box::pin(async move { fd.readable().await.map(|_| i) })).collect();
    std::future::poll_fn(move |cx| {
        for wait in &mut waits {
            if let std::task::Poll::Ready(done) = wait.as_mut().poll(cx) {
                return std::task::Poll::Ready(done);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
