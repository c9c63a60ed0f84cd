//! Memory at a place of the script's own reckoning is read only where the script is trusted, whichever way it asks.

mod common;

/// The texts that need trust.
#[track_caller]
fn untrusted(script: &str) -> Vec<String> {
    let outcome = common::compile(script);
    let compiled = outcome.result.as_ref().unwrap_or_else(|_| panic!("{}", outcome.text()));
    assert!(compiled.reads.iter().all(|d| d.code == "PI0224"));
    compiled.reads.iter().map(|d| outcome.sources.text(d.labels[0].span).to_owned()).collect()
}

#[test]
fn reads_behind_a_pointer_need_trust() {
    for (script, what) in [
        ("on ggml_op < count() by k = i32_at(src0.data, 0) >", "i32_at(src0.data, 0)"),
        ("on ggml_op < sum(f32_at(src0, 1000000)) >", "f32_at(src0, 1000000)"),
        ("on ggml_op where (i32_at(src0, ne[0]) > 3) < count() >", "i32_at(src0, ne[0])"),
        ("on ggml_op < print(\"{op} {i32_at(src0, 4)}\") >", "i32_at(src0, 4)"),
        ("on span(\"libc:malloc\", p: ptr) < count() by i32_at(p, 0) >", "i32_at(p, 0)"),
        ("fn f(p) = i32_at(p, 4)\non ggml_op < count() by k = f(src0) >", "i32_at(p, 4)"),
        ("agg b(p) = max(i32_at(p, 8))\non ggml_op < b(src0) by op >", "i32_at(p, 8)"),
        ("probe p = ggml_op { let k = i32_at(src0, 8) }\non p < count() by k >", "i32_at(src0, 8)"),
        ("probe p = ggml_op where (i32_at(src0, 8) = 1)\non p < count() >", "i32_at(src0, 8)"),
        ("point b : enter { start \"f\" (p: ptr) let k = i32_at(p, 0) }\non b < count() by k >", "i32_at(p, 0)"),
    ] {
        assert_eq!(untrusted(script), [what], "{script}");
    }
}

/// `id_at` of ggml.pi is made of `i32_at`: with arguments of the script's own it reads anywhere.
#[test]
fn functions_of_a_description_that_are_made_of_them_do_too() {
    assert_eq!(untrusted("on ggml_op < count() by k = id_at(src0, 1000, 1000) >"), ["id_at(src0, 1000, 1000)"]);
}

/// The engine's own fields read so, too, at places that its checks vouch for.
#[test]
fn fields_of_the_engine_need_none() {
    for script in [
        "on moe_route < sum(weight) by expert >",
        "on moe_route < sum(weight_raw) by expert >",
        "on llama_seq < count() by seq >",
        "on ggml_op < count() by src0.src[1].src[2].name, address(src0.data) >",
    ] {
        assert_eq!(untrusted(script), Vec::<String>::new(), "{script}");
    }
}

/// Elements of arrays cannot be had behind the array's end.
#[test]
fn an_index_stays_in_its_array() {
    for script in [
        "on ggml_op < count() by ne[4] >",
        "on ggml_op < count() by k = src0.src[10].name >",
        "on ggml_op < count() by k = ne[nth] >",
        "fn f(a, i) = a.ne[i]\non ggml_op < count() by k = f(src0, nth) >",
        "fn f(a, i) = a.ne[i]\non ggml_op < count() by k = f(src0, 9) >",
    ] {
        assert_eq!(common::compile(script).codes(), ["PI0314"], "{script}");
    }
}

/// What `readable` is asked about is a text; of anything else it would be false without a word.
#[test]
fn only_a_text_is_readable() {
    assert_eq!(untrusted("on ggml_op where (readable(src0.name)) < count() >"), Vec::<String>::new());
    for of in ["dur", "op", "src0.data", "(dur > 1ms)", "ne[0]"] {
        assert_eq!(
            common::compile(&format!("on ggml_op where (readable({of})) < count() >")).codes(),
            ["PI0306"],
            "{of}"
        );
    }
}
