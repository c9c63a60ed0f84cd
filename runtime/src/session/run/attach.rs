//! Attaching to a process: to every engine in it, or to what a script names where none is needed.

use profinfer_compiler::plan::{self, Plan};
use profinfer_compiler::typed::PointId;

use super::budget::Keeping;
use super::{Run, RunError, file_name, has_events};
use crate::record::{Level, Message};
use crate::session::SessionError;
use crate::session::calls::{Calls, NoCall};
use crate::session::files::Files;
use crate::session::instance::Instance;
use crate::session::sites::Target;
use crate::target::{FileIdentity, Process};

impl Run<'_> {
    /// Looks for an engine in a process and attaches to it; says whether one is attached now. A process that loads its
    /// code bit by bit is looked at again and again: that it is attached to is then said once, in the end.
    pub(super) fn scan(&mut self, index: usize, loading: bool) -> Result<bool, RunError> {
        match self.attach(index, loading) {
            // Whatever it was, it is because the process has ended meanwhile.
            Err(_) if self.observed[index].is_gone() => {
                let (plan, pid) = (self.plan, self.observed[index].process.pid());
                self.instances.iter_mut().for_each(|i| i.detach(pid));
                self.instances.retain(|i| !i.pids().is_empty() || has_events(plan, i));
                Ok(false)
            }
            Err(RunError::Session(error)) if self.observed[index].is_one_of_many && error.is_of_target() => {
                let told = self.arrivals.leave_out(self.observed[index].process.pid(), &error, loading);
                self.news.extend(told);
                Ok(false)
            }
            attached => attached,
        }
    }

    fn attach(&mut self, index: usize, loading: bool) -> Result<bool, RunError> {
        let process = &self.observed[index].process;
        let pid = process.pid();
        let who = process.to_string();
        let modules = self.modules.of(process)?;
        let found = Files::recognise_all(self.descriptions, &modules);
        let has_engine = !found.is_empty();
        let mut found: Vec<Files> = found.into_iter().map(|(_, files)| files.of(process)).collect();
        if !has_engine && !self.plan.needs_engine() {
            found.extend(Files::without_engine(&modules, process));
        }
        let mut news = Vec::new();
        let mut targets = Vec::new();
        let mut lacking = None;
        let mut far = Vec::new();
        for mut files in found {
            files.take_in(std::mem::take(&mut far));
            let mut target = Target::new(self.plan, files);
            target.choice = self.settings.sites;
            target.facts.lacks_counters = self.counters.lacking();
            match self.require_points(&target, process) {
                Ok(()) => targets.push((target.identity(self.plan), target)),
                Err(why) => {
                    far = target.files.far().to_vec();
                    lacking = lacking.or(Some(why));
                }
            }
        }
        // One engine of several may be there for something else.
        match lacking {
            Some(why) if targets.is_empty() => return Err(why.into()),
            Some(why) => news.push(Message { level: Level::Warning, kind: "missing", text: why.to_string() }),
            None if targets.is_empty() => return Ok(false),
            None => {}
        }
        let lacks = require_calls(self.plan, &targets, process);
        match lacks {
            // It is not to be loaded later, and there is no other that may have it.
            Some((_, error)) if !self.launched && !self.settings.wait && !self.observed[index].is_one_of_many => {
                return Err(error.into());
            }
            lacks => self.missing.put(pid, lacks),
        }
        for (id, _) in self.plan.points.iter().enumerate().filter(|(_, p)| p.called.is_some()) {
            if targets.iter().any(|(_, target)| target.facts.has(id)) {
                self.missing.has(id);
            }
        }
        let has_any = |target: &Target| {
            let is_there = |(id, p): (usize, &plan::Point)| p.wanted && target.facts.has(id);
            self.plan.points.iter().enumerate().any(is_there)
        };
        if !has_engine && !targets.iter().any(|(_, target)| has_any(target)) {
            return Ok(false);
        }
        let is_target = |i: &Instance| targets.iter().any(|(identity, _)| i.identity == *identity);
        // The process has loaded more of the engine since: what was attached before saw only part of it.
        self.instances.iter_mut().filter(|i| !is_target(i)).for_each(|i| i.detach(pid));
        // Engines load every variant of their CPU code once to try it: those never compute.
        let plan = self.plan;
        self.instances.retain(|i| !i.pids().is_empty() || has_events(plan, i));
        self.arrivals.keep(pid, &targets.iter().map(|(_, target)| target.engine_path()).collect::<Vec<_>>());
        let several = targets.len() > 1;
        for (identity, target) in targets {
            let path = target.engine_path();
            let name = if several { path.display().to_string() } else { file_name(&path) };
            self.attach_to((pid, &who), identity, (&target, &name), std::mem::take(&mut news), loading)?;
        }
        Ok(true)
    }

    /// Attaches to one engine in a process, if that is not done yet; `news` is to be said with it.
    fn attach_to(
        &mut self,
        (pid, who): (u32, &str),
        identity: Vec<FileIdentity>,
        (target, name): (&Target, &str),
        mut news: Vec<Message>,
        loading: bool,
    ) -> Result<(), RunError> {
        let at = match self.instances.iter().position(|i| i.identity == identity) {
            Some(at) if self.instances[at].pids().contains(&pid) => return Ok(()),
            Some(at) => at,
            None => {
                self.instances.push(Instance::new(self.plan, target, identity, &self.counters, self.kernel)?);
                self.checked = false;
                self.instances.len() - 1
            }
        };
        if self.keeping.as_ref().is_some_and(Keeping::is_away) {
            self.instances[at].set_paused(true);
        }
        let attached = self.instances[at].attach(pid, target, self.kernel)?;
        if let Some(all) = &mut self.all_steps {
            all.attach((pid, who), target.files.clone(), self.settings.sites, self.kernel)?;
        }
        // Where there are several engines, one of them tells what the kernel does for the process.
        let is_told = self.instances.iter().any(|i| i.tells_of(pid));
        if let Some(observed) = self.observed.iter().find(|o| o.process.pid() == pid).filter(|_| !is_told) {
            self.instances[at].tell_of(&observed.process)?;
        }
        self.record_process((pid, who), at, target, &attached);
        let sites: usize = attached.found.iter().flat_map(|(_, f)| f).map(|f| f.sites.len()).sum();
        let engine = if target.files.is_engine() { format!(", engine {name}") } else { String::new() };
        let text = format!("attached to {who}{engine}: {sites} sites");
        news.insert(0, Message { level: Level::Info, kind: "attached", text });
        for of in &target.assumed {
            let text = format!("the table of {of} was not found in {name}: the description's numbers are assumed");
            news.push(Message { level: Level::Warning, kind: "assumed", text });
        }
        for (id, p) in self.plan.points.iter().enumerate() {
            if let Some(text) = refused(p, &target.calls[id]) {
                news.push(Message { level: Level::Warning, kind: "missing", text });
            }
            if let (Some(why), Some(mark)) = (target.lacks_mark(id, p), &p.mark) {
                let text = format!("{}.{}, and what is made of it, is absent: {why}", p.name, mark.field);
                news.push(Message { level: Level::Warning, kind: "missing", text });
            }
        }
        if !target.facts.loops && self.plan.points.iter().any(|p| p.used && p.parts.is_some()) {
            let text = "this kernel is older than Linux 6.9 and has no loops: micro-batches that are `mixed` or `verify` are \
                        called `prefill`";
            news.push(Message { level: Level::Warning, kind: "missing", text: text.to_owned() });
        }
        if loading {
            self.arrivals.put(pid, &target.engine_path(), news);
        } else {
            self.news.extend(news);
        }
        Ok(())
    }

    /// A point that a clause stands on and the target lacks is an error, unless it is marked `?`.
    fn require_points(&self, target: &Target, process: &Process) -> Result<(), SessionError> {
        let (pid, comm) = (process.pid(), process.comm());
        for (id, p) in self.plan.points.iter().enumerate() {
            if p.wanted && p.each.is_some() && !target.facts.loops {
                let why = "it takes a loop, which the kernel has since Linux 6.9".to_owned();
                return Err(SessionError::NoPoint { pid, comm: comm.to_owned(), point: p.name.clone(), why });
            }
            if p.wanted && !p.optional && p.called.is_none() && !target.facts.has(id) {
                let symbols: Vec<&str> =
                    p.starts.iter().filter(|s| !s.optional).flat_map(|s| &s.symbols).map(String::as_str).collect();
                return Err(SessionError::NoPoint {
                    pid,
                    comm: comm.to_owned(),
                    point: p.name.clone(),
                    why: format!(
                        "no file mapped there has {} (mark the point with `?` to go on without)",
                        symbols.join(" or ")
                    ),
                });
            }
            if let Some(why) = target.lacks_mark(id, p)
                && p.wanted
                && !p.optional
            {
                let point = p.mark.as_ref().map_or_else(String::new, |m| format!("{}.{}", p.name, m.field));
                let why = format!("{why} (leave it out, or mark the point with `?` to have it absent)");
                return Err(SessionError::NoPoint { pid, comm: comm.to_owned(), point, why });
            }
        }
        Ok(())
    }
}

