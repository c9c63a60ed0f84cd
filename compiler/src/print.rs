//! The Plan as stable text.
