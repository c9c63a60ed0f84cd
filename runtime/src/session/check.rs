//! The layout check: what the first events read is held against what the engine description says must hold.

use profinfer_compiler::eval::{Value, eval, truth};
use profinfer_compiler::plan::{Capture, Plan};
use profinfer_ebpf::layout::MapId;

use super::SessionError;
use super::instance::Instance;
use super::rows::decode;

/// What the check of an instance has found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Not every point has had an event, or none that has checks.
    Partly,
    /// Every point that has checks has passed them, and there was one.
    Fully,
}

/// Holds the samples taken so far against the checks.
///
/// # Errors
/// [`SessionError::Layout`] for the first check that fails.
pub fn check(plan: &Plan, instance: &Instance) -> Result<Checked, SessionError> {
    let (mut all, mut any) = (Checked::Fully, false);
    for (id, point) in plan.points.iter().enumerate() {
        let Some(map) = instance.map(MapId::Check(id)).filter(|_| instance.facts.has(id)) else { continue };
        let mut samples = 0;
        let mut failure = None;
        map.for_each(|_, value| {
            let flag = u64::from_ne_bytes(value[..8].try_into().unwrap_or_default());
            if flag == 0 || failure.is_some() {
                return;
            }
            samples += 1;
            if flag == 2 {
                let message = "what the layout says is there could not be read".to_owned();
                failure = Some((message, format!("an event of {}", point.name)));
                return;
            }
            for (check, offsets) in point.checks.iter().zip(&instance.layout.points[id].checks) {
                let leaf = |(c, at): (&Capture, &u32)| {
                    let from = 8 + *at as usize;
                    decode(&value[from..from + c.bytes() as usize], &c.ty, &instance.facts)
                };
                let leaves: Vec<Value> = check.leaves.iter().zip(offsets).map(leaf).collect();
                let counts = |name: &str| instance.facts.enums.get(name).map(|words| words.len() as i64);
                if !truth(&eval(&check.condition, &leaves, &counts)) {
                    let read: Vec<String> =
                        check.leaves.iter().zip(&leaves).map(|(c, v)| format!("{} is {}", c.text, shown(v))).collect();
                    failure = Some((format!("it should be that {}", check.message), read.join(", ")));
                    return;
                }
            }
        })?;
        if let Some((message, what)) = failure {
            return Err(SessionError::Layout {
                path: instance.path.display().to_string(),
                engine: plan.engine.clone(),
                message,
                what,
            });
        }
        any |= samples > 0;
        if samples == 0 {
            all = Checked::Partly;
        }
    }
    Ok(if any { all } else { Checked::Partly })
}

fn shown(v: &Value) -> String {
    match v {
        Value::Absent => "absent".to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Text(s) => format!("{s:?}"),
        Value::Bool(b) => b.to_string(),
    }
}
