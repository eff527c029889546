//! The host's side of the WIT package, generated from `plugin-sdk/wit`.
//!
//! The host interfaces are generated once, for a world that imports all of them; the world of each kind adds its
//! export to those. Interfaces of released versions stay alive: a new version of the package gets a module beside
//! this one.

wasmtime::component::bindgen!({
    inline: "
        package argus:host;
        world everything {
            import argus:plugin/log@0.1.0;
            import argus:plugin/clock@0.1.0;
            import argus:plugin/config@0.1.0;
            import argus:plugin/state@0.1.0;
            import argus:plugin/http@0.1.0;
            import argus:plugin/connector@0.1.0;
            import argus:plugin/model@0.1.0;
            import argus:plugin/metrics@0.1.0;
            import argus:plugin/incidents@0.1.0;
        }
    ",
    path: "../../plugin-sdk/wit",
    imports: {
        "argus:plugin/state": async | trappable,
        "argus:plugin/http": async | trappable,
        "argus:plugin/connector": async | trappable,
        "argus:plugin/model": async | trappable,
        "argus:plugin/metrics": async | trappable,
        "argus:plugin/incidents": async | trappable,
        default: trappable,
    },
    with: {
        "argus:plugin/connector.cursor": crate::interfaces::connector::OpenCursor,
        "argus:plugin/model.window": crate::interfaces::model::Window,
    },
});

/// The worlds of the kinds, each with its export.
macro_rules! kind {
    ($module:ident, $world:literal) => {
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                world: $world,
                path: "../../plugin-sdk/wit",
                imports: { default: async | trappable },
                exports: { default: async },
                with: { "argus:plugin": crate::bindings::argus::plugin },
            });
        }
    };
}

kind!(sink, "argus:plugin/sink");
kind!(source, "argus:plugin/source");
kind!(explainer, "argus:plugin/explainer");
kind!(remediation, "argus:plugin/remediation");
kind!(investigator, "argus:plugin/investigator");
