//! A mixture of experts: every choice of every token is seen once, with the expert and the weight that lie in the engine's
//! memory.

use std::collections::{BTreeMap, BTreeSet};

use profinfer_tests::callback::{Callback, Routed};
use profinfer_tests::engine::{Engine, Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, Table, number, stock, text, whole};
use profinfer_tests::routing::{Choice, EXPERTS, Routing, USED};

/// All layers but the last, which computes only tokens that are output.
const WHOLE: u64 = 29;
/// As good as equal: profinfer keeps 32 bits behind the point.
const NEARLY: f64 = 1.0 / (1 << 20) as f64;

fn moe(lab: &Lab, kind: Kind) -> Engine {
    lab.engine_with(kind, &Options { model: Model::Moe, ..Options::default() })
}

/// Rows by layer, token and rank; that each is there once.
#[track_caller]
fn choices(table: &Table) -> BTreeMap<Choice, &serde_json::Value> {
    let choice = |r| (whole(r, "layer"), whole(r, "token"), whole(r, "rank"));
    let rows: BTreeMap<_, _> = table.rows.iter().map(|r| (choice(r), r)).collect();
    assert_eq!(rows.len(), table.rows.len(), "no choice is there twice");
    assert!(table.rows.iter().all(|r| whole(r, "n") == 1), "each is seen once");
    rows
}

/// Generates under both witnesses at once.
#[track_caller]
fn both(engine: &mut Engine, script: &str, tokens: u64) -> (Routing, Output) {
    let watch = Routing::watch(engine.pid());
    let running = Profinfer::attach(engine.pid(), script);
    engine.generate(tokens);
    let report = running.interrupt();
    report.succeeded();
    (Routing::of(&watch), report)
}

/// However a prompt is cut: two experts for each token in each layer, and the same ones but for near ties.
fn every_choice_is_counted_whatever_the_micro_batch(kind: Kind) {
    let lab = Lab::new();
    let script = "
        on moe_route < n = count() by layer into layers; n = count() by layer, expert into experts >
        on llama_ubatch < tokens = sum(n_tokens), outputs = sum(if(ends_in_output, 1, 0)) into ubatches >
    ";
    let mut first: Option<BTreeMap<(u64, u64), u64>> = None;
    for ubatch in [512, 64, 1] {
        let options = Options { model: Model::Moe, repeat_prompt: 26, ubatch, ..Options::default() };
        let mut engine = lab.engine_with(kind, &options);
        let watch = Routing::watch(engine.pid());
        let running = Profinfer::attach(engine.pid(), script);
        let prompt = engine.generate(1).prompt_tokens;
        let report = running.interrupt();
        report.succeeded();
        let routing = Routing::of(&watch);
        let ubatches = report.table("ubatches");
        assert!(prompt >= 256, "{prompt} tokens");
        assert_eq!(whole(ubatches.only(), "tokens"), prompt);
        assert_eq!(routing.ubatches.iter().sum::<u64>(), prompt);
        let outputs = whole(ubatches.only(), "outputs");
        assert!((1..=2).contains(&outputs), "{outputs} outputs of a prompt");
        let layers: BTreeMap<u64, u64> =
            report.table("layers").rows.iter().map(|r| (whole(r, "layer"), whole(r, "n"))).collect();
        let expected = (0..WHOLE).map(|layer| (layer, USED * prompt)).chain([(WHOLE, USED * outputs)]);
        assert_eq!(layers, expected.collect(), "choices by layer at micro-batches of {ubatch}");
        assert_eq!(layers, routing.by_layer, "those of the kernel");
        let rows = report.table("experts").rows;
        let experts: BTreeMap<_, _> =
            rows.iter().map(|r| ((whole(r, "layer"), whole(r, "expert")), whole(r, "n"))).collect();
        assert!(experts.keys().all(|(_, expert)| *expert < EXPERTS), "{experts:?}");
        assert_eq!(experts.values().sum::<u64>(), layers.values().sum::<u64>());
        let first = first.get_or_insert_with(|| experts.clone());
        let of = |all: &BTreeMap<(u64, u64), u64>, key| all.get(&key).copied().unwrap_or_default();
        let keys = (0..WHOLE).flat_map(|layer| (0..EXPERTS).map(move |expert| (layer, expert)));
        let moved: u64 = keys.map(|key| of(first, key).abs_diff(of(&experts, key))).sum();
        // One choice that moves is one less here and one more there.
        assert!(moved <= WHOLE * USED * prompt * 2 / 100, "{moved} choices moved at micro-batches of {ubatch}");
    }
}

