//! From WebAssembly text to components.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Who the component says it is.
const MANIFEST: &str = r#"{\"manifest\":1,\"name\":\"crafted\",\"version\":\"6.6.6\",\"kind\":\"KIND\",\"config_schema\":null}"#;

/// The core module of a sink, in parts. What is not given does nothing wrong.
#[derive(Debug, Clone, Copy)]
pub struct Sink {
    /// Imports of host functions.
    pub imports: &'static str,
    /// Limits of the memory.
    pub memory: &'static str,
    /// Tables, globals, functions, data, start.
    pub definitions: &'static str,
    /// Body of `cabi_realloc`; parameters: old pointer, old size, alignment, new size.
    pub realloc: &'static str,
    /// Body of `check`; returns where its result lies.
    pub check: &'static str,
    /// Body of `deliver`; its parameter is where its arguments lie.
    pub deliver: &'static str,
}

impl Sink {
    /// A sink that does as it should: all is zero, which reads as success.
    pub const GOOD: Self = Self {
        imports: "",
        memory: "2",
        definitions: "",
        // Aligned to 16, from the second page on.
        realloc: "(global.get $free)
                  (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 15))
                                             (i32.const -16)))",
        check: "(i32.const 0)",
        deliver: "(i32.const 0)",
    };

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let Self {
            imports,
            memory,
            definitions,
            realloc,
            check,
            deliver,
        } = self;
        let manifest = MANIFEST.replace("KIND", "sink");
        encode(
            "sink",
            &format!(
                r#"(module
                  {imports}
                  (memory (export "memory") {memory})
                  (global $free (mut i32) (i32.const 65536))
                  {definitions}
                  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                  (func (export "argus:plugin/delivery@0.1.0#check") (result i32) {check})
                  (func (export "argus:plugin/delivery@0.1.0#deliver") (param i32) (result i32) {deliver})
                  (@custom "argus:manifest" "{manifest}"))"#
            ),
        )
    }
}

/// The component of a source that does `poll`; parameters: checkpoint (there, where, length), most records, options
/// (where, length).
pub fn source(imports: &str, poll: &str) -> Vec<u8> {
    let manifest = MANIFEST.replace("KIND", "source");
    encode(
        "source",
        &format!(
            r#"(module
              {imports}
              (memory (export "memory") 2)
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
              (func (export "argus:plugin/ingress@0.1.0#check") (result i32) (i32.const 0))
              (func (export "argus:plugin/ingress@0.1.0#poll") (param i32 i32 i32 i32 i32 i32) (result i32) {poll})
              (@custom "argus:manifest" "{manifest}"))"#
        ),
    )
}

/// Bytes of any WebAssembly text, component or module.
pub fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn encode(world: &str, module: &str) -> Vec<u8> {
    let mut module = parse(module);
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/wit");
    let (package, _) = resolve.push_dir(&wit).expect("the WIT package");
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let mut encoder = ComponentEncoder::default()
        .module(&module)
        .expect("a module that fits its world");
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}
