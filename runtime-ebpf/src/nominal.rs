//! A target that has everything as its description says: for looking at programs, and trying them on the verifier,
//! without a process.

use profinfer_compiler::plan::Plan;

use crate::target::{Arch, TRACE_FIELDS, TargetFacts};

/// What would be known of a target that has every point and every start, the numbers of words that the description
/// lists, and of each struct the layout of the newest build.
pub fn facts(plan: &Plan, arch: Arch) -> TargetFacts {
    let enums = plan.enums.iter().map(|(name, e)| {
        let words = e.words.iter().map(|(word, number)| (*number, word.clone())).collect();
        (name.clone(), words)
    });
    let structs = plan.structs.iter().filter_map(|(name, s)| {
        let layout = s.layout(&|_| true).or(s.layouts.first())?;
        let offsets = layout.fields.iter().map(|(field, placed)| (field.clone(), placed.offset)).collect();
        Some((name.clone(), offsets))
    });
    TargetFacts {
        pid_namespace: None,
        arch,
        enums: enums.collect(),
        structs: structs.collect(),
        available: vec![true; plan.points.len()],
        marks: vec![true; plan.points.len()],
        lacks_counters: Vec::new(),
        loops: true,
        by_process: true,
        stacks: Default::default(),
        trace_fields: TRACE_FIELDS.iter().map(|(c, n, f, at)| (format!("{c}:{n}.{f}"), *at)).collect(),
        starts: plan.points.iter().map(|p| vec![true; p.starts.len()]).collect(),
    }
}
