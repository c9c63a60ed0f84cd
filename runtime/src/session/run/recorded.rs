//! A run that is recorded: what is written beside its events.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Run, RunError, Sink};
use crate::record::{self, End, Level, Record};
use crate::recording::about::{Begin, Ended, Process};
use crate::session::instance::Attached;
use crate::session::sites::Target;

impl Run<'_> {
    /// Counting begins.
    pub(super) fn begin_recording(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (monotonic_ns, unix_ns) = (self.events.began(), unix.as_nanos() as u64);
        sink.record(&Record::Begin(record::Begin { monotonic_ns, unix_ns })).map_err(RunError::Output)?;
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let begin = Begin { monotonic_ns, unix_ns };
        recorder.begin(begin, self.started).map_err(RunError::Output)
    }

    /// Tells why nothing can be written any more, if that is so.
    pub(super) fn look_at_recording(&mut self) -> Result<(), RunError> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        recorder.tick();
        recorder.fault().map_or(Ok(()), |e| Err(RunError::Output(e)))
    }

    /// A process was attached to.
    pub(super) fn record_process(&mut self, (pid, who): (u32, &str), at: usize, target: &Target, attached: &Attached) {
        self.events.meet(pid, who);
        let Some(recorder) = &mut self.recorder else { return };
        let instance = &self.instances[at];
        let source = recorder.source(&instance.identity, &instance.facts, &instance.path);
        let mut files: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for found in attached.found.iter().flat_map(|(_, found)| found) {
            let build_id = found.module.build_id().unwrap_or_default().to_owned();
            let file = files.entry(found.module.path().display().to_string()).or_insert((build_id, 0));
            file.1 += found.sites.len() as u64;
        }
        recorder.process(&Process {
            pid: u64::from(pid),
            who: who.to_owned(),
            source: u64::from(source),
            engine: if target.files.is_engine() { self.plan.engine.clone() } else { String::new() },
            files: files.into_iter().map(|(path, (build_id, sites))| (path, build_id, sites)).collect(),
        });
    }

    /// Writes the end, and says what was recorded.
    pub(super) fn end_recording(&mut self, end: &End, sink: &mut dyn Sink) -> Result<(), RunError> {
        let wall_ns = self.now().saturating_duration_since(self.started).as_nanos() as u64;
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let instances = &self.instances;
        let lost = |table| instances.iter().flat_map(|i| i.table_drops(table)).map(|(_, n)| n).sum();
        let ended = Ended { end: end.clone(), wall_ns, ..Ended::default() };
        let events: u64 = recorder.end(ended, lost).map_err(RunError::Output)?.iter().sum();
        let bytes = recorder.bytes;
        let each = if events > 0 { format!(", {:.1} bytes each", bytes as f64 / events as f64) } else { String::new() };
        self.say(sink, Level::Info, "recorded", format!("recorded {events} events in {bytes} bytes{each}"))
    }
}
