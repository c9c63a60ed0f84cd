//! Differences of recordings that are made by hand.

use std::path::Path;

use super::*;
use crate::record::{Record, Table};
use crate::replay::tests::{Is, Made, START, recorded_bytes};

const SCRIPT: &str = "on llama_ubatch < print(\"{time} {pos} {n_tokens}\") >
                      on ggml_op < print(\"{op} {name} {layer} {llama_ubatch.time}\") >";
const MS: u64 = 1_000_000;
const US: f64 = 1000.0;

/// Writes a recording of so many steps, 10 ms each. In each two operators: `product` with its time in µs, and an addition of 100 µs.
fn file(folder: &Path, name: &str, script: &str, steps: u64, product: (&'static str, f64)) -> PathBuf {
    let mut events: Vec<Made<'_>> = Vec::new();
    for i in 0..steps {
        // They come 3 % apart, in an order that has nothing to do with the other recording.
        let noise = 1.0 + 0.01 * ((i * 7 + name.len() as u64) % 4) as f64;
        let (at, number) = (10 * i + 1, |n: f64| Is::Number(n as i64));
        let begun = || Is::Number((START + at * MS) as i64);
        let op = |word, us: f64, layer| {
            let fields = vec![
                ("op", Is::Word(word)),
                ("dur", number(us * US * noise)),
                ("llama_ubatch.time", begun()),
                ("name", Is::Text(layer)),
            ];
            ("ggml_op", at + 2, fields)
        };
        events.push(op(product.0, product.1, "ffn_out-0"));
        events.push(op("ADD", 100.0, "l_out-1"));
        let fields = vec![
            ("dur", number((product.1 + 150.0) * US * noise)),
            ("time", begun()),
            ("pos", Is::Number(i as i64)),
            ("n_tokens", Is::Number(1)),
        ];
        events.push(("llama_ubatch", at + 5, fields));
    }
    let path = folder.join(name);
    std::fs::write(&path, recorded_bytes(script, &events, 10 * steps + 10)).unwrap();
    path
}

fn options() -> Options {
    Options { by: Vec::new(), least: 0.03 }
}

fn tables(diff: &Diff) -> Vec<Table> {
    let records = report(diff, 20).records;
    records.into_iter().filter_map(|r| if let Record::Table(t) = r { Some(t) } else { None }).collect()
}

/// Key, verdict, time before and after of each row.
fn rows(table: &Table) -> Vec<String> {
    let text = |v: &Value| crate::view::shown(v, crate::record::Quantity::Duration);
    let of = |r: &crate::record::Row| [&r.keys[0], &r.cells[5], &r.cells[0], &r.cells[1]].map(text).join(" ");
    table.rows.iter().map(of).collect()
}

#[test]
fn one_operator_that_takes_another_time_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let before = file(folder.path(), "before", SCRIPT, 60, ("MUL_MAT", 800.0));
    let after = file(folder.path(), "after.", SCRIPT, 60, ("MUL_MAT", 880.0));
    let found = diff(&[[before, after]], &options()).unwrap();
    assert_eq!((&found.shape[..], report(&found, 9).has_changes), (&[][..], true));
    let tables = tables(&found);
    let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["verdict", "steps", "all steps: op", "all steps: part", "all steps: layer"]);
    // The median of 0, 1, 2 and 3 % above.
    assert_eq!(rows(&tables[2]), ["MUL_MAT slower 812 µs 893 µs", "ADD no difference 102 µs 102 µs"]);
    assert_eq!(rows(&tables[4]), ["0 ns slower 812 µs 893 µs", "1 ns no difference 102 µs 102 µs"]);
    let Value::Text(said) = &tables[0].rows[0].cells[0] else { panic!("no words") };
    assert!(said.starts_with("slower by 8.4") && said.contains("By itself: MUL_MAT slower by 10.0 %"), "{said}");
}

