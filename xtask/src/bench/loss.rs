//! What tools say that they lost.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

/// In a file that a tool wrote, and on its stderr.
pub(super) fn of_run(shown: &Path, said: &str) -> u64 {
    let Ok(file) = std::fs::File::open(shown) else { return 0 };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.map(|line| of_profinfer(&line) + of_bpftrace(&line)).sum::<u64>() + said.lines().map(of_bpftrace).sum::<u64>()
}

/// What the end record says was lost in the whole run, if the line is one.
pub(super) fn of_profinfer(line: &str) -> u64 {
    if !line.starts_with(r#"{"type":"end""#) {
        return 0;
    }
    let end: Value = serde_json::from_str(line).unwrap_or_default();
    numbers(&end["dropped"])
}

/// All numbers in a value.
fn numbers(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields.values().map(numbers).sum(),
        Value::Array(values) => values.iter().map(numbers).sum(),
        other => other.as_u64().unwrap_or(0),
    }
}

/// What a line of bpftrace's says was lost: `Lost 4711 events`.
pub(super) fn of_bpftrace(line: &str) -> u64 {
    let rest = line.strip_prefix("Lost ").and_then(|rest| rest.strip_suffix(" events"));
    rest.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_as_both_tools_tell_them() {
        let end = r#"{"type":"end","v":1,"dropped":{"table_full":2,"ring_full":3},"at_events":[{"name":"p","done":1,"lost":3}]}"#;
        assert_eq!(of_profinfer(end), 5);
        assert_eq!(of_profinfer(r#"{"type":"print","lost":3}"#), 0);
        assert_eq!(of_bpftrace("Lost 4711 events"), 4711);
        assert_eq!(of_bpftrace("4711"), 0);
    }
}
