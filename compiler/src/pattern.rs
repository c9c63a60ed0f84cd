//! Patterns with their names resolved, and glob matching.

use std::fmt;

/// A pattern: some, or with `negated` none, of the alternatives match.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// `!` in front.
    pub negated: bool,
    /// The alternatives.
    pub alts: Vec<Alt>,
}

/// One alternative.
#[derive(Debug, Clone, PartialEq)]
pub enum Alt {
    /// Numbers from … to …, both ends within.
    Range(i64, i64),
    /// Words and texts by glob; without `*` an exact word.
    Glob(String),
}

impl Pattern {
    /// Whether a number matches.
    pub fn matches_number(&self, n: i64) -> bool {
        self.negated != self.alts.iter().any(|a| matches!(a, Alt::Range(lo, hi) if (*lo..=*hi).contains(&n)))
    }

    /// Whether a word or text matches.
    pub fn matches_text(&self, s: &str) -> bool {
        self.negated != self.alts.iter().any(|a| matches!(a, Alt::Glob(g) if glob(g, s)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("!")?;
        }
        for (i, alt) in self.alts.iter().enumerate() {
            if i > 0 {
                f.write_str("|")?;
            }
            match alt {
                Alt::Range(a, b) if a == b => write!(f, "{a}")?,
                Alt::Range(a, i64::MAX) => write!(f, "{a}..")?,
                Alt::Range(i64::MIN, b) => write!(f, "..{b}")?,
                Alt::Range(a, b) => write!(f, "{a}..{b}")?,
                Alt::Glob(g) => f.write_str(g)?,
            }
        }
        Ok(())
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters and `?` for one.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut pi, mut ti) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while ti < t.len() {
        if pi < p.len() && p[pi] == '*' {
            retry = Some((pi, ti));
            pi += 1;
        } else if pi < p.len() && (p[pi] == '?' || p[pi] == t[ti]) {
            pi += 1;
            ti += 1;
        } else if let Some((star, from)) = retry {
            pi = star + 1;
            ti = from + 1;
            retry = Some((star, from + 1));
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, expected) in [
            ("MUL_MAT", "MUL_MAT", true),
            ("MUL_MAT", "MUL_MAT_ID", false),
            ("MUL_*", "MUL_MAT_ID", true),
            ("*_l*", "cache_k_l12", true),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbxc", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("node_?", "node_4", true),
            ("***************************x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn negation_covers_the_whole_alternation() {
        let p = Pattern { negated: true, alts: vec![Alt::Glob("ADD".into()), Alt::Range(3, 5)] };
        assert!(!p.matches_text("ADD"));
        assert!(p.matches_text("MUL"));
        assert!(!p.matches_number(4));
        assert!(p.matches_number(6));
    }
}
