//! The algebra of units, and constants folded by it.

mod common;

use profinfer_compiler::print;
use profinfer_compiler::types::ArithOp::{self, Add, Div, Mul, Rem, Sub};
use profinfer_compiler::types::Type::{self, Absent, Bool, Bytes, BytesPerSecond, Duration, Int, PerSecond, Ratio};
use profinfer_compiler::types::arithmetic;

/// An operation, and the types of its operands and results.
type Row<'t> = (ArithOp, &'t [(Type, Type, Type)]);

/// Every pair of quantities under every operation; what is not listed is refused.
#[test]
fn units_go_together_as_listed() {
    let quantities = [Int, Ratio, Duration, Bytes, PerSecond, BytesPerSecond];
    let listed: &[Row<'_>] = &[
        (
            Add,
            &[
                (Int, Int, Int),
                (Int, Ratio, Ratio),
                (Ratio, Int, Ratio),
                (Ratio, Ratio, Ratio),
                (Duration, Duration, Duration),
                (Bytes, Bytes, Bytes),
                (PerSecond, PerSecond, PerSecond),
                (BytesPerSecond, BytesPerSecond, BytesPerSecond),
            ],
        ),
        (
            Mul,
            &[
                (Int, Int, Int),
                (Int, Ratio, Ratio),
                (Ratio, Int, Ratio),
                (Ratio, Ratio, Ratio),
                (Int, Duration, Duration),
                (Duration, Int, Duration),
                (Ratio, Duration, Duration),
                (Duration, Ratio, Duration),
                (Int, Bytes, Bytes),
                (Bytes, Int, Bytes),
                (Ratio, Bytes, Bytes),
                (Bytes, Ratio, Bytes),
                (Int, PerSecond, PerSecond),
                (PerSecond, Int, PerSecond),
                (Ratio, PerSecond, PerSecond),
                (PerSecond, Ratio, PerSecond),
                (Int, BytesPerSecond, BytesPerSecond),
                (BytesPerSecond, Int, BytesPerSecond),
                (Ratio, BytesPerSecond, BytesPerSecond),
                (BytesPerSecond, Ratio, BytesPerSecond),
                (PerSecond, Duration, Ratio),
                (Duration, PerSecond, Ratio),
                (BytesPerSecond, Duration, Bytes),
                (Duration, BytesPerSecond, Bytes),
            ],
        ),
        (
            Div,
            &[
                (Int, Int, Ratio),
                (Ratio, Ratio, Ratio),
                (Duration, Duration, Ratio),
                (Bytes, Bytes, Ratio),
                (PerSecond, PerSecond, Ratio),
                (BytesPerSecond, BytesPerSecond, Ratio),
                (Int, Ratio, Ratio),
                (Ratio, Int, Ratio),
                (Duration, Int, Duration),
                (Duration, Ratio, Duration),
                (Bytes, Int, Bytes),
                (Bytes, Ratio, Bytes),
                (PerSecond, Int, PerSecond),
                (PerSecond, Ratio, PerSecond),
                (BytesPerSecond, Int, BytesPerSecond),
                (BytesPerSecond, Ratio, BytesPerSecond),
                (Bytes, Duration, BytesPerSecond),
                (Int, Duration, PerSecond),
                (Ratio, Duration, PerSecond),
                (Bytes, BytesPerSecond, Duration),
                (Int, PerSecond, Duration),
                (Ratio, PerSecond, Duration),
            ],
        ),
        (
            Rem,
            &[
                (Int, Int, Int),
                (Duration, Duration, Duration),
                (Bytes, Bytes, Bytes),
                (Duration, Int, Duration),
                (Bytes, Int, Bytes),
            ],
        ),
    ];
    for (op, list) in listed {
        for a in &quantities {
            for b in &quantities {
                let expected = list.iter().find(|(x, y, _)| (x, y) == (a, b)).map(|(_, _, t)| t.clone());
                assert_eq!(arithmetic(*op, a, b), expected, "{a} {} {b}", op.symbol());
                if *op == Add {
                    assert_eq!(arithmetic(Sub, a, b), expected, "{a} - {b}");
                }
            }
        }
    }
}

