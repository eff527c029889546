//! Files that do harm before anything of them runs: to the parser, the compiler, the linker.

use std::fmt::Write as _;
use std::time::Instant;

use argus_plugin_host::PluginKind;

use super::text::{Sink, parse};
use super::{PATIENCE, set_up, spec, works};

/// Loads a file that must not load; what it was refused with.
async fn refused(name: &str, wasm: &[u8]) -> String {
    let (host, good, dir) = set_up().await;
    let began = Instant::now();
    let loaded = host.load(spec(&dir, name, PluginKind::Sink, wasm)).await;
    let error = loaded.err().unwrap_or_else(|| panic!("{name} was loaded"));
    assert!(
        began.elapsed() < PATIENCE * 5,
        "{name} took {:?}",
        began.elapsed()
    );
    works(&good, name).await;
    let text = error.to_string();
    assert!(text.starts_with(&format!("plugin {name}")), "{text}");
    assert!(text.len() < 4000, "{name}: {} bytes of error", text.len());
    format!("{} {text}", error.code())
}

#[tokio::test]
async fn components_in_components_in_components() {
    const DEPTH: usize = 20_000;
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    const NESTED: u8 = 4;
    // From the innermost out: what precedes each, then all of it in order.
    let (mut size, mut starts) = (HEADER.len(), vec![HEADER.to_vec()]);
    for _ in 0..DEPTH {
        let mut start = [HEADER, &[NESTED]].concat();
        leb128(&mut start, size);
        size += start.len();
        starts.push(start);
    }
    starts.reverse();
    let told = refused("nested", &starts.concat()).await;
    assert!(
        told.starts_with("not_a_component") && told.contains("nested deeper"),
        "{told}"
    );
}

#[tokio::test]
async fn thousands_of_instances() {
    let mut text = String::from("(component (core module $m (memory 1) (func (export \"f\")))\n");
    for _ in 0..5_000 {
        text.push_str("(core instance (instantiate $m))\n");
    }
    text.push(')');
    let told = refused("crowd", &parse(&text)).await;
    assert!(
        told.starts_with("not_a_component") || told.starts_with("unlinkable"),
        "{told}"
    );
}

#[tokio::test]
async fn a_section_larger_than_the_limit() {
    let (host, good, dir) = set_up().await;
    let mut wasm = Sink::GOOD.component();
    let padding = vec![0_u8; 5 << 20];
    wasm.push(0);
    leb128(&mut wasm, padding.len() + 2);
    wasm.extend_from_slice(&[1, b'x']);
    wasm.extend_from_slice(&padding);
    let mut large = spec(&dir, "padded", PluginKind::Sink, &wasm);
    large.limits.file_bytes = 1 << 20;
    let error = host.load(large.clone()).await.expect_err("too large");
    assert_eq!(error.code(), "file_too_large");
    // Within the limit it is only padding.
    large.limits.file_bytes = 8 << 20;
    host.load(large)
        .await
        .expect("loads")
        .check()
        .await
        .expect("works");
    works(&good, "padded").await;
}

#[tokio::test]
async fn sections_that_lie_about_their_length() {
    let good = Sink::GOOD.component();
    for cut in [9, good.len() / 3, good.len() - 1] {
        let told = refused("torn", &good[..cut]).await;
        assert!(told.starts_with("not_a_component"), "{told}");
    }
    let mut lying = good.clone();
    lying.extend_from_slice(&[0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(
        refused("lying", &lying)
            .await
            .starts_with("not_a_component")
    );
}

#[tokio::test]
async fn what_is_not_granted_is_not_linked() {
    let wasi = r#"(component (import "wasi:filesystem/types@0.2.3" (instance
        (export "descriptor" (type (sub resource))))) (import "argus:plugin/everything@0.1.0" (instance)))"#;
    let told = refused("greedy", &parse(wasi)).await;
    assert!(told.starts_with("unlinkable"), "{told}");
    // A sink must not have what sources have, even if its file asks for it.
    let connector = Sink {
        imports: "",
        ..Sink::GOOD
    };
    let wasm = connector.component();
    let renamed = replace(
        &wasm,
        b"argus:plugin/delivery@0.1.0",
        b"argus:plugin/delivery@9.9.9",
    );
    assert!(refused("renamed", &renamed).await.starts_with("unlinkable"));
}

#[tokio::test]
async fn memories_and_tables_beyond_counting() {
    let many = |definition: &str| {
        let mut definitions = String::new();
        // More than 100 are no module.
        for _ in 0..90 {
            definitions.push_str(definition);
        }
        let leaked: &'static str = Box::leak(definitions.into_boxed_str());
        Sink {
            definitions: leaked,
            ..Sink::GOOD
        }
    };
    for (name, sink) in [
        ("memories", many("(memory 1)")),
        ("tables", many("(table 1 funcref)")),
    ] {
        let (host, good, dir) = set_up().await;
        let outcome = match host
            .load(spec(&dir, name, PluginKind::Sink, &sink.component()))
            .await
        {
            Ok(plugin) => plugin.check().await,
            Err(error) => Err(error),
        };
        let error = outcome
            .err()
            .unwrap_or_else(|| panic!("{name} did no harm"));
        assert!(
            error.to_string().starts_with(&format!("plugin {name}")),
            "{error}"
        );
        works(&good, name).await;
    }
}

/// In this process, where no child compiles: only what a compiler must survive anyway.
#[tokio::test]
async fn functions_that_are_hard_to_compile() {
    let mut nested = String::new();
    for _ in 0..900 {
        nested.push_str("(block ");
    }
    nested.push_str(&")".repeat(900));
    let mut wide = String::from("(local.get 0)");
    for i in 0..20_000 {
        let _ = write!(wide, "(i32.const {i})(i32.add)");
    }
    for (name, body) in [("nested-blocks", nested + "(i32.const 0)"), ("wide", wide)] {
        let (host, good, dir) = set_up().await;
        let definitions: &'static str =
            Box::leak(format!("(func (param i32) (result i32) {body})").into_boxed_str());
        let sink = Sink {
            definitions,
            ..Sink::GOOD
        };
        let plugin = host
            .load(spec(&dir, name, PluginKind::Sink, &sink.component()))
            .await;
        plugin
            .unwrap_or_else(|error| panic!("{error}"))
            .check()
            .await
            .expect("never calls it");
        works(&good, name).await;
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut replaced = bytes.to_vec();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        replaced[at..at + to.len()].copy_from_slice(to);
    }
    replaced
}

fn leb128(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