/// The same choices as llama.cpp's own eval callback reads in the same process, by layer and expert.
fn choices_are_those_of_the_engines_own_callback(kind: Kind) {
    const TOKENS: u64 = 9;
    let lab = Lab::new();
    for (ubatch, prompt) in [(512, 256), (64, 256), (1, 24)] {
        let mut engine = Callback::start(lab.cache(), kind, ubatch, prompt);
        let script = "on moe_route < n = count() by layer, expert into experts >";
        let running = Profinfer::attach(engine.pid(), script);
        let routed = engine.go(TOKENS);
        let report = running.interrupt();
        report.succeeded();
        let tokens = prompt + TOKENS - 1;
        // The last layer computes only what is output: of a prompt its last token.
        assert_eq!(routed.values().sum::<u64>(), WHOLE * USED * tokens + USED * TOKENS, "by the callback");
        let rows = report.table("experts").rows;
        let seen: Routed = rows.iter().map(|r| ((whole(r, "layer"), whole(r, "expert")), whole(r, "n"))).collect();
        assert_eq!(seen, routed, "at micro-batches of {ubatch}");
    }
}

/// Each layer, token and rank has the expert that lies in the engine's memory, at all three moments.
fn experts_are_those_in_the_engines_memory(kind: Kind) {
    let lab = Lab::new();
    let mut engine = moe(&lab, kind);
    let script = "
        on moe_route < n = count() by layer, token, rank, expert into ids limit 4000 >
        on moe_route < n = count(), raw = min(weight_raw) by layer, token, rank, expert into raw limit 4000 >
        on moe_route < n = count(), weight = min(weight) by layer, token, rank, expert into weighted limit 4000 >
    ";
    let (routing, report) = both(&mut engine, script, 8);
    let expected: BTreeMap<Choice, String> = routing.experts.iter().map(|(c, e)| (*c, e.to_string())).collect();
    assert!(expected.len() as u64 >= 17 * USED * WHOLE, "{} choices", expected.len());
    for table in ["ids", "raw", "weighted"] {
        let table = report.table(table);
        let found: BTreeMap<Choice, String> =
            choices(&table).into_iter().map(|(c, r)| (c, text(r, "expert"))).collect();
        assert_eq!(found, expected);
    }
}

