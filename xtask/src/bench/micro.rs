//! What one hit costs: by what is done at it, by what kind of instruction is probed, and by who does it.

use std::path::Path;
use std::time::Duration;

use profinfer::diff::median;
use profinfer::kernel::Stats;

use super::bootstrap::{Estimate, bootstrap};
use super::data::Micro;
use super::failure::Failure;
use super::floor::{Floor, Sight, Source};
use super::target::{Bursts, Function, Probed};
use super::tool::Running;

/// Calls of a burst before those that count: what is allocated at a first hit is.
const WARM: Bursts = Bursts { bursts: 1, calls: 500 };
/// Numbers that keys run through.
const KEYS: u64 = 10;

/// What is attached to a function of the probed program.
enum What {
    /// A script. Those that say how memory is laid out have to be trusted.
    Profinfer(String),
    /// A program of bpftrace; `FILE` stands for the probed one.
    Bpftrace(String),
    /// Empty programs where profinfer has its own for a script.
    Empty(&'static str),
}

/// A row of the table.
struct Case {
    function: Function,
    what: &'static str,
    attach: What,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |function, what, attach| cases.push(Case { function, what, attach });
    for (function, empty) in [
        (Function::Push, r#"on enter("exe:probe_push") < count() >"#),
        (Function::Nop, r#"on enter("exe:probe_nop") < count() >"#),
        (Function::Cet, r#"on enter("exe:probe_cet") < count() >"#),
        (Function::Endbr64, r#"on enter("exe:probe_endbr64") < count() >"#),
    ] {
        let symbol = function.symbol();
        add(function, "nothing", What::Empty(empty));
        add(function, "enter: count", What::Profinfer(empty.to_owned()));
        add(function, "enter: count", What::Bpftrace(format!("uprobe:FILE:{symbol} {{ @ = count(); }}")));
    }
    let push = Function::Push;
    let profinfer = |text: &str| What::Profinfer(text.to_owned());
    let bpftrace = |text: &str| What::Bpftrace(text.to_owned());
    add(push, "enter: count by key", profinfer(r#"on enter("exe:probe_push") < count() by arg0 >"#));
    add(push, "enter: count by key", bpftrace("uprobe:FILE:probe_push { @[arg0] = count(); }"));
    add(push, "enter: print", profinfer(r#"on enter("exe:probe_push") < print("{arg0}") >"#));
    add(push, "enter: print", bpftrace(r#"uprobe:FILE:probe_push { printf("%d\n", arg0); }"#));
    add(push, "span: nothing", What::Empty(r#"on span("exe:probe_push") < count() >"#));
    add(push, "span: histogram", profinfer(r#"on span("exe:probe_push") < hist(dur) >"#));
    add(
        push,
        "span: histogram",
        bpftrace(
            "uprobe:FILE:probe_push { @at[tid] = nsecs; } uretprobe:FILE:probe_push /@at[tid]/ { @ = hist(nsecs - @at[tid]); \
             delete(@at[tid]); }",
        ),
    );
    add(
        push,
        "sequence: count, sum",
        profinfer(
            r#"struct params { ith: i32 @ 0 pool: ptr @ 8 }
            point step_of : sequence { start "probe_push" (key: u64, p: ptr(params)) state by (p.pool, p.ith) }
            on step_of < count(), sum(dur) >"#,
        ),
    );
    add(
        push,
        "sequence: count, sum",
        bpftrace(
            "uprobe:FILE:probe_push { if (@at[tid]) { @n = count(); @sum = sum(nsecs - @at[tid]); } @at[tid] = nsecs; }",
        ),
    );
    add(
        push,
        "rows: 16 elements, count by value",
        profinfer(
            r#"struct matrix { rows: i64 @ 0 columns: i64 @ 8 data: ptr @ 16 }
            point cells : rows {
              start "probe_push" (key: u64, p: ptr, m: ptr(matrix))
              each (r < m.rows, c < m.columns)
              let v = i32_at(m.data, r * 16 + c * 4)
            }
            on cells < count() by v >"#,
        ),
    );
    cases
}

/// ns a call of a burst, the bare call taken off.
pub(super) fn above(bare: f64, times: &[f64]) -> Estimate {
    bootstrap(&times.iter().map(|ns| vec![ns - bare]).collect::<Vec<_>>())
}

/// Measures all of them.
pub(super) fn measure(
    probed: &mut Probed,
    binary: &Path,
    folder: &Path,
    bursts: Bursts,
    mut told: impl FnMut(&Micro),
) -> Result<Vec<Micro>, Failure> {
    let (pid, shown) = (probed.pid(), folder.join("shown"));
    let sight = Sight::of(pid)?;
    let mut all = Vec::new();
    for case in cases() {
        let bare = median(&probed.burst(case.function, KEYS, bursts)?);
        let mut program_ns = None;
        let (tool, times) = match case.attach {
            What::Empty(script) => {
                let floor = Floor::attach(&sight.places(Source::Text(script))?, pid)?;
                probed.burst(case.function, KEYS, WARM)?;
                let times = probed.burst(case.function, KEYS, bursts)?;
                floor.detach();
                ("empty", times)
            }
            What::Profinfer(ref script) => {
                let arguments = ["--unsafe", "--format", "json", "-e", script].map(str::to_owned);
                let running = Running::profinfer(binary, &arguments, pid, &shown)?;
                let times = timed(probed, running, case.function, bursts, &mut program_ns)?;
                ("profinfer", times)
            }
            What::Bpftrace(ref program) => {
                let program = program.replace("FILE", &probed.path.display().to_string());
                let running = Running::bpftrace(&program, pid, &shown)?;
                let times = timed(probed, running, case.function, bursts, &mut program_ns)?;
                ("bpftrace", times)
            }
        };
        let micro = Micro {
            site: case.function.beginning().to_owned(),
            tool: tool.to_owned(),
            what: case.what.to_owned(),
            ns: above(bare, &times),
            program_ns,
        };
        told(&micro);
        all.push(micro);
    }
    let sampled = sample(probed, binary, &shown)?;
    told(&sampled);
    all.push(sampled);
    Ok(all)
}

fn timed(
    probed: &mut Probed,
    running: Running,
    function: Function,
    bursts: Bursts,
    program_ns: &mut Option<f64>,
) -> Result<Vec<f64>, Failure> {
    probed.burst(function, KEYS, WARM)?;
    let times = probed.burst(function, KEYS, bursts)?;
    {
        let _counting = Stats::enable()?;
        let before = running.ran();
        let counted = Bursts { bursts: 1, calls: bursts.calls };
        probed.burst(function, KEYS, counted)?;
        let after = running.ran();
        *program_ns = Some(after.1.saturating_sub(before.1) as f64 / counted.calls as f64);
    }
    running.end()?;
    Ok(times)
}

/// A sample is no hit of a function: only its program's own time is to be had.
fn sample(probed: &mut Probed, binary: &Path, shown: &Path) -> Result<Micro, Failure> {
    let arguments = ["--format", "json", "-e", "on profile(999hz) < count() by stack(user) >"].map(str::to_owned);
    let running = Running::profinfer(binary, &arguments, probed.pid(), shown)?;
    let _counting = Stats::enable()?;
    let before = running.ran();
    // It is on its CPU all that time.
    probed.pace(1000, 500)?;
    std::thread::sleep(Duration::from_millis(10));
    let after = running.ran();
    running.end()?;
    let ns = after.1.saturating_sub(before.1) as f64 / after.0.saturating_sub(before.0).max(1) as f64;
    Ok(Micro {
        site: "clock".to_owned(),
        tool: "profinfer".to_owned(),
        what: "sample: count by stack, all CPUs".to_owned(),
        ns: Estimate { median: ns, low: ns, high: ns },
        program_ns: Some(ns),
    })
}
