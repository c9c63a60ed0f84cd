//! Near misses of words.

/// The word of `words` that `word` most likely was meant to be.
pub(super) fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    if word.len() > 24 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let allowed = match word.len() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    words
        .iter()
        .map(|w| (distance(&lower, w), *w))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, w)| w)
}

/// How many characters must be put in, left out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let words = ["every", "after", "on", "param", "import"];
        assert_eq!(nearest("evrey", &words), Some("every"));
        assert_eq!(nearest("AFTER", &words), Some("after"));
        assert_eq!(nearest("parm", &words), Some("param"));
        assert_eq!(nearest("ON", &words), Some("on"));
        assert_eq!(nearest("of", &words), None);
        assert_eq!(nearest("kprobe", &words), None);
    }
}
