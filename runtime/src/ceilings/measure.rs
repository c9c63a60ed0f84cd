//! Measures the ceilings: threads that do nothing but read memory, or nothing but multiply and add in registers.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::{Ceilings, Measured, machine};

/// Tries of each measurement.
const TRIES: usize = 7;
/// How long a try takes at least.
const TRY: Duration = Duration::from_millis(60);
/// Bytes that all threads read together: far more than caches hold.
const MEMORY: usize = 512 << 20;
/// Accumulators that are worked on side by side, so that none waits for the one before.
const SIDE_BY_SIDE: usize = 12;

/// The numbers of threads that are measured: 1, 2, 4 … and all processors.
fn numbers() -> Vec<u32> {
    let all = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let mut numbers: Vec<u32> =
        std::iter::successors(Some(1u32), |n| n.checked_mul(2)).take_while(|n| *n < all).collect();
    numbers.push(all);
    numbers
}

/// How many measurements there are.
#[must_use]
pub fn steps() -> usize {
    3 * numbers().len()
}

/// Measures everything; `progress` is told before each of [`steps`].
pub fn measure(mut progress: impl FnMut(usize)) -> Ceilings {
    let (mut ceilings, mut done) = (Ceilings { machine: machine(), ..Ceilings::default() }, 0);
    let kernels = Kernels::of_this_processor();
    kernels.name.clone_into(&mut ceilings.instructions);
    for threads in numbers() {
        for (what, into) in
            [(What::Memory, &mut ceilings.memory), (What::F32, &mut ceilings.f32), (What::Int8, &mut ceilings.int8)]
        {
            progress(done);
            done += 1;
            let mut tries: Vec<f64> = match what {
                What::Memory => read(threads, kernels.sum),
                What::F32 => compute(threads, kernels.f32),
                What::Int8 => compute(threads, kernels.int8),
            };
            tries.sort_by(f64::total_cmp);
            let (best, median) = (tries.last().copied().unwrap_or(0.0), tries[tries.len() / 2]);
            into.push(Measured { threads, best, median });
        }
    }
    progress(done);
    ceilings
}

enum What {
    Memory,
    F32,
    Int8,
}

/// Adds up words.
type Sum = fn(&[u64]) -> u64;
/// Does so many rounds; how many operations a round is.
type Compute = fn(u64) -> u64;

/// What this processor can run.
struct Kernels {
    name: &'static str,
    sum: Sum,
    f32: Compute,
    int8: Compute,
}

/// Has `threads` threads begin together, again and again; what they did a second, for each try.
fn together(threads: u32, work: impl Fn() -> u64 + Sync) -> Vec<f64> {
    let (begin, end) = (Barrier::new(threads as usize + 1), Barrier::new(threads as usize + 1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..TRIES {
                    begin.wait();
                    black_box(work());
                    end.wait();
                }
            });
        }
        let try_it = |_| {
            begin.wait();
            let start = Instant::now();
            end.wait();
            start.elapsed().as_secs_f64()
        };
        (0..TRIES).map(try_it).collect()
    })
}

fn read(threads: u32, sum: Sum) -> Vec<f64> {
    let words = MEMORY / 8 / threads as usize;
    // Written, so that every page is one of its own.
    let memory: Vec<Vec<u64>> = (0..threads).map(|i| (0..words).map(|w| w as u64 ^ u64::from(i)).collect()).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mine = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % threads as usize;
        sum(black_box(&memory[mine]))
    };
    let bytes = (words * 8 * threads as usize) as f64;
    together(threads, work).into_iter().map(|seconds| bytes / seconds).collect()
}

fn compute(threads: u32, kernel: Compute) -> Vec<f64> {
    // As many rounds as take long enough on one thread.
    let mut rounds = 1_000;
    loop {
        let start = Instant::now();
        black_box(kernel(rounds));
        if start.elapsed() >= TRY {
            break;
        }
        rounds *= 2;
    }
    let operations = kernel(0) as f64 * rounds as f64 * f64::from(threads);
    together(threads, || kernel(rounds)).into_iter().map(|seconds| operations / seconds).collect()
}

/// Adds up words in `N` lanes.
#[inline(always)]
fn sum_in<const N: usize>(words: &[u64]) -> u64 {
    let mut lanes = [0u64; N];
    for chunk in words.chunks_exact(N) {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*word);
        }
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}

fn sum_plain(words: &[u64]) -> u64 {
    sum_in::<16>(words)
}

/// Rounds of `a * x + y` on lanes of 32-bit floats, without instructions that do both at once.
fn f32_plain(rounds: u64) -> u64 {
    const LANES: usize = 4 * SIDE_BY_SIDE;
    let (mut y, x) = (black_box([1.0f32; LANES]), black_box(0.999_999f32));
    for _ in 0..rounds {
        for y in &mut y {
            *y = *y * x + 1e-6;
        }
    }
    black_box(y);
    2 * LANES as u64
}