#[test]
fn the_same_is_no_difference_and_gives_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    let before = file(folder.path(), "before", SCRIPT, 60, ("MUL_MAT", 800.0));
    let after = file(folder.path(), "after", SCRIPT, 60, ("MUL_MAT", 800.0));
    let found = diff(&[[before.clone(), after.clone()]], &options()).unwrap();
    assert!(!report(&found, 9).has_changes);
    assert!(tables(&found)[1..].iter().flat_map(rows).all(|row| row.contains("no difference")));
    let again = diff(&[[before, after]], &options()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{again:?}"));
}

#[test]
fn what_only_one_side_has_is_said_first() {
    let folder = tempfile::tempdir().unwrap();
    let before = file(folder.path(), "before", SCRIPT, 60, ("MUL_MAT", 800.0));
    let after = file(folder.path(), "after", SCRIPT, 60, ("MUL_MAT_ID", 800.0));
    let found = diff(&[[before, after]], &options()).unwrap();
    let of = |what: &str| found.shape.iter().find(|d| d.what == what).map(|d| (d.before.clone(), d.after.clone()));
    assert_eq!(of("MUL_MAT ffn"), Some((Some("1".into()), None)));
    assert_eq!(of("MUL_MAT_ID ffn"), Some((None, Some("1".into()))));
    let verdicts = rows(&tables(&found)[3]);
    assert!(verdicts.iter().any(|r| r.starts_with("MUL_MAT only before")), "{verdicts:?}");
    assert!(verdicts.iter().any(|r| r.starts_with("MUL_MAT_ID only after")), "{verdicts:?}");
}

#[test]
fn keys_are_those_of_the_language() {
    let folder = tempfile::tempdir().unwrap();
    let before = file(folder.path(), "before", SCRIPT, 60, ("MUL_MAT", 800.0));
    let after = file(folder.path(), "after", SCRIPT, 60, ("MUL_MAT", 800.0));
    let by = |keys: &str| diff(&[[before.clone(), after.clone()]], &Options { by: vec![keys.into()], ..options() });
    let found = by("layer, kind = if(op = ADD, 1, 2)").unwrap();
    assert_eq!(tables(&found)[2].name, "all steps: layer, kind");
    let wrong = by("leyer").unwrap_err().to_string();
    assert!(wrong.starts_with("these are no keys of operators: leyer\n") && wrong.contains("layer"), "{wrong}");
    let lacks = by("op, nth").unwrap_err().to_string();
    assert!(lacks.contains("before cannot be compared by op, nth: the recording lacks `nth` of ggml_op"), "{lacks}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good", SCRIPT, 40, ("MUL_MAT", 800.0));
    let said = |other: PathBuf| diff(&[[good.clone(), other]], &options()).unwrap_err().to_string();
    let empty = file(folder.path(), "empty", SCRIPT, 0, ("MUL_MAT", 800.0));
    assert!(said(empty).contains("empty has no whole step"));
    let script = "on ggml_op < print(\"{op}\") >";
    let path = folder.path().join("none");
    std::fs::write(&path, recorded_bytes(script, &[("ggml_op", 1, vec![])], 9)).unwrap();
    let none = said(path);
    assert!(
        none.contains("none cannot be compared: it does not say which step") && none.contains("compare.pi"),
        "{none}"
    );
    let text = folder.path().join("text");
    std::fs::write(&text, "no recording at all").unwrap();
    assert!(said(text).ends_with("it is no recording of profinfer"));
    assert!(said("-".into()).starts_with("a recording is read twice"));
}

#[test]
fn a_recording_that_was_cut_off_is_compared_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good", SCRIPT, 40, ("MUL_MAT", 800.0));
    let cut = folder.path().join("cut");
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 30]).unwrap();
    let found = diff(&[[good, cut]], &options()).unwrap();
    assert!(found.warnings.iter().any(|w| w.contains("cut: it ")), "{:?}", found.warnings);
}