/// Why a function that a clause stands on cannot be counted in a process; one marked `?` may be missing there.
fn require_calls(
    plan: &Plan,
    targets: &[(Vec<FileIdentity>, Target)],
    process: &Process,
) -> Option<(PointId, SessionError)> {
    let (pid, comm) = (process.pid(), process.comm());
    plan.points.iter().enumerate().find_map(|(id, p)| {
        // That one of several engines has it is enough.
        let mut why = None;
        for (_, target) in targets {
            match &target.calls[id] {
                Some(Err(missing)) => why = why.or(Some(missing)),
                Some(Ok(_)) | None => return None,
            }
        }
        let why = why?;
        let cure = if why.is_missing() { " (mark the point with `?` to go on without)" } else { "" };
        let needed = p.wanted && !(p.optional && why.is_missing());
        needed.then(|| {
            let why = format!("{why}{cure}");
            (id, SessionError::NoPoint { pid, comm: comm.to_owned(), point: p.name.clone(), why })
        })
    })
}

/// Which functions that a point stands for are left out, and why.
fn refused(p: &plan::Point, calls: &Option<Result<Calls, NoCall>>) -> Option<String> {
    let Some(Ok(calls)) = calls else { return None };
    let (function, why) = calls.refused.first()?;
    let others = match calls.refused.len() {
        1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    Some(format!("{} goes without {function}{others}, which cannot be probed: {why}", p.name))
}
