//! Where the tokens of a mixture of experts go, according to the kernel's uprobe events: each matrix of expert ids and of
//! weights as it lies in the engine's memory when it is used.

use std::collections::BTreeMap;

use crate::OrFail;
use crate::tracefs::{Hit, Probe, Watch};

/// Rows of a matrix that are read. The ids and weights of a micro-batch of more tokens are not compared.
pub const ROWS: u64 = 16;
/// Experts per token.
pub const USED: u64 = 2;
/// Experts of a layer.
pub const EXPERTS: u64 = 8;

/// Two 4-byte cells of each row of a matrix: `e0=+0(ADDRESS):TYPE f0=+4(ADDRESS):TYPE e1=…`, given the bytes from row to
/// row. The kernel's syntax has no loops.
macro_rules! cells {
    ($address:literal $form:literal, $($row:literal at $first:literal $second:literal)+) => {
        concat!($(" e", $row, "=+", $first, "(", $address, "):", $form, " f", $row, "=+", $second, "(", $address, "):", $form),+)
    };
}

/// `ffn_moe_down-N`, a routed product: `src[2]` (offset 168) is the ids, 8 of which a row is apart from the next.
const IDS: Probe = Probe {
    symbol: "ggml_cpu_extra_compute_forward",
    fetch: concat!(
        "ith=+0(%di):s32 name=+256(%si):string used=+16(+168(%si)):s64 rows=+24(+168(%si)):s64 cell=+48(+168(%si)):u64",
        " row=+56(+168(%si)):u64",
        cells!("+248(+168(%si))" "s32", 0 at 0 4 1 at 32 36 2 at 64 68 3 at 96 100 4 at 128 132 5 at 160 164
            6 at 192 196 7 at 224 228 8 at 256 260 9 at 288 292 10 at 320 324 11 at 352 356 12 at 384 388
            13 at 416 420 14 at 448 452 15 at 480 484)
    ),
    filter: Some("ith == 0 && name ~ \"ffn_moe_down-*\""),
};
/// `ffn_moe_weighted-N`, a product: `src[1]` (offset 160) is the weights that are applied, rows without gaps.
const APPLIED: Probe = Probe {
    symbol: "ggml_cpu_extra_compute_forward",
    fetch: concat!(
        "ith=+0(%di):s32 name=+256(%si):string used=+24(+160(%si)):s64 rows=+32(+160(%si)):s64 cell=+56(+160(%si)):u64",
        " row=+64(+160(%si)):u64",
        cells!("+248(+160(%si))" "x32", 0 at 0 4 1 at 8 12 2 at 16 20 3 at 24 28 4 at 32 36 5 at 40 44 6 at 48 52
            7 at 56 60 8 at 64 68 9 at 72 76 10 at 80 84 11 at 88 92 12 at 96 100 13 at 104 108 14 at 112 116
            15 at 120 124)
    ),
    filter: Some("ith == 0 && name ~ \"ffn_moe_weighted-*\""),
};
/// `ffn_moe_weights-N`, which picks rows: `src[0]` (offset 152) is what the router gave to each of the 8 experts, `src[1]`
/// the ids. Of the first token.
const RAW: Probe = Probe {
    symbol: "ggml_cpu_extra_compute_forward",
    fetch: concat!(
        "ith=+0(%di):s32 name=+256(%si):string used=+16(+160(%si)):s64 rows=+24(+160(%si)):s64 cell=+56(+152(%si)):u64",
        " e0=+0(+248(+160(%si))):s32 f0=+4(+248(+160(%si))):s32",
        " p0=+0(+248(+152(%si))):x32 p1=+4(+248(+152(%si))):x32 p2=+8(+248(+152(%si))):x32",
        " p3=+12(+248(+152(%si))):x32 p4=+16(+248(+152(%si))):x32 p5=+20(+248(+152(%si))):x32",
        " p6=+24(+248(+152(%si))):x32 p7=+28(+248(+152(%si))):x32"
    ),
    filter: Some("ith == 0 && name ~ \"ffn_moe_weights-*\""),
};
/// `process_ubatch(this, const llama_ubatch &, …)`: the second argument begins with flags, then n_tokens.
const UBATCH: Probe =
    Probe { symbol: "_ZN13llama_context14process_ubatch", fetch: "n_tokens=+4(%si):u32", filter: None };

