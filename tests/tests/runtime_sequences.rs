//! Several sequences in one context, and drafts that a second model makes: each sequence of each micro-batch is one event,
//! with the tokens, positions and outputs that the engine has in memory according to the kernel's own uprobe events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Model, Options, Request};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, number, text, whole};
use profinfer_tests::tracefs::{Probe, Watch};

/// Tokens that the witness reads of a micro-batch.
const READ: usize = 40;

const SCRIPT: &str = "
    on llama_seq < n = count(), outputs = sum(n_outputs), gained = sum(gained), goes_on = sum(has(interval)),
                   waited = sum(interval)
      by context, step = llama_ubatch.step, seq, pos, n_tokens, phase into seqs limit 100000 >
    on llama_ubatch < n = count(), goes_on = sum(has(interval)), first = sum(has(ttft))
      by context, step, n_tokens, n_seqs, phase into ubatches limit 100000 >
    on llama_seq where (has(ttft)) < n = count(), ttft = max(ttft) by context, seq into first >
    on llama_seq(phase = decode | verify) < waited = sum(interval), gained = sum(gained) by context, seq into steps >
";

/// One sequence of a micro-batch: context, number of the micro-batch in it, sequence, first position, tokens, outputs.
type Part = (String, u64, u64, u64, u64, u64);

/// What the witness saw.
#[derive(Debug, Default)]
struct Seen {
    /// Each part, with its phase.
    parts: BTreeMap<Part, &'static str>,
    /// Micro-batches by phase, with more than one sequence and without.
    ubatches: BTreeMap<(&'static str, bool), u64>,
    /// Tokens that steps before gave, by context.
    gained: BTreeMap<String, u64>,
}

/// `process_ubatch`: of each token the first of its sequences, its position, and whether it is output.
fn probe(engine: &Engine) -> Probe {
    // Builds that have `llama_batch_ext` have one more pointer before these; see `ggml.pi`.
    let at = if profinfer_tests::tracefs::exports(engine.pid(), "_ZN13llama_context6decodeERK15llama_batch_ext") {
        8
    } else {
        0
    };
    let mut fetch = String::from("ctx=%di:x64 n=+4(%si):u32");
    for i in 0..READ {
        let (pos, seq, output) = (40 + at, 56 + at, 80 + at);
        let _ = write!(fetch, " s{i}=+0(+{}(+{seq}(%si))):s32 p{i}=+{}(+{pos}(%si)):s32", 8 * i, 4 * i);
        let _ = write!(fetch, " o{i}=+{i}(+{output}(%si)):s8");
    }
    Probe { symbol: "_ZN13llama_context14process_ubatch", fetch: fetch.leak(), filter: None }
}

fn seen(watch: &Watch) -> Seen {
    let mut seen = Seen::default();
    let mut steps: BTreeMap<String, u64> = BTreeMap::new();
    let mut before: BTreeMap<(String, u64), (u64, u64, bool)> = BTreeMap::new();
    for hit in watch.hits() {
        let read = |name: &str| {
            hit.fields.get(name).and_then(|v| v.parse::<u64>().ok()).or_fail(format_args!("{name} in {hit:?}"))
        };
        let (context, tokens) = (hit.fields["ctx"].clone(), read("n") as usize);
        assert!(tokens <= READ, "a micro-batch of {tokens} tokens");
        let step = steps.entry(context.clone()).or_default();
        *step += 1;
        let mut parts: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
        for i in 0..tokens {
            let part = parts.entry(read(&format!("s{i}"))).or_insert((read(&format!("p{i}")), 0, 0));
            part.1 += 1;
            part.2 += read(&format!("o{i}"));
        }
        let all_out = parts.values().map(|p| p.2).sum::<u64>() == tokens as u64;
        let phase = match parts.len() {
            n if n == tokens => "decode",
            _ if all_out && read("p0") > 0 => "verify",
            n if n > 1 && parts.values().any(|p| p.1 == 1) => "mixed",
            _ => "prefill",
        };
        *seen.ubatches.entry((phase, parts.len() > 1)).or_default() += 1;
        for (seq, (pos, n, outputs)) in parts {
            let phase = match (n, outputs) {
                (1, 1) => "decode",
                (n, outputs) if n == outputs && pos > 0 => "verify",
                _ => "prefill",
            };
            // Where this step goes on, the one before gave a token, or as many as its draft was kept of.
            if let Some((first, next, verify)) = before.get(&(context.clone(), seq)) {
                let gained = if *verify { pos as i64 - *first as i64 } else { 1 };
                if pos <= *next && pos > *first && (*verify || pos == *next) {
                    *seen.gained.entry(context.clone()).or_default() += gained as u64;
                }
            }
            before.insert((context.clone(), seq), (pos, pos + n, phase == "verify"));
            seen.parts.insert((context.clone(), *step, seq, pos, n, outputs), phase);
        }
    }
    seen
}

/// Runs the requests under profinfer and the witness at once.
fn run(engine: &mut Engine, tokens: &[u64]) -> (Output, Seen, Vec<Request>) {
    let watch = Watch::new(engine.pid(), &[probe(engine)]);
    let running = Profinfer::attach(engine.pid(), SCRIPT);
    let requests = engine.generate_many(tokens);
    let report = running.interrupt();
    report.succeeded();
    (report, seen(&watch), requests)
}

/// What profinfer says of each part is what the witness saw.
fn compare(report: &Output, seen: &Seen) {
    let mut parts = BTreeMap::new();
    let rows = report.table("seqs").rows;
    for row in &rows {
        assert_eq!(whole(row, "n"), 1, "{row}");
        let field = |name: &str| whole(row, name);
        let part =
            (text(row, "context"), field("step"), field("seq"), field("pos"), field("n_tokens"), field("outputs"));
        parts.insert(part, text(row, "phase"));
    }
    let expected: BTreeMap<Part, String> =
        seen.parts.iter().map(|(p, phase)| (p.clone(), (*phase).to_owned())).collect();
    assert_eq!(parts, expected);
    let mut ubatches: BTreeMap<(String, bool), u64> = BTreeMap::new();
    for row in &report.table("ubatches").rows {
        *ubatches.entry((text(row, "phase"), whole(row, "n_seqs") > 1)).or_default() += whole(row, "n");
        if whole(row, "n_seqs") > 1 {
            assert_eq!((whole(row, "goes_on"), whole(row, "first")), (0, 0), "of several sequences: {row}");
        }
    }
    let expected: BTreeMap<(String, bool), u64> =
        seen.ubatches.iter().map(|((phase, many), n)| (((*phase).to_owned(), *many), *n)).collect();
    assert_eq!(ubatches, expected);
    let mut gained: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row["gained"].is_null()) {
        *gained.entry(text(row, "context")).or_default() += whole(row, "gained");
    }
    gained.retain(|_, n| *n > 0);
    assert_eq!(gained, seen.gained, "tokens that steps gave");
}