/// Rounds of products of 8-bit numbers, added up in 32 bits.
fn int8_plain(rounds: u64) -> u64 {
    const LANES: usize = 64;
    let (mut sums, mut a, b) = (black_box([0i32; LANES]), black_box([3i8; LANES]), black_box([5i8; LANES]));
    for _ in 0..rounds {
        for ((sum, a), b) in sums.iter_mut().zip(&a).zip(&b) {
            *sum = sum.wrapping_add(i32::from(*a) * i32::from(*b));
        }
        a = black_box(a);
    }
    black_box(sums);
    2 * LANES as u64
}

#[cfg(not(target_arch = "x86_64"))]
impl Kernels {
    fn of_this_processor() -> Self {
        Self { name: "portable", sum: sum_plain, f32: f32_plain, int8: int8_plain }
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernels {
    fn of_this_processor() -> Self {
        let has = |all: &[bool]| all.iter().all(|has| *has);
        let avx2 = has(&[is_x86_feature_detected!("avx2"), is_x86_feature_detected!("fma")]);
        let avx512 = has(&[avx2, is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx512bw")]);
        let vnni = has(&[avx512, is_x86_feature_detected!("avx512vnni")]);
        // SAFETY of what follows: each function is only taken where the processor has the instructions it is compiled for.
        match (avx512, vnni, avx2) {
            (true, true, _) => Self { name: "avx512 vnni", sum: x86::sum, f32: x86::f32_512, int8: x86::int8_vnni },
            (true, false, _) => Self { name: "avx512", sum: x86::sum, f32: x86::f32_512, int8: x86::int8_256 },
            (false, _, true) => Self { name: "avx2", sum: x86::sum, f32: x86::f32_256, int8: x86::int8_256 },
            _ => Self { name: "sse2", sum: sum_plain, f32: f32_plain, int8: int8_plain },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_fmadd_ps, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8,
        _mm256_set1_epi16, _mm256_set1_ps, _mm256_setzero_si256, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
        _mm512_set1_epi8, _mm512_set1_ps, _mm512_setzero_si512,
    };
    use std::hint::black_box;

    use super::{SIDE_BY_SIDE, sum_in};

    pub(super) fn sum(words: &[u64]) -> u64 {
        #[target_feature(enable = "avx2")]
        fn inner(words: &[u64]) -> u64 {
            sum_in::<32>(words)
        }
        // SAFETY: taken only where the processor has AVX2.
        unsafe { inner(words) }
    }

    pub(super) fn f32_256(rounds: u64) -> u64 {
        #[target_feature(enable = "avx2,fma")]
        fn inner(rounds: u64) {
            let (x, a) = (_mm256_set1_ps(black_box(0.999_999)), _mm256_set1_ps(black_box(1e-6)));
            let mut y = [_mm256_set1_ps(black_box(1.0)); SIDE_BY_SIDE];
            for _ in 0..rounds {
                for y in &mut y {
                    *y = _mm256_fmadd_ps(*y, x, a);
                }
            }
            black_box(y);
        }
        // SAFETY: taken only where the processor has AVX2 and FMA.
        unsafe { inner(rounds) };
        2 * 8 * SIDE_BY_SIDE as u64
    }

    pub(super) fn f32_512(rounds: u64) -> u64 {
        #[target_feature(enable = "avx512f")]
        fn inner(rounds: u64) {
            let (x, a) = (_mm512_set1_ps(black_box(0.999_999)), _mm512_set1_ps(black_box(1e-6)));
            let mut y = [_mm512_set1_ps(black_box(1.0)); SIDE_BY_SIDE];
            for _ in 0..rounds {
                for y in &mut y {
                    *y = _mm512_fmadd_ps(*y, x, a);
                }
            }
            black_box(y);
        }
        // SAFETY: taken only where the processor has AVX-512.
        unsafe { inner(rounds) };
        2 * 16 * SIDE_BY_SIDE as u64
    }

    pub(super) fn int8_256(rounds: u64) -> u64 {
        #[target_feature(enable = "avx2")]
        fn inner(rounds: u64) {
            let (a, b) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi8(black_box(5)));
            let one = _mm256_set1_epi16(black_box(1));
            let mut sums: [__m256i; SIDE_BY_SIDE] = [_mm256_setzero_si256(); SIDE_BY_SIDE];
            for _ in 0..rounds {
                for sum in &mut sums {
                    // Different for each, so that the product is not made once for all.
                    let pairs = _mm256_maddubs_epi16(a, _mm256_add_epi32(b, *sum));
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, one));
                }
            }
            black_box(sums);
        }
        // SAFETY: taken only where the processor has AVX2.
        unsafe { inner(rounds) };
        2 * 32 * SIDE_BY_SIDE as u64
    }

    pub(super) fn int8_vnni(rounds: u64) -> u64 {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn inner(rounds: u64) {
            let (a, b) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(5)));
            let mut sums: [__m512i; SIDE_BY_SIDE] = [_mm512_setzero_si512(); SIDE_BY_SIDE];
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm512_dpbusd_epi32(*sum, a, b);
                }
            }
            black_box(sums);
        }
        // SAFETY: taken only where the processor has AVX-512 with VNNI.
        unsafe { inner(rounds) };
        2 * 64 * SIDE_BY_SIDE as u64
    }
}
