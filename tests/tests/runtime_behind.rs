//! `stop behind`: a function that goes on in another one is over where its caller goes on. A made-up program, so that it is
//! known what is called how often and how long it takes.

use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Profinfer, whole};
use profinfer_tests::program::{Program, compile};

/// A round submits to three backends: two that work for 2 ms, the second by way of `inner`, and one that is done at once.
/// `submit` is nothing but a jump.
const SOURCE: &str = r#"
    #include <stdio.h>
    #include <unistd.h>
    struct backend { long kind; int (*compute)(struct backend *, int); };
    __attribute__((noinline)) int inner(struct backend *b, int n) { usleep(2000); return n + (int)b->kind; }
    __attribute__((noinline)) int works(struct backend *b, int n) { usleep(2000); return n - (int)b->kind; }
    __attribute__((noinline)) int is_done(struct backend *b, int n) { return n; }
    __attribute__((noinline)) int submit(struct backend *b, int n) { return b->compute(b, n); }
    struct backend all[] = { { 1, works }, { 2, inner }, { 3, is_done } };
    volatile int sum;
    int main(void) {
        setvbuf(stdout, NULL, _IONBF, 0);
        puts("ready");
        long rounds;
        while (scanf("%ld", &rounds) == 1) {
            for (long i = 0; i < rounds; i++)
                for (int k = 0; k < 3; k++) sum += submit(&all[k], (int)i) * 3;
            puts("done");
        }
        return 0;
    }
"#;

const POINT: &str = "
    struct backend { kind: i64 @ 0 }
    point split : span {
      start \"submit\" (b: ptr(backend), n: i32)
      start \"inner\" (b: ptr(backend), n: i32)
      BEHIND
      let kind = b.kind
    }
    on split < n = count(), shortest = min(dur), longest = max(dur) by kind into splits >
";
const ROUNDS: u64 = 5;

#[track_caller]
fn report(lab: &Lab, behind: &str) -> profinfer_tests::profinfer::Output {
    let file = compile(lab.folder(), "submits", SOURCE, false, &[]);
    let mut program = Program::start(&file, &[]);
    let running = Profinfer::attach_with(program.pid(), &POINT.replace("BEHIND", behind), &["--unsafe"]);
    program.go(ROUNDS);
    let report = running.interrupt();
    report.succeeded();
    report
}

#[test]
fn an_event_lasts_until_the_caller_goes_on() {
    let lab = Lab::new();
    let report = report(&lab, "stop behind \"submit\"");
    let splits = report.table("splits");
    for kind in [1, 2, 3] {
        assert_eq!(whole(splits.row_of("kind", kind), "n"), ROUNDS, "{splits:?}");
    }
    for kind in [1, 2] {
        assert!(whole(splits.row_of("kind", kind), "shortest") >= 2_000_000, "{splits:?}");
    }
    assert!(whole(splits.row_of("kind", 3), "shortest") < 2_000_000, "{splits:?}");
    assert_eq!(report.hits("split"), 3 * ROUNDS);
}

/// What it is for: without, the event is over at the jump, and the other start is an event of its own.
#[test]
fn without_it_an_event_ends_at_the_jump() {
    let lab = Lab::new();
    let report = report(&lab, "");
    let splits = report.table("splits");
    assert!(whole(splits.row_of("kind", 1), "longest") < 2_000_000, "{splits:?}");
    assert_eq!(whole(splits.row_of("kind", 2), "n"), 2 * ROUNDS, "{splits:?}");
}
