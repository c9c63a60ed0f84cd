//! Student's distribution for whole degrees of freedom, by its finite sums (Abramowitz and Stegun, 26.7.3 and 26.7.4).

/// How far from zero a value lies that only the share `alpha` of all is beyond, both sides together.
pub(super) fn beyond(alpha: f64, freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1e9);
    // Halving the exponent's distance first would be faster; this is exact enough and short.
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if 1.0 - within(middle, freedom) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The share of all values between −t and t.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    // The sum's terms go up by two: cos, 2/3 cos³ … or 1, 1/2 cos² ….
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    let mut n = if odd { 1 } else { 0 };
    while n + 2 <= freedom {
        sum += term;
        n += 2;
        term *= cos * cos * (n as f64 - 1.0) / n as f64;
    }
    if odd { (angle + sin * sum) * std::f64::consts::FRAC_2_PI } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As printed tables have them.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (alpha, freedom, expected) in [
            (0.05, 1, 12.706),
            (0.05, 2, 4.303),
            (0.01, 3, 5.841),
            (0.05, 4, 2.776),
            (0.05, 10, 2.228),
            (0.001, 15, 4.073),
            (0.05, 30, 2.042),
            (0.01, 120, 2.617),
        ] {
            let found = beyond(alpha, freedom);
            assert!((found - expected).abs() < 6e-4, "{alpha} {freedom}: {found}, not {expected}");
        }
    }
}