/// Weights are the floats in the engine's memory.
fn weights_are_those_in_the_engines_memory(kind: Kind) {
    let lab = Lab::new();
    let mut engine = moe(&lab, kind);
    let script = "
        on moe_route < n = count(), w = sum(weight) by layer, token, rank into applied limit 4000 >
        on moe_route(phase = decode) < n = count(), w = sum(weight_raw) by layer, token, rank into raw limit 4000 >
        on moe_route where (weight > 0.5) < n = count() into most >
        on moe_route where (not (weight <= 0.25)) < n = count() into more >
        on moe_route where (weight >= 1 or weight < 0) < n = count() into none >
        on moe_route < n = count(), w = avg(weight), low = min(weight), high = max(weight) into all >
    ";
    let (routing, report) = both(&mut engine, script, 8);
    for (name, expected) in [("applied", &routing.applied), ("raw", &routing.raw)] {
        let table = report.table(name);
        let found = choices(&table);
        assert!(found.keys().eq(expected.keys()) && expected.len() as u64 >= 7 * USED * WHOLE, "the same choices");
        for (choice, row) in found {
            let (found, expected) = (number(row, "w"), f64::from(expected[&choice]));
            assert!((found - expected).abs() < NEARLY, "{name} {choice:?}: {found}, in memory {expected}");
        }
    }
    let count = |keep: &dyn Fn(f32) -> bool| routing.applied.values().filter(|w| keep(**w)).count() as u64;
    let counted = |name: &str| report.tables(name).last().map_or(0, |t| t.total("n"));
    assert!(count(&|w| w > 0.5) > 0);
    assert_eq!(counted("most"), count(&|w| w > 0.5));
    assert_eq!(counted("more"), count(&|w| w > 0.25));
    assert_eq!(counted("none"), 0);
    // The weights of a token in a layer add up to one, and come in falling order.
    let pairs: Vec<(Choice, f32)> = routing.applied.iter().map(|(c, w)| (*c, *w)).collect();
    for pair in pairs.chunks(2) {
        assert!((pair[0].1 + pair[1].1 - 1.0).abs() < 1e-6 && pair[0].1 >= pair[1].1, "{pair:?}");
    }
    let table = report.table("all");
    let all = table.only();
    let tokens = whole(all, "n") as f64 / USED as f64;
    assert!((number(all, "w") * whole(all, "n") as f64 - tokens).abs() < 1e-6 * tokens, "{all}");
    let low = routing.applied.values().copied().fold(1.0, f32::min);
    let high = routing.applied.values().copied().fold(0.0, f32::max);
    assert!((number(all, "low") - f64::from(low)).abs() < NEARLY, "{all}");
    assert!((number(all, "high") - f64::from(high)).abs() < NEARLY, "{all}");
}

/// The hit rates of `experts.pi` are those that caches of each size would have had: simulated here, on the ids as the
/// kernel's own events tell them.
fn hit_rates_are_those_of_a_replay(kind: Kind) {
    let lab = Lab::new();
    let mut engine = moe(&lab, kind);
    let watch = Routing::watch(engine.pid());
    let script = stock("experts.pi");
    let pid = engine.pid().to_string();
    let running = Profinfer::start_attached([&*script.to_string_lossy(), "--pid", &pid, "--format", "json"]);
    engine.generate(24);
    let report = running.interrupt();
    report.succeeded();
    let routing = Routing::of(&watch);
    let mut streams: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    routing.experts.iter().for_each(|((layer, ..), expert)| streams.entry(*layer).or_default().push(*expert));
    assert_eq!(streams.len() as u64, WHOLE + 1);

    let table = report.table("layers");
    assert_eq!(table.rows.len(), streams.len());
    for (layer, ids) in &streams {
        let row = table.row_of("layer", *layer);
        let used = ids.iter().collect::<BTreeSet<_>>().len();
        assert_eq!((whole(row, "routed"), whole(row, "used")), (ids.len() as u64, used as u64), "{row}");
        assert_eq!(whole(row, "of"), EXPERTS);
        same_curve(&row["lru"], used, |size| lru_hits(ids, size), ids.len());
        same_curve(&row["pinned"], used, |size| pinned_hits(ids, size), ids.len());
    }
    let table = report.table("caches");
    let all = table.only();
    let routed: usize = streams.values().map(Vec::len).sum();
    assert_eq!(whole(all, "routed"), routed as u64);
    let most = streams.values().map(|ids| ids.iter().collect::<BTreeSet<_>>().len()).max().unwrap_or(0);
    same_curve(&all["lru"], most, |size| streams.values().map(|ids| lru_hits(ids, size)).sum(), routed);
    same_curve(&all["pinned"], most, |size| streams.values().map(|ids| pinned_hits(ids, size)).sum(), routed);
}