/// One of a token's experts in a layer: layer, token since the watch began, rank.
pub type Choice = (u64, u64, u64);

/// All that was chosen while it was watched, of one context whose last layer computes at most a micro-batch's last token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routing {
    /// Choices by layer, of all tokens.
    pub by_layer: BTreeMap<u64, u64>,
    /// Tokens of each micro-batch, in order.
    pub ubatches: Vec<u64>,
    /// The expert of each choice, of the tokens in the first [`ROWS`] rows of a matrix.
    pub experts: BTreeMap<Choice, u64>,
    /// The weight with which its result is added up, of the same tokens.
    pub applied: BTreeMap<Choice, f32>,
    /// The weight that the router gave it, of tokens alone in their micro-batch.
    pub raw: BTreeMap<Choice, f32>,
}

impl Routing {
    /// Begins to watch a process.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn watch(pid: u32) -> Watch {
        Watch::new(pid, &[IDS, APPLIED, RAW, UBATCH])
    }

    /// What was chosen so far.
    ///
    /// # Panics
    /// If the kernel lost a hit, or a matrix is not laid out as it is read.
    #[track_caller]
    pub fn of(watch: &Watch) -> Routing {
        let mut routing = Routing::default();
        let mut before = 0;
        for hit in watch.hits() {
            if hit.probe == 3 {
                before = routing.ubatches.iter().sum();
                routing.ubatches.push(number(&hit, "n_tokens"));
            } else {
                routing.add(&hit, before);
            }
        }
        routing
    }

    fn add(&mut self, hit: &Hit, before: u64) {
        let layer = hit.fields["name"].rsplit_once('-').and_then(|(_, layer)| layer.parse().ok()).or_fail("a layer");
        let (used, rows, cell) = (number(hit, "used"), number(hit, "rows"), number(hit, "cell"));
        assert_eq!((used, cell), (USED, 4), "{hit:?}");
        let n_tokens = *self.ubatches.last().or_fail("a micro-batch before its operators");
        assert!(rows == n_tokens || rows <= 1, "{rows} rows of {n_tokens} tokens: {hit:?}");
        let token = |row| if rows == n_tokens { before + row } else { before + n_tokens - 1 };
        match hit.probe {
            0 => {
                *self.by_layer.entry(layer).or_default() += used * rows;
                for row in 0..rows.min(ROWS) {
                    assert_eq!(number(hit, "row"), EXPERTS * 4, "bytes from row to row");
                    self.experts.insert((layer, token(row), 0), number(hit, &format!("e{row}")));
                    self.experts.insert((layer, token(row), 1), number(hit, &format!("f{row}")));
                }
            }
            1 => {
                for row in 0..rows.min(ROWS) {
                    assert_eq!(number(hit, "row"), USED * 4, "bytes from row to row");
                    self.applied.insert((layer, token(row), 0), float(hit, &format!("e{row}")));
                    self.applied.insert((layer, token(row), 1), float(hit, &format!("f{row}")));
                }
            }
            _ if n_tokens == 1 => {
                for (rank, id) in [(0, "e0"), (1, "f0")] {
                    let weight = float(hit, &format!("p{}", number(hit, id)));
                    self.raw.insert((layer, token(0), rank), weight);
                }
            }
            _ => {}
        }
    }
}

#[track_caller]
fn number(hit: &Hit, field: &str) -> u64 {
    hit.fields.get(field).and_then(|v| v.parse().ok()).or_fail(format_args!("no whole number {field} in {hit:?}"))
}

/// `0x3f1a2b3c`, the bits of a float.
#[track_caller]
fn float(hit: &Hit, field: &str) -> f32 {
    let bits = hit.fields.get(field).and_then(|v| u32::from_str_radix(v.strip_prefix("0x")?, 16).ok());
    f32::from_bits(bits.or_fail(format_args!("no bits {field} in {hit:?}")))
}
