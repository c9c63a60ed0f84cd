//! What a run cost, in the end's lines and in JSON.

use insta::assert_snapshot;

use super::{Format, Options, shown};
use crate::record::{Cost, End, Kept, Record};

fn end() -> End {
    let cost = Cost {
        share: 0.0178,
        floor: 0.0138,
        hits: 103_400,
        steps: Some(100),
        trap_ns: 24_816_000,
        program_ns: 7_238_000,
        cpu_ns: 1_800_000_000,
        run_cpu_ns: 9_000_000_000,
    };
    End { cost: Some(cost), ..End::default() }
}

fn line(end: End) -> String {
    let text = shown(Format::Table, Options { width: 200, ..Options::default() }, &[Record::End(end)]);
    text.lines().find(|line| line.starts_with("cost")).map(str::to_owned).unwrap_or_default()
}

#[test]
fn it_is_a_line_of_the_end() {
    assert_snapshot!(line(end()), @"cost     1.8 % of the engine's CPU time (1,034 hits a step; 310 ns each: trap 240, program 70; floor 1.4 %)");
    let of = |change: fn(&mut Cost)| {
        let mut end = end();
        end.cost.iter_mut().for_each(change);
        line(end)
    };
    assert_snapshot!(of(|c| c.steps = None), @"cost     1.8 % of the engine's CPU time (103,400 hits; 310 ns each: trap 240, program 70; floor 1.4 %)");
    assert_snapshot!(of(|c| *c = Cost { cpu_ns: 5, ..Cost::default() }), @"cost     0.00 % of the engine's CPU time (0 hits; floor 0.00 %)");
    assert_snapshot!(of(|c| c.share = 0.123), @"cost     12 % of the engine's CPU time (1,034 hits a step; 310 ns each: trap 240, program 70; floor 1.4 %)");
    let unknown = End { no_cost: Some("a reason\u{1b}".to_owned()), ..End::default() };
    assert_snapshot!(line(unknown), @r"cost     not measured: a reason\u{1b}");
}

#[test]
fn json_has_its_parts() {
    let text = shown(Format::Json, Options::default(), &[Record::End(end())]);
    let cost = r#""cost":{"share":0.0178,"floor":0.0138,"hits":103400,"steps":100,"trap_ns":24816000,"program_ns":7238000,"cpu_ns":1800000000,"run_cpu_ns":9000000000}"#;
    assert!(text.contains(cost), "{text}");
    let none = shown(Format::Json, Options::default(), &[Record::End(End::default())]);
    assert!(!none.contains("cost"), "{none}");
}

#[test]
fn a_budget_says_how_many_steps_were_seen() {
    let of = |seen, pauses| {
        let end = End { kept: Some(Kept { max: 0.005, steps: 1_871, seen, pauses }), ..End::default() };
        let text = shown(Format::Table, Options { width: 200, ..Options::default() }, &[Record::End(end)]);
        text.lines().find(|line| line.starts_with("seen")).map(str::to_owned).unwrap_or_default()
    };
    assert_snapshot!(of(512, 9), @"seen     512 of 1,871 steps (27 %): the others were left out to stay within 0.5 %, and are in no table");
    assert_snapshot!(of(1_871, 0), @"seen     1,871 of 1,871 steps: none was left out to stay within 0.5 %");
    let end = End { kept: Some(Kept { max: 0.005, steps: 1_871, seen: 512, pauses: 9 }), ..End::default() };
    let json = shown(Format::Json, Options::default(), &[Record::End(end)]);
    assert!(json.contains(r#""budget":{"max":0.005,"steps":1871,"seen":512,"pauses":9}"#), "{json}");
}
