//! Stock scripts and engine descriptions, built into the binary.
//!
//! Invariant: only texts; nothing here (and no Rust code anywhere) knows what a script says.

/// A file of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Its path below this folder: `engines/ggml.pi`.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Engine descriptions, newest first: the first whose condition holds is taken.
pub const ENGINES: &[Text] = &[Text { path: "engines/ggml.pi", text: include_str!("../engines/ggml.pi") }];

/// The points of the kernel.
pub const KERNEL: Text = Text { path: "kernel.pi", text: include_str!("../kernel.pi") };

/// Modules to be imported: `std/latency.pi` as `std.latency`. They hold declarations only.
pub const STD: &[Text] = &[
    Text { path: "std/latency.pi", text: include_str!("../std/latency.pi") },
    Text { path: "std/parts.pi", text: include_str!("../std/parts.pi") },
    Text { path: "std/cuda.pi", text: include_str!("../std/cuda.pi") },
];

/// Stock scripts.
pub const SCRIPTS: &[Text] = &[
    Text { path: "ops.pi", text: include_str!("../ops.pi") },
    Text { path: "graphs.pi", text: include_str!("../graphs.pi") },
    Text { path: "tokens.pi", text: include_str!("../tokens.pi") },
    Text { path: "parts.pi", text: include_str!("../parts.pi") },
    Text { path: "flame.pi", text: include_str!("../flame.pi") },
    Text { path: "threads.pi", text: include_str!("../threads.pi") },
    Text { path: "paging.pi", text: include_str!("../paging.pi") },
    Text { path: "offload.pi", text: include_str!("../offload.pi") },
    Text { path: "counters.pi", text: include_str!("../counters.pi") },
    Text { path: "profile.pi", text: include_str!("../profile.pi") },
    Text { path: "moe_routing.pi", text: include_str!("../moe_routing.pi") },
    Text { path: "experts.pi", text: include_str!("../experts.pi") },
    Text { path: "kv.pi", text: include_str!("../kv.pi") },
    Text { path: "roofline.pi", text: include_str!("../roofline.pi") },
];
