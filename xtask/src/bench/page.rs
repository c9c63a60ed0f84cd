//! `docs/performance.md`: tables and verdicts of numbers. What stands between marks in the page is written by hand, and kept.

use super::bootstrap::Estimate;
use super::data::{Micro, Results, Slowdown};
use super::figure::{Figure, Verdict, against, spread};

/// The engines and models, as results call them.
const COMBINATIONS: [(&str, &str); 4] = [("plain", "dense"), ("cet", "dense"), ("plain", "moe"), ("cet", "moe")];
/// What a script may cost a token.
const AIMS: [(&str, f64); 4] = [("ops.pi", 0.03), ("threads.pi", 0.06), ("tokens.pi", 0.001), ("graphs.pi", 0.001)];
/// How many times the floor a script may cost.
const FLOOR_AIM: f64 = 1.5;
/// Scripts whose floor is measured.
const FLOORS: [&str; 2] = ["ops.pi", "threads.pi"];
/// What an absent number is.
const NONE: &str = "–";

/// Begins a part that is written by hand.
fn begin(part: &str) -> String {
    format!("<!-- by hand: {part} -->")
}

/// Ends it.
const END: &str = "<!-- end -->";

/// A part that is written by hand, of the page as it was, with its marks.
fn by_hand(old: &str, part: &str) -> String {
    let begin = begin(part);
    let kept = old.split_once(&begin).and_then(|(_, rest)| rest.split_once(END)).map_or("\n", |(text, _)| text);
    format!("{begin}{kept}{END}\n")
}