#[test]
fn only_quantities_are_computed_with() {
    for op in [Add, Sub, Mul, Div, Rem] {
        for other in [Bool, Type::Str(8), Type::Enum("e".into()), Type::Address, Type::Ptr("s".into())] {
            for quantity in [Int, Ratio, Duration, Absent] {
                assert_eq!(arithmetic(op, &other, &quantity), None, "{other} {} {quantity}", op.symbol());
                assert_eq!(arithmetic(op, &quantity, &other), None, "{quantity} {} {other}", op.symbol());
            }
        }
        assert_eq!(arithmetic(op, &Duration, &Absent), Some(Duration));
        assert_eq!(arithmetic(op, &Absent, &Absent), Some(Absent));
    }
}

/// The condition that a clause on `llama_ubatch` comes to.
fn condition(text: &str) -> String {
    let outcome = common::compile(&format!("on llama_ubatch where ({text}) < count() >"));
    let plan = match &outcome.result {
        Ok(compiled) => print::plan_within(&compiled.plan, usize::MAX),
        Err(_) => return outcome.codes().join(" "),
    };
    let lines: Vec<&str> = plan
        .lines()
        .skip_while(|l| !l.starts_with("table"))
        .filter_map(|l| l.strip_prefix("  at end").or(l.strip_prefix("  at start")).or(l.strip_prefix("  user space")))
        .map(str::trim)
        .collect();
    lines.join(" and ")
}

#[test]
fn constants_are_folded_with_their_units() {
    for (text, expected) in [
        ("dur > 1ms * 1.5", "dur > 1500us"),
        ("dur > 1.5 * 3ms / 2", "dur > 2250us"),
        ("dur > 10ms - 1us", "dur > 9999us"),
        ("dur > 1s / 3", "dur > 333333333ns"),
        ("dur > -5us", "dur > -5us"),
        ("dur > - -5us", "dur > 5us"),
        ("dur > 3 / 50hz", "dur > 60ms"),
        ("n_tokens > 7 % 4", "u.n_tokens > 3"),
        ("n_tokens > 2 * 3 + 1", "u.n_tokens > 7"),
        ("n_tokens > 9223372036854775807 + 1", "PI0315"),
        ("n_tokens > -9223372036854775807 - 1", "PI0315"),
        ("n_tokens > 9223372036854775807 * 2", "PI0315"),
        ("dur > 9223372036854775807ns * 1.5", "PI0315"),
        ("n_tokens > 1 % 0", "PI0315"),
        ("dur > 1ms / 0", "PI0315"),
        ("dur > 1ms / 0.0", "PI0315"),
        ("dur > 1ms + 1", "PI0302"),
        ("dur > 1ms * 1ms", "PI0302"),
        ("dur > 4KiB", "PI0301"),
    ] {
        assert_eq!(condition(text), expected, "{text}");
    }
}

#[test]
fn values_of_if_and_first_have_one_type() {
    for (text, expected) in [
        ("if(phase = decode, dur, 5ms) > 1ms", "if((phase = decode), dur, 5ms) > 1ms"),
        ("if(phase = decode, dur, absent) > 1ms", "if((phase = decode), dur, absent) > 1ms"),
        ("if(phase = decode, dur, 5) > 1ms", "PI0301"),
        ("if(phase = decode, phase, dur) = decode", "PI0301"),
        ("if(dur > 1ms, decode, phase) = decode", "if(dur > 1ms, decode, phase) = decode"),
        ("if(dur, 1, 2) = 1", "PI0313"),
        ("first(interval, dur) > 1ms", "first(interval, dur) > 1ms"),
        ("first(interval, 5) > 1ms", "PI0301"),
        ("first(comm, \"none\") = \"llama*\"", "first(comm, \"none\") = llama*"),
        ("match(phase, \"dec*\", 1, 2) = 1", "match(phase, \"dec*\", 1, \"*\", 2) = 1"),
        ("match(phase, \"dec*\", 1, \"x\") = 1", "PI0301"),
        (
            "match(phase, \"dec*\")",
            "if(kind = 1, encode, if(u.n_tokens = u.n_seqs_unq, decode, if((parts_sum(u.output[part]) = u.n_tokens) and (u.pos[+0] > 0), verify, if(lone_parts() > 0, mixed, prefill)))) = dec*",
        ),
        ("match(dur, \"dec*\")", "PI0306"),
    ] {
        assert_eq!(condition(text), expected, "{text}");
    }
}
