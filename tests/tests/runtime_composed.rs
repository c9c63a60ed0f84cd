//! Columns that are composed of others by functions, conditions and texts: each against the same made of the table's plain
//! columns.

use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, binary, number, text, whole};
use serde_json::Value;

fn composed_columns_are_what_their_parts_say(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        param most: int = 60
        fn each(x, n) = x / n
        on ggml_op < n = count(), time = sum(dur), _hidden = max(dur), each = each(time, n),
                     size = if(n > $most, \"many\", \"few\"), big = if(_hidden >= 1ns and not (n < 10), n, absent),
                     low = min(n, 100), high = max(n, 100), rather = first(avg(llama_ubatch.n_tokens - llama_ubatch.n_tokens), n),
                     words = concat(n, \" times \", sum(bytes))
                     by op = concat(op) into ops >
        on llama_ubatch < steps = count() by op = concat(\"none\") into ops >
        end < show ops sort _hidden >
    ";
    let report = lab.trace(&mut engine, script, 4);
    let table = report.table("ops");
    assert_eq!(table.rows.len(), 9, "{table:?}");
    for row in table.rows.iter().filter(|row| row["op"] != "none") {
        let n = whole(row, "n");
        assert!(row.get("_hidden").is_none(), "{row}");
        assert!((number(row, "each") - number(row, "time") / n as f64).abs() < 1e-6, "{row}");
        assert_eq!(text(row, "size"), if n > 60 { "many" } else { "few" });
        assert_eq!(row["big"], if n >= 10 { Value::from(n) } else { Value::Null });
        assert_eq!((whole(row, "low"), whole(row, "high")), (n.min(100), n.max(100)));
        assert_eq!(number(row, "rather"), 0.0);
        assert!(text(row, "words").starts_with(&format!("{n} times ")) || n > 999, "{row}");
    }
    // Of a row that this group does not have, nothing is known; a condition on it does not hold.
    let none = table.row("op", "none");
    assert_eq!((&none["steps"], &none["each"], &none["words"]), (&4.into(), &Value::Null, &Value::Null));
    assert_eq!(text(none, "size"), "few");
}

/// What is measured once is what scripts ask for.
#[test]
fn engine_xllamacpp_ceilings_are_measured_and_asked_for() {
    let lab = Lab::new();
    let cache = lab.folder().join("cache");
    let doctor = |arguments: &[&str]| {
        let output = Command::new(binary()).arg("doctor").args(arguments).env("XDG_CACHE_HOME", &cache).output();
        output.or_fail("doctor")
    };
    let before: Value = serde_json::from_slice(&doctor(&["--json"]).stdout).or_fail("JSON");
    assert_eq!(before["ceilings"]["memory"], serde_json::json!([]));
    let measured = doctor(&["--ceilings"]);
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    let after: Value = serde_json::from_slice(&doctor(&["--json"]).stdout).or_fail("JSON");
    for what in ["memory", "f32", "int8"] {
        let all = after["ceilings"][what].as_array().cloned().unwrap_or_default();
        assert_eq!(all.first().map(|m| m["threads"].clone()), Some(1.into()), "{after}");
        assert!(all.iter().all(|m| number(m, "best") > 1e8 && number(m, "best") >= number(m, "median")), "{after}");
    }
    let mut engine = lab.engine(Kind::Xllamacpp);
    let script = "on llama_ubatch < n = count(), memory = ceiling(\"memory\", 1), int8 = ceiling(\"int8\", 1000) >";
    let trace = |engine: &mut profinfer_tests::engine::Engine, cache: &std::path::Path| {
        let words = ["-e", script, "--format", "json", "--pid"]
            .map(str::to_owned)
            .into_iter()
            .chain([engine.pid().to_string()]);
        let mut running = Profinfer::start_with(words, &[("XDG_CACHE_HOME", cache.as_os_str())]);
        running.wait_attached();
        engine.generate(2);
        running.interrupt().table("llama_ubatch").only().clone()
    };
    let row = trace(&mut engine, &cache);
    assert_eq!(number(&row, "memory"), number(&after["ceilings"]["memory"][0], "best"));
    let most = after["ceilings"]["int8"].as_array().and_then(|all| all.last().cloned()).or_fail("int8");
    assert_eq!(number(&row, "int8"), number(&most, "best"));
    // Where nothing was measured, and where it was on another machine, there is none.
    assert_eq!(trace(&mut engine, lab.folder())["memory"], Value::Null);
    let file = cache.join("profinfer/ceilings.json");
    let other = std::fs::read_to_string(&file).or_fail(file.display()).replace("processors", "wheels");
    std::fs::write(&file, other).or_fail(file.display());
    assert_eq!(trace(&mut engine, &cache)["memory"], Value::Null);
    std::fs::write(&file, "{").or_fail(file.display());
    assert_eq!(trace(&mut engine, &cache)["memory"], Value::Null);
}

on_each_engine! { composed_columns_are_what_their_parts_say }
