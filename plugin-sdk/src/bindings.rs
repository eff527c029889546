//! Generated from `wit/`: what the host offers, and one world per kind of plugin. Not for authors, except for the plain
//! records that other modules re-export.
//!
//! Types are generated once, in [`host`], and shared by the worlds. Off WebAssembly everything compiles too, so that
//! tests use the same types; the functions themselves would panic there and are never called.

/// Everything that any kind of plugin may import.
pub mod host {
    wit_bindgen::generate!({
        inline: "
            package argus:sdk;

            world host {
                import argus:plugin/types@0.1.0;
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
        world: "argus:sdk/host",
        path: "wit",
        generate_all,
        additional_derives: [PartialEq],
    });
    pub use argus::plugin::*;
}

/// The world of one kind, with the host's types shared.
macro_rules! world {
    ($module:ident, $world:literal, $export:literal, $path:literal, { $($interface:literal: $shared:ident),* $(,)? }) => {
        #[doc = concat!("World `", $world, "`.")]
        pub mod $module {
            wit_bindgen::generate!({
                world: $world,
                path: "wit",
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $path,
                additional_derives: [PartialEq],
                with: { $($interface: crate::bindings::host::$shared),* },
            });
        }
    };
}

world!(sink, "sink", "export_sink", "argus_plugin::bindings::sink", {
    "argus:plugin/types@0.1.0": types,
    "argus:plugin/log@0.1.0": log,
    "argus:plugin/clock@0.1.0": clock,
    "argus:plugin/config@0.1.0": config,
    "argus:plugin/state@0.1.0": state,
    "argus:plugin/http@0.1.0": http,
});
world!(source, "source", "export_source", "argus_plugin::bindings::source", {
    "argus:plugin/types@0.1.0": types,
    "argus:plugin/log@0.1.0": log,
    "argus:plugin/clock@0.1.0": clock,
    "argus:plugin/config@0.1.0": config,
    "argus:plugin/state@0.1.0": state,
    "argus:plugin/http@0.1.0": http,
    "argus:plugin/connector@0.1.0": connector,
});
world!(explainer, "explainer", "export_explainer", "argus_plugin::bindings::explainer", {
    "argus:plugin/types@0.1.0": types,
    "argus:plugin/log@0.1.0": log,
    "argus:plugin/clock@0.1.0": clock,
    "argus:plugin/config@0.1.0": config,
    "argus:plugin/state@0.1.0": state,
    "argus:plugin/model@0.1.0": model,
    "argus:plugin/metrics@0.1.0": metrics,
    "argus:plugin/incidents@0.1.0": incidents,
});
world!(remediation, "remediation", "export_remediation", "argus_plugin::bindings::remediation", {
    "argus:plugin/types@0.1.0": types,
    "argus:plugin/log@0.1.0": log,
    "argus:plugin/clock@0.1.0": clock,
    "argus:plugin/config@0.1.0": config,
    "argus:plugin/state@0.1.0": state,
    "argus:plugin/http@0.1.0": http,
    "argus:plugin/incidents@0.1.0": incidents,
});
world!(investigator, "investigator", "export_investigator", "argus_plugin::bindings::investigator", {
    "argus:plugin/types@0.1.0": types,
    "argus:plugin/log@0.1.0": log,
    "argus:plugin/clock@0.1.0": clock,
    "argus:plugin/config@0.1.0": config,
    "argus:plugin/state@0.1.0": state,
    "argus:plugin/http@0.1.0": http,
    "argus:plugin/metrics@0.1.0": metrics,
    "argus:plugin/incidents@0.1.0": incidents,
    "argus:plugin/model@0.1.0": model,
});
