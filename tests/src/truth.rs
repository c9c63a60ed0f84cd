//! What one generation of an engine consists of, according to the kernel's uprobe events.

use std::collections::BTreeMap;
use std::process::Command;

use crate::OrFail;
use crate::engine::{Engine, Timings};
use crate::system::mapped_code;
use crate::tracefs::{Probe, Watch};

/// `ggml_cpu_extra_compute_forward(params, tensor)`: where a step starts.
const EXTRA: Probe = Probe {
    symbol: "ggml_cpu_extra_compute_forward",
    fetch: "ith=+0(%di):s32 op=+80(%si):u32 src0=+0(+152(%si)):u32 name=+256(%si):string",
    filter: Some("ith == 0"),
};
/// `ggml_compute_forward_rms_norm_mul_fused(params, norm, mul)`: where fused norms start; they do not pass the other.
const FUSED: Probe = Probe {
    symbol: "ggml_compute_forward_rms_norm_mul_fused",
    fetch: "ith=+0(%di):s32 op=+80(%si):u32 src0=+0(+152(%si)):u32 name=+256(%dx):string",
    filter: Some("ith == 0"),
};
const GRAPH: Probe = Probe { symbol: "ggml_graph_compute", fetch: "", filter: None };
/// `process_ubatch(this, const llama_ubatch &, …)`: the second argument begins with flags, then n_tokens.
const UBATCH: Probe =
    Probe { symbol: "_ZN13llama_context14process_ubatch", fetch: "n_tokens=+4(%si):u32", filter: None };

/// The steps of one generation.
#[derive(Debug, Clone)]
pub struct Truth {
    /// What the engine said.
    pub timings: Timings,
    /// Steps by operator, fused norms included.
    pub by_op: BTreeMap<String, u64>,
    /// Steps by operator and name of the tensor; a fused norm goes by its last tensor.
    pub by_name: BTreeMap<(String, String), u64>,
    /// Steps by operator and number of the first source's element type.
    pub by_src0: BTreeMap<(String, u64), u64>,
    /// Fused norms among them.
    pub fused: u64,
    /// Calls of `ggml_graph_compute`.
    pub graphs: u64,
    /// Tokens of each micro-batch, in order.
    pub ubatches: Vec<u64>,
}

impl Truth {
    /// Generates `tokens` tokens under the kernel's uprobe events.
    ///
    /// # Panics
    /// If the kernel refuses, loses a hit, or the engine fails.
    #[track_caller]
    pub fn of(engine: &mut Engine, tokens: u64) -> Truth {
        let names = op_names(engine.pid());
        let watch = Watch::new(engine.pid(), &[EXTRA, FUSED, GRAPH, UBATCH]);
        let timings = engine.generate(tokens);
        let mut truth = Truth {
            timings,
            by_op: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_src0: BTreeMap::new(),
            fused: 0,
            graphs: 0,
            ubatches: Vec::new(),
        };
        for hit in watch.hits() {
            let number = |field: &str| hit.fields.get(field).and_then(|v| v.parse::<u64>().ok());
            match hit.probe {
                0 | 1 => {
                    let op = number("op").and_then(|op| names.get(op as usize)).or_fail("an operator's number");
                    let src0 = number("src0").or_fail("an element type");
                    let name = hit.fields.get("name").cloned().unwrap_or_default();
                    *truth.by_op.entry(op.clone()).or_default() += 1;
                    *truth.by_src0.entry((op.clone(), src0)).or_default() += 1;
                    *truth.by_name.entry((op.clone(), name)).or_default() += 1;
                    truth.fused += u64::from(hit.probe == 1);
                }
                2 => truth.graphs += 1,
                _ => truth.ubatches.push(number("n_tokens").or_fail("n_tokens of a micro-batch")),
            }
        }
        truth
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.by_op.values().sum()
    }
}

/// Names of the operators, in the order of their numbers: what `ggml_op_name` of the engine's own library answers.
fn op_names(pid: u32) -> Vec<String> {
    const ASK: &str = "
import ctypes, sys
for path in sys.argv[1:]:
    try:
        op_name = ctypes.CDLL(path, mode=1).ggml_op_name
        break
    except (OSError, AttributeError):
        continue
op_name.restype = ctypes.c_char_p
names = []
while not names or names[-1] != 'GLU':
    names.append(op_name(len(names)).decode())
print(' '.join(names))
";
    let libraries: Vec<String> = mapped_code(pid)
        .into_iter()
        .filter(|p| p.rsplit('/').next().is_some_and(|f| f.contains("ggml-base") || f.contains("xllamacpp")))
        .collect();
    let output = Command::new("python3").arg("-c").arg(ASK).args(&libraries).output().or_fail("python3");
    assert!(output.status.success(), "ggml_op_name: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}