/// Three requests of a server at the same time, each with its times.
fn requests_at_the_same_time_are_told_apart(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine_with(kind, &Options { parallel: 3, ..Options::default() });
    let tokens = [24, 14, 7];
    let (report, seen, requests) = run(&mut engine, &tokens);
    compare(&report, &seen);
    assert!(seen.ubatches.keys().any(|(_, many)| *many), "micro-batches of several sequences: {:?}", seen.ubatches);
    let seqs: BTreeSet<u64> = requests.iter().map(|r| r.seq).collect();
    assert_eq!(seqs.len(), 3, "{requests:?}");
    if kind == Kind::Xllamacpp {
        assert!(seen.ubatches.contains_key(&("mixed", true)), "{:?}", seen.ubatches);
    }
    let (first, steps) = (report.table("first"), report.table("steps"));
    for request in &requests {
        let ttft = whole(first.row_of("seq", request.seq), "ttft") as f64 / 1e6;
        let step = steps.row_of("seq", request.seq);
        let prompt: u64 = seen.parts.keys().filter(|p| p.2 == request.seq && p.5 <= 1).map(|p| p.4).sum();
        assert_eq!(prompt, request.prompt_tokens + request.tokens - 1, "tokens computed of {request:?}");
        assert_eq!(whole(step, "gained"), request.tokens - 1, "{step} {request:?}");
        // Of node the times are those of its event loop.
        if kind == Kind::Xllamacpp {
            let waited = number(step, "waited") / 1e6;
            assert!(ttft > 0.5 * request.prompt_ms && ttft < request.prompt_ms + 2.0, "{ttft} ms, {request:?}");
            assert!((waited - request.eval_ms).abs() < 0.05 * request.eval_ms + 5.0, "{waited} ms, {request:?}");
        }
    }
}

/// With a cache for each request, micro-batches hold as many tokens of each of their sequences.
#[test]
fn engine_xllamacpp_caches_apart_are_never_mixed() {
    let lab = Lab::new();
    let options = Options { parallel: 3, split_cache: true, ..Options::default() };
    let mut engine = lab.engine_with(Kind::Xllamacpp, &options);
    let (report, seen, requests) = run(&mut engine, &[20, 12, 6]);
    compare(&report, &seen);
    assert_eq!(requests.len(), 3);
    assert!(!seen.ubatches.contains_key(&("mixed", true)), "{:?}", seen.ubatches);
    assert!(seen.ubatches.contains_key(&("decode", true)), "{:?}", seen.ubatches);
}

/// A model drafts in a context of its own; the steps that check its drafts are told from prompts, and give several tokens.
fn drafts_are_checked_in_steps_of_their_own(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine_with(kind, &Options { draft: Some(Model::Moe), ..Options::default() });
    let tokens = 24;
    let (report, seen, requests) = run(&mut engine, &[tokens]);
    compare(&report, &seen);
    let contexts: BTreeSet<&String> = seen.parts.keys().map(|p| &p.0).collect();
    assert_eq!(contexts.len(), 2, "a context for each model");
    let verified: Vec<&Part> = seen.parts.iter().filter(|(_, phase)| **phase == "verify").map(|(p, _)| p).collect();
    let context = &verified.first().or_fail("a step that checks a draft").0;
    assert!(verified.iter().all(|p| p.0 == *context), "drafts are checked in one context: {verified:?}");
    assert!(requests[0].accepted > 0, "{requests:?}");
    let steps = report.table("steps");
    let step = steps.row("context", context);
    let checks = verified.len() as u64;
    if kind == Kind::Xllamacpp {
        assert_eq!(verified.iter().map(|p| p.4 - 1).sum::<u64>(), requests[0].drafted, "drafted tokens");
        // What the last step gave is not to be seen.
        let all = 1 + checks + requests[0].accepted;
        assert!((all - 5..=all).contains(&whole(step, "gained")), "{step} {requests:?}");
    }
    assert!(whole(step, "gained") > checks, "steps give more than a token each: {step}");
    // Checking a draft is no prompt.
    let prompts = report.table("first");
    let of_main: u64 = prompts.rows.iter().filter(|r| text(r, "context") == **context).map(|r| whole(r, "n")).sum();
    assert_eq!(of_main, 1, "{prompts:?}");
}

on_each_engine! {
    requests_at_the_same_time_are_told_apart,
    drafts_are_checked_in_steps_of_their_own,
}