/// The page, with what is written by hand taken from the page as it was.
pub(super) fn page(results: &Results, old: &str) -> String {
    let parts = [
        "# What it costs\n\nWritten by `cargo xtask bench`, but for the parts between marks; [how it is measured](#how-it-is-measured) \
         stands below. Brackets hold 95 % intervals."
            .to_owned(),
        by_hand(old, "summary"),
        aims(results),
        by_hand(old, "missed"),
        tokens(results),
        micro(results),
        by_hand(old, "hits"),
        scaled(results),
        stream(results),
        start(results),
        how(results),
        machine(results),
    ];
    let mut text =
        parts.iter().map(|part| part.trim_end()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    text
}

fn percent(value: f64) -> String {
    match value.abs() * 100.0 {
        p if !p.is_finite() => NONE.to_owned(),
        p if p < 0.1 => format!("{:.3} %", value * 100.0),
        p if p < 1.0 => format!("{:.2} %", value * 100.0),
        _ => format!("{:.1} %", value * 100.0),
    }
}

fn interval(e: Estimate, show: impl Fn(f64) -> String) -> String {
    // The unit stands once.
    let bare = |text: String| text.trim_end_matches(" %").to_owned();
    format!("{} ({} to {})", show(e.median), bare(show(e.low)), bare(show(e.high)))
}

fn figure(figure: Figure) -> String {
    match figure {
        Figure::Measured(e) => interval(e, percent),
        Figure::Unresolved(e) => {
            let bare = percent(e.low);
            format!("not told from nothing ({} to {})", bare.trim_end_matches(" %"), percent(e.high))
        }
        Figure::Computed(value) => format!("{}, computed", percent(value)),
    }
}

fn verdict(verdict: Verdict, show: impl Fn(f64) -> String) -> String {
    match verdict {
        Verdict::Met => "**met**".to_owned(),
        Verdict::Likely => "**met** by the median".to_owned(),
        Verdict::Missed(by) => format!("**missed** by {}", show(by)),
        Verdict::Open => "**open**: the interval allows both".to_owned(),
    }
}

/// A table of Markdown.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![line(&head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())];
    lines.push(line(&vec!["---".to_owned(); head.len()]));
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

fn aims(results: &Results) -> String {
    let mut rows = Vec::new();
    for (script, aim) in AIMS {
        let mut row = vec![format!("`{script}`"), format!("at most {}", percent(aim))];
        row.extend(COMBINATIONS.iter().map(|(engine, model)| match results.find(engine, model, script) {
            Some(s) => {
                let f = Figure::of(s, results);
                format!("{}<br>{}", figure(f), verdict(f.verdict(aim), percent))
            }
            None => NONE.to_owned(),
        }));
        rows.push(row);
    }
    let times = |value: f64| if value.is_finite() { format!("{value:.2}") } else { "∞".to_owned() };
    for script in FLOORS {
        let mut row = vec![format!("`{script}` over the floor"), format!("at most {FLOOR_AIM} times")];
        row.extend(COMBINATIONS.iter().map(|(engine, model)| {
            if results.find(engine, model, &format!("empty at {script}")).is_none() {
                return NONE.to_owned();
            }
            match results.over_floor(engine, model, script) {
                Some(e) => {
                    let said = verdict(against(e, FLOOR_AIM), times);
                    format!("{}<br>{said}", interval(e, times))
                }
                None => "not told from nothing".to_owned(),
            }
        }));
        rows.push(row);
        let mut row = vec![format!("`{script}` over the floor, computed"), format!("at most {FLOOR_AIM} times")];
        row.extend(COMBINATIONS.iter().map(|(engine, model)| {
            let computed = results.find(engine, model, script).and_then(|s| s.over_floor_computed(results));
            computed.map_or(NONE.to_owned(), |value| {
                let e = Estimate { median: value, low: value, high: value };
                format!("{value:.2}<br>{}", verdict(against(e, FLOOR_AIM), times))
            })
        }));
        rows.push(row);
    }
    format!(
        "## Aims\n\nHow much longer a token takes while a script is attached, by build of the engine and model; the floor is what \
         empty programs cost at the same instructions. Computed, it is made of hits, what a trap costs in bursts, and the kernel's own \
         time of the programs in the engine, where the caches are the engine's and counting takes some 20 ns a hit: rather too \
         much than too little.\n\n{}",
        table(&["", "aim", "plain, dense", "CET, dense", "plain, MoE", "CET, MoE"], &rows)
    )
}

fn tokens(results: &Results) -> String {
    if results.slowdown.is_empty() {
        return String::new();
    }
    let mut parts = vec![
        "## A token\n\n![How much longer a token takes](performance/slowdown.svg)\n\nWhere a tool costs less than 0.5 % of a token, \
         that is below what these blocks can resolve, so the number is **computed**: hits times what a hit costs (below), and the \
         kernel's own time of the programs, as if all were on one thread one after the other."
            .to_owned(),
    ];
    for (engine, model) in COMBINATIONS {
        let these: Vec<&Slowdown> =
            results.slowdown.iter().filter(|s| s.engine == engine && s.model == model).collect();
        let Some(first) = these.first() else { continue };
        let rows: Vec<Vec<String>> = these
            .iter()
            .map(|s| {
                let f = Figure::of(s, results);
                let us = |share: f64| format!("{:.0}", share * s.base_us());
                let (added, by_mean) = match f {
                    Figure::Measured(e) => (us(e.median), interval(s.relative_of_means(), percent)),
                    Figure::Unresolved(_) => (NONE.to_owned(), interval(s.relative_of_means(), percent)),
                    Figure::Computed(value) => (us(value), NONE.to_owned()),
                };
                vec![
                    tool(&s.tool),
                    figure(f),
                    added,
                    by_mean,
                    format!("{:.0}", s.hits),
                    if s.program_ns > 0.0 { format!("{:.0}", s.program_ns / 1e3) } else { NONE.to_owned() },
                    s.lost.to_string(),
                ]
            })
            .collect();
        let title = format!("{}, {}", build(engine), kind(model));
        let head = ["", "longer", "µs a token", "longer, by means", "hits a token", "programs, µs", "lost"];
        parts.push(format!(
            "**{title}**: a token takes {:.2} ms without anything ({} blocks of {} tokens, {} of each left out).\n\n{}",
            first.base_us() / 1e3,
            first.fours.len() * 4,
            first.tokens,
            first.dropped,
            table(&head, &rows)
        ));
    }
    parts.push(
        "`longer` is by the medians of blocks, `longer, by means` by their means, which a few slow tokens move. Hits and the time of \
         programs are of all threads together, as the kernel counts them. Empty programs are counted by the kernel, but their own time \
         is not shown: it is that of counting."
            .to_owned(),
    );
    parts.join("\n\n")
}

fn tool(name: &str) -> String {
    match name {
        name if name.ends_with(".pi") && !name.contains(' ') => format!("`{name}`"),
        "sum(dur) by op" => "`-e 'on ggml_op < sum(dur) by op >'`".to_owned(),
        name => match name.split_once(" at ") {
            Some((what, script)) => format!("{what} programs at the instructions of `{script}`"),
            None => name.replace("bpftrace", "bpftrace:"),
        },
    }
}

fn build(engine: &str) -> &str {
    if engine == "cet" { "CET build" } else { "Plain build" }
}

fn kind(model: &str) -> &str {
    if model == "moe" { "mixture of experts" } else { "dense model" }
}

fn micro(results: &Results) -> String {
    if results.micro.is_empty() {
        return String::new();
    }
    let mut done: Vec<(&str, &str)> = Vec::new();
    let mut rows = Vec::new();
    for m in &results.micro {
        let key = (m.site.as_str(), m.what.as_str());
        if done.contains(&key) || m.tool == "empty" {
            continue;
        }
        done.push(key);
        let of =
            |tool: &str| results.micro.iter().find(|o| o.tool == tool && (o.site.as_str(), o.what.as_str()) == key);
        let floor = results.micro.iter().find(|o| {
            let what = if m.what.starts_with("span") { "span: nothing" } else { "nothing" };
            o.tool == "empty" && o.site == m.site && o.what == what
        });
        let ns = |of: Option<&Micro>| of.map_or(NONE.to_owned(), |m| interval(m.ns, |ns| format!("{ns:.0}")));
        let program = of("profinfer").and_then(|m| m.program_ns).map_or(NONE.to_owned(), |ns| format!("{ns:.0}"));
        rows.push(vec![m.what.clone(), m.site.clone(), ns(floor), ns(of("profinfer")), program, ns(of("bpftrace"))]);
    }
    format!(
        "## A hit\n\n![What a hit costs](performance/hits.svg)\n\nNanoseconds of the calling thread's CPU time for each call of a \
         probed function, the call itself taken off; medians of bursts of 3,000 calls on one CPU. A `span` is probed at the entry and \
         at the return.\n\n{}",
        table(&["what is done", "begins with", "empty program", "profinfer", "its program alone", "bpftrace"], &rows)
    )
}

fn scaled(results: &Results) -> String {
    let mut parts = Vec::new();
    if !results.rows.is_empty() {
        let rows: Vec<Vec<String>> = results
            .rows
            .iter()
            .map(|s| vec![s.tool.clone(), s.size.to_string(), interval(s.ns, |ns| format!("{ns:.0}"))])
            .collect();
        parts.push(format!(
            "## Rows and functions\n\n![What a hit costs, by the number of rows](performance/rows.svg)\n\n`count() by arg0` at a `push`, \
             all rows being there already:\n\n{}",
            table(&["", "rows", "ns a hit"], &rows)
        ));
    }
    if !results.sites.is_empty() {
        let rows: Vec<Vec<String>> = results
            .sites
            .iter()
            .map(|s| {
                vec![
                    s.tool.clone(),
                    s.size.to_string(),
                    interval(s.ns, |ns| format!("{ns:.0}")),
                    format!("{:.0}", s.attach_ms),
                    format!("{:.0}", s.exit_ms),
                ]
            })
            .collect();
        parts.push(format!(
            "`count() by func` of functions that begin with `push`, called in turn:\n\n{}",
            table(&["", "functions", "ns a hit", "start, ms", "end, ms"], &rows)
        ));
    }
    parts.join("\n\n")
}

fn stream(results: &Results) -> String {
    if results.stream.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = results
        .stream
        .iter()
        .map(|s| {
            vec![
                s.tool.clone(),
                format!("{:.0}", s.rate),
                s.happened.to_string(),
                s.printed.to_string(),
                s.happened.saturating_sub(s.printed).to_string(),
                s.told_lost.to_string(),
            ]
        })
        .collect();
    let best = |tool: &str| {
        let whole = results.stream.iter().filter(|s| s.tool == tool && s.printed == s.happened);
        whole.map(|s| s.rate).max_by(f64::total_cmp)
    };
    let most: Vec<String> = ["profinfer", "bpftrace"]
        .iter()
        .filter(|tool| results.stream.iter().any(|s| s.tool == **tool))
        .map(|tool| match best(tool) {
            Some(rate) => format!("{tool} {:.0} thousand a second", rate / 1e3),
            None => format!("{tool} lost some at every rate"),
        })
        .collect();
    format!(
        "## Printing events\n\n![Events printed of those that happened](performance/stream.svg)\n\nOne record an event, written to a \
         file. The highest rate of those tried at which none was lost: {}. The last rates are as fast as the probed program \
         comes.\n\n{}",
        most.join(", "),
        table(&["", "events a second", "happened", "printed", "lost", "lost, as told"], &rows)
    )
}

fn start(results: &Results) -> String {
    let mut rows = Vec::new();
    for s in &results.slowdown {
        let of = |value: fn(&super::data::Attachment) -> f64| spread(s.attached.iter().map(value));
        let (Some(attach), Some(exit), Some(peak)) =
            (of(|a| a.attach_ms), of(|a| a.exit_ms), of(|a| a.peak_kib as f64 / 1024.0))
        else {
            continue;
        };
        let ms = |e| interval(e, |ms| format!("{ms:.0}"));
        rows.push(vec![
            tool(&s.tool),
            format!("{}, {}", build(&s.engine), kind(&s.model)),
            s.attached.len().to_string(),
            ms(attach),
            ms(exit),
            format!("{:.0}", peak.high),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "## Start, end and memory\n\nFrom the start of the process until all is attached, from Ctrl-C to its end, and the most memory \
         that the process had (VmHWM). Medians, and in brackets the least and the most. bpftrace does not say when it is \
         attached: it is taken to be when no more probes have come for 0.3 s, which are taken off.\n\n{}",
        table(&["", "on", "times", "start, ms", "end, ms", "memory, MiB"], &rows)
    )
}

fn how(results: &Results) -> String {
    let threads = if results.machine.date.is_empty() { 2 } else { results.machine.threads };
    let text = format!(
        "## How it is measured\n\n\
- **One generation, in blocks.** The engine keeps one generation open and computes it block by block, with {threads} threads, greedily. \
The tool is attached and taken off between blocks, in the order without, with, with, without; so what drifts as the context grows \
cancels out. The engine waits meanwhile, so no token is half with and half without; the first tokens of each block are left out, \
in which threads wake and profinfer's layout check runs.\n\
- **Who drives.** `llama-bench` times whole runs only and cannot wait between tokens. `tests/engines/generate.c` computes \
tokens one by one as `llama-bench -p 0` does, on the plain build, and prints the time of each by ggml's clock; \
`generate.mjs` does so for the CET build by its process's clock.\n\
- **Numbers.** Each block with the tool is compared with its neighbour without; the median over all such pairs is shown, with the \
95 % interval of a bootstrap that draws whole fours of blocks. The mixture of experts has half as many tokens in a block, which take \
about as long; bpftrace has half as many blocks, as it costs more and takes seconds to come and go.\n\
- **The floor** is an empty program (`r0 = 0; exit`) at exactly the instructions of the engine that profinfer probes for the script, \
in as many links. Points of the kernel (`off_cpu` of `threads.pi`) are not in it.\n\
- **bpftrace: operators** has the entry and the return of each function `ggml_compute_forward_*` that this model calls, and a \
histogram of the time between by function. It sees less than `ops.pi`: weights that are repacked for the processor bypass \
these functions. **bpftrace: barriers** has the entry and the return of `ggml_barrier`, and a histogram by thread.\n\
- **Hits** are counted by the kernel's statistics of programs, in a run of their own: counting itself takes time.\n\n\
```\n\
cargo xtask bench                    # everything; the machine has to be idle\n\
cargo xtask bench --only micro       # one measurement, put in the place of the old one; --list names them\n\
cargo xtask bench --blocks 80        # narrower intervals\n\
cargo xtask bench --quick            # whether it works; nothing is written to docs\n\
cargo xtask bench --render           # the page again, of results.json\n\
```"
    );
    if results.machine.date.is_empty() {
        return text;
    }
    format!(
        "{text}\n\nThe numbers of all blocks and hits: [results.json](performance/results.json), [blocks.csv](performance/blocks.csv), \
[attach.csv](performance/attach.csv), [hits.csv](performance/hits.csv), [rows.csv](performance/rows.csv), \
[sites.csv](performance/sites.csv), [stream.csv](performance/stream.csv)."
    )
}

fn machine(results: &Results) -> String {
    let m = &results.machine;
    if m.date.is_empty() {
        return "## Machine\n\nNothing has been measured yet.".to_owned();
    }
    let rows: Vec<Vec<String>> = [
        ("day", m.date.clone()),
        (
            "machine",
            format!("{} × {}{}", m.cpus, m.cpu, m.hypervisor.as_ref().map_or(String::new(), |h| format!(", {h}"))),
        ),
        ("kernel", m.kernel.clone()),
        ("profinfer", m.profinfer.clone()),
        ("bpftrace", m.bpftrace.clone()),
        ("plain build", m.plain.clone()),
        ("CET build", m.cet.clone()),
        ("models", m.models.clone()),
        ("the run", format!("{:.0} s; load before it {:.2}", m.seconds, m.load)),
        ("measured again since", if m.again.is_empty() { "nothing".to_owned() } else { m.again.join("; ") }),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value])
    .collect();
    format!("## Machine\n\n{}", table(&["", ""], &rows))
}

#[cfg(test)]
mod tests {
    use super::super::data::{Attachment, Four, Stream};
    use super::*;

    fn slowdown(tool: &str, with: f64) -> Slowdown {
        let four = |n: usize| {
            let drift = n as f64 * 10.0;
            let (without, with) = ([10_000.0 + drift; 2], [with + drift; 2]);
            Four { without, with, mean_without: without, mean_with: with }
        };
        Slowdown {
            engine: "plain".to_owned(),
            model: "dense".to_owned(),
            tool: tool.to_owned(),
            tokens: 64,
            dropped: 8,
            fours: (0..10).map(four).collect(),
            hits: 520.0,
            by_cost: vec![("push".to_owned(), 517.0)],
            program_ns: 60_000.0,
            attached: vec![Attachment { attach_ms: 60.0, exit_ms: 40.0, peak_kib: 20_480 }],
            lost: 0,
        }
    }

    fn sample() -> Results {
        let e = |ns| Estimate { median: ns, low: ns - 1.0, high: ns + 1.0 };
        let micro = |tool: &str, what: &str, ns| Micro {
            site: "push".to_owned(),
            tool: tool.to_owned(),
            what: what.to_owned(),
            ns: e(ns),
            program_ns: None,
        };
        let stream = |tool: &str, rate: f64, printed| Stream {
            tool: tool.to_owned(),
            rate,
            happened: 1000,
            printed,
            told_lost: 1000 - printed,
        };
        Results {
            slowdown: vec![
                slowdown("ops.pi", 10_250.0),
                slowdown("threads.pi", 10_800.0),
                slowdown("empty at ops.pi", 10_200.0),
            ],
            micro: vec![
                micro("empty", "nothing", 400.0),
                micro("profinfer", "enter: count", 440.0),
                micro("bpftrace", "enter: count", 450.0),
            ],
            stream: vec![stream("profinfer", 50_000.0, 1000), stream("profinfer", 100_000.0, 990)],
            ..Results::default()
        }
    }

    #[test]
    fn verdicts_stand_beside_the_aims() {
        let text = page(&sample(), "");
        let row = |begin: &str| text.lines().find(|l| l.starts_with(begin)).unwrap().to_owned();
        assert_eq!(
            row("| `ops.pi` | at most"),
            "| `ops.pi` | at most 3.0 % | 2.5 % (2.5 to 2.5)<br>**met** | – | – | – |"
        );
        let threads = row("| `threads.pi` | at most");
        assert!(threads.contains("8.0 % (7.9 to 8.0)<br>**missed** by 2.0 %"), "{threads}");
        let floor = row("| `ops.pi` over the floor");
        assert!(floor.contains("1.25 (1.25 to 1.25)<br>**met**"), "{floor}");
        assert!(row("| `tokens.pi` | at most").ends_with("| – | – | – | – |"), "what was not measured is not claimed");
    }

    #[test]
    fn the_rate_without_loss_is_the_highest_whole_one() {
        assert!(page(&sample(), "").contains("none was lost: profinfer 50 thousand a second."));
    }

    #[test]
    fn what_is_written_by_hand_stays() {
        let first = page(&sample(), "");
        let mark = "<!-- by hand: missed -->\n";
        assert!(first.contains(mark));
        let edited = first.replace(mark, "<!-- by hand: missed -->\nBecause of this.\n");
        let second = page(&sample(), &edited);
        assert_eq!(second, edited, "nothing else changes, and the text is kept");
    }
}