#[track_caller]
fn same_curve(found: &serde_json::Value, sizes: usize, hits: impl Fn(usize) -> usize, all: usize) {
    let found: Vec<f64> = found.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
    assert_eq!(found.len(), sizes, "{found:?}");
    for (size, found) in (1..).zip(&found) {
        let expected = hits(size) as f64 / all as f64;
        assert!((found - expected).abs() < 1e-9, "a cache of {size}: {found}, replayed {expected}");
    }
}

/// Hits of a cache of `size` entries that throws out the one whose last use is longest ago.
fn lru_hits(ids: &[u64], size: usize) -> usize {
    let mut last_use: BTreeMap<u64, usize> = BTreeMap::new();
    let mut hits = 0;
    for (now, id) in ids.iter().enumerate() {
        if last_use.insert(*id, now).is_some() {
            hits += 1;
        } else if last_use.len() > size {
            let oldest = last_use.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id);
            oldest.and_then(|id| last_use.remove(&id));
        }
    }
    hits
}

/// Hits of the best `size` entries that are never replaced.
fn pinned_hits(ids: &[u64], size: usize) -> usize {
    let mut counts: Vec<usize> = (0..EXPERTS).map(|e| ids.iter().filter(|id| **id == e).count()).collect();
    counts.sort_unstable();
    counts.iter().rev().take(size).sum()
}

/// Without experts there is nothing to see, which is said with the reason; nothing else changes.
fn a_dense_model_routes_nothing(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let before = engine.generate(6).text;
    let script =
        "on moe_route < n = count() by expert > on moe_route < w = avg(weight) into w > on ggml_op < n = count() >";
    let running = Profinfer::attach(engine.pid(), script);
    assert_eq!(engine.generate(6).text, before);
    let report = running.interrupt();
    report.succeeded();
    assert_eq!(report.table("ggml_op").total("n"), 6 * 515);
    assert_eq!(report.table("moe_route").rows.len(), 0);
    assert_eq!(report.hits("moe_route"), 0);
    for point in ["moe_route", "moe_route_weight"] {
        let reason = text(&report.end()["silent_reasons"], point);
        assert!(reason.contains("the model routes to no experts"), "{point}: {reason:?} in {}", report.end());
    }
}

/// Two processes at once, one of them dense.
fn processes_are_told_apart(kind: Kind) {
    let lab = Lab::new();
    let mut engines = [moe(&lab, kind), lab.engine(kind), moe(&lab, Kind::Xllamacpp)];
    let [a, b, c] = engines.each_ref().map(Engine::pid);
    let script = "
        on moe_route(layer = 3) < n = count(), w = avg(weight), first = min(token), last = max(token) by pid >
        on moe_route(layer = 3) < n = count() by pid, token into tokens >
    ";
    let pids = format!("{a},{b},{c}");
    let running = Profinfer::start_attached(["-e", script, "--pid", &pids, "--format", "json"]);
    let prompts = engines.each_mut().map(|engine| engine.generate(4).prompt_tokens);
    let report = running.interrupt();
    report.succeeded();
    let table = report.table("moe_route");
    assert_eq!(table.rows.len(), 2, "the dense one has no row: {table:?}");
    for (pid, prompt) in [(a, prompts[0]), (c, prompts[2])] {
        let row = table.row_of("pid", u64::from(pid));
        assert_eq!(whole(row, "n"), USED * (prompt + 3), "{row}");
        assert_eq!((whole(row, "first"), whole(row, "last")), (0, prompt + 2), "each numbers its own tokens: {row}");
        assert!((number(row, "w") - 0.5).abs() < 1e-6, "{row}");
    }
    assert!(report.table("tokens").rows.iter().all(|r| whole(r, "n") == USED), "{report:?}");
}

