//! What the end says of counters.

use std::collections::BTreeMap;

use super::{Format, Options, shown};
use crate::record::{Counted, End, Record};

fn end() -> End {
    End {
        hits: BTreeMap::from([("ggml_op".to_owned(), 5_150), ("ggml_work".to_owned(), 10_300)]),
        dropped: BTreeMap::from([("uncounted".to_owned(), 1_002)]),
        counted: BTreeMap::from([
            ("ggml_op".to_owned(), Counted::default()),
            ("ggml_work".to_owned(), Counted { moved: 7, uncounted: 1_002, never_ran: 0, scaled: 31 }),
        ]),
        shared: BTreeMap::from([("llc_misses".to_owned(), 0.426)]),
        layout: "checked".to_owned(),
        ..End::default()
    }
}

#[test]
fn people_are_told_what_is_not_as_simple_as_it_seems() {
    let text = shown(Format::Table, Options::default(), &[Record::End(end())]);
    let from = text.find("counters").unwrap();
    let to = text.find("layout").unwrap();
    assert_eq!(
        text[from..to],
        *"counters ggml_op, each on one CPU\n         ggml_work, 7 over several CPUs, 1,002 without counters,\n         31 counts scaled\n         \
          llc_misses ran 43 % of the time: the processor has too few counters\n"
    );
    let none = shown(Format::Table, Options::default(), &[Record::End(End::default())]);
    assert!(!none.contains("counters"), "{none}");
}

#[test]
fn programs_are_told_the_same() {
    let line = shown(Format::Json, Options::default(), &[Record::End(end())]);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let work = serde_json::json!({ "moved": 7, "uncounted": 1_002, "never_ran": 0, "scaled": 31 });
    assert_eq!((&json["counted"]["ggml_work"], &json["shared"]["llc_misses"]), (&work, &0.426.into()));
    let none = shown(Format::Json, Options::default(), &[Record::End(End::default())]);
    assert!(!none.contains("counted") && !none.contains("shared"), "{none}");
}
