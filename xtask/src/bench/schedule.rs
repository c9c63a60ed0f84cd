//! The order of blocks: ABBA, so that what drifts over a generation (a longer context, a warmer machine) cancels out.

/// What a block runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    /// Nothing attached.
    Without,
    /// The tool attached.
    With,
}

/// The blocks of a measurement, in fours: without, with, with, without. `blocks` is rounded up to a multiple of four.
pub(super) fn abba(blocks: usize) -> Vec<[Arm; 4]> {
    vec![[Arm::Without, Arm::With, Arm::With, Arm::Without]; blocks.div_ceil(4)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_four_has_both_arms_twice_with_the_same_mean_place() {
        for four in abba(40) {
            let place = |arm| -> usize { (0..4).filter(|&i| four[i] == arm).sum() };
            assert_eq!(place(Arm::Without), place(Arm::With), "a drift along a line cancels");
            assert_eq!(four.iter().filter(|&&a| a == Arm::With).count(), 2);
        }
        assert_eq!(abba(40).len(), 10);
        assert_eq!(abba(41).len(), 11);
    }

    #[test]
    fn a_tool_is_attached_once_a_four() {
        for four in abba(8) {
            assert_eq!(four.windows(2).filter(|w| w[0] == Arm::Without && w[1] == Arm::With).count(), 1);
        }
    }
}