/// A table that is full says how much it could not take.
fn a_full_table_counts_the_choices_it_could_not_take(kind: Kind) {
    let lab = Lab::new();
    let mut engine = moe(&lab, kind);
    let script = "
        on moe_route < n = count() by layer, token, rank into t limit 100 >
        on moe_route < n = count() into all >
    ";
    let running = Profinfer::attach_with(engine.pid(), script, &["--strict"]);
    engine.generate(4);
    let report = running.interrupt();
    assert_eq!(report.code, Some(5), "exit code of a strict run with losses; it said:\n{}", report.stderr);
    let table = report.table("t");
    assert_eq!(table.rows.len(), 100);
    let lost: u64 = report.end()["dropped"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert_eq!(table.total("n") + lost, report.table("all").total("n"), "counted and lost: {}", report.end());
}

/// `show; clear` puts every choice into exactly one interval.
fn intervals_add_up(kind: Kind) {
    let lab = Lab::new();
    let mut engine = moe(&lab, kind);
    let script = "
        on moe_route < n = count(), w = sum(weight) by expert into cleared >
        on moe_route < n = count(), w = sum(weight) by expert into whole >
        every 50ms < show cleared; clear cleared >
        end < show cleared; show whole >
    ";
    let report = lab.trace(&mut engine, script, 24);
    let (whole, parts) = (report.table("whole"), report.tables("cleared"));
    assert!(parts.iter().filter(|t| !t.rows.is_empty()).count() > 2, "several intervals held events: {parts:?}");
    assert!(whole.total("n") >= WHOLE * USED * 24);
    assert_eq!(parts.iter().map(|t| t.total("n")).sum::<u64>(), whole.total("n"));
    let sum = |t: &Table| t.rows.iter().map(|r| number(r, "w")).sum::<f64>();
    assert!((parts.iter().map(sum).sum::<f64>() - sum(&whole)).abs() < 1e-6);
}

/// Where the last layer computes some of a micro-batch's tokens, which ones is not to be seen: they are counted, and
/// have no number.
fn a_token_that_cannot_be_told_is_absent() {
    let lab = Lab::new();
    let mut engine = moe(&lab, Kind::Node);
    let script = "
        on moe_route(layer = 28..29) < n = count(), w = sum(weight) by layer, token >
        on moe_route(layer = 29) < n = count() by row_in_batch into rows >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    let (outputs, prompt) = engine.outputs();
    let report = running.interrupt();
    report.succeeded();
    assert!((2..prompt).contains(&outputs), "{outputs} outputs of {prompt} tokens");
    let (absent, there): (Vec<_>, Vec<_>) =
        report.table("moe_route").rows.into_iter().partition(|r| r["token"].is_null());
    assert_eq!(absent.len(), 1, "{absent:?}");
    assert_eq!((whole(&absent[0], "layer"), whole(&absent[0], "n")), (WHOLE, USED * outputs), "{absent:?}");
    assert!((number(&absent[0], "w") - outputs as f64).abs() < 1e-5, "{absent:?}");
    assert!(there.iter().all(|r| whole(r, "layer") == WHOLE - 1 && whole(r, "n") == USED), "{there:?}");
    assert_eq!(there.len() as u64, prompt);
    let rows = report.table("rows").by("row_in_batch", "n");
    assert_eq!(rows, (0..outputs).map(|row| (row.to_string(), USED)).collect());
}

/// What only one engine can do; the inner module's name is what `--quick` leaves out.
mod alone {
    mod engine_node {
        #[test]
        fn a_token_that_cannot_be_told_is_absent() {
            super::super::a_token_that_cannot_be_told_is_absent();
        }
    }
}

on_each_engine! {
    every_choice_is_counted_whatever_the_micro_batch,
    choices_are_those_of_the_engines_own_callback,
    experts_are_those_in_the_engines_memory,
    weights_are_those_in_the_engines_memory,
    hit_rates_are_those_of_a_replay,
    a_dense_model_routes_nothing,
    processes_are_told_apart,
    a_full_table_counts_the_choices_it_could_not_take,
    intervals_add_up,
}
