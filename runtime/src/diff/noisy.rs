//! Series of times as a machine makes them, with a known truth, for tests.

/// A source of noise that is the same every time.
pub(super) struct Noisy(u64);

impl Noisy {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between 0 and 1 (splitmix64).
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// As good as normal, with deviation 1.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() - 6.0
    }

    /// Times around 10 ms, with 5 % from step to step that hang together by `correlation`; bursts of ten steps that take twice as
    /// long begin with the probability `bursts`; each 40 steps or so the machine gets into another mood, which makes it
    /// `mood` faster or slower.
    pub(super) fn series(&mut self, n: usize, correlation: f64, bursts: f64, mood: f64) -> Vec<f64> {
        let (mut now, mut burst) = (self.normal(), 0);
        let mut level = mood * self.normal();
        (0..n)
            .map(|_| {
                now = correlation * now + (1.0 - correlation * correlation).sqrt() * self.normal();
                burst = if self.even() < bursts { 10 } else { i32::max(burst - 1, 0) };
                if self.even() < 1.0 / 40.0 {
                    level = mood * self.normal();
                }
                1e7 * (0.05 * now + level).exp() * if burst > 0 { 2.0 } else { 1.0 }
            })
            .collect()
    }
}
