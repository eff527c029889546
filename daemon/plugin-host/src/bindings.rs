//! The host's side of the WIT package, generated from `plugin-sdk/wit`.
//!
//! Interfaces of released versions stay alive: a new version of the package gets a module beside this one.

wasmtime::component::bindgen!({
    world: "sink",
    path: "../../plugin-sdk/wit",
    imports: {
        "argus:plugin/http.send": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
