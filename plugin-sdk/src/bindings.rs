//! Generated from `wit/`: what the host offers, and one world per kind of plugin. Not for authors, except for the plain
//! records that other modules re-export.
//!
//! Types are generated once, in [`host`], and shared by the worlds. Off WebAssembly everything compiles too, so that
//! tests use the same types; the functions themselves would panic there and are never called.
#![expect(
    missing_docs,
    unsafe_code,
    clippy::allow_attributes,
    reason = "generated; the WIT is documented"
)]

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
    ($(#[$doc:meta])* $module:ident, $world:literal, $export:literal, $path:literal) => {
        $(#[$doc])*
        pub mod $module {
            wit_bindgen::generate!({
                world: $world,
                path: "wit",
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $path,
                additional_derives: [PartialEq],
                with: {
                    "argus:plugin/types@0.1.0": crate::bindings::host::types,
                    "argus:plugin/log@0.1.0": crate::bindings::host::log,
                    "argus:plugin/clock@0.1.0": crate::bindings::host::clock,
                    "argus:plugin/config@0.1.0": crate::bindings::host::config,
                    "argus:plugin/state@0.1.0": crate::bindings::host::state,
                    "argus:plugin/http@0.1.0": crate::bindings::host::http,
                    "argus:plugin/connector@0.1.0": crate::bindings::host::connector,
                    "argus:plugin/model@0.1.0": crate::bindings::host::model,
                    "argus:plugin/metrics@0.1.0": crate::bindings::host::metrics,
                    "argus:plugin/incidents@0.1.0": crate::bindings::host::incidents,
                },
            });
        }
    };
}

world!(
    /// World `sink`.
    sink, "sink", "export_sink", "argus_plugin::bindings::sink"
);
world!(
    /// World `source`.
    source, "source", "export_source", "argus_plugin::bindings::source"
);
world!(
    /// World `explainer`.
    explainer, "explainer", "export_explainer", "argus_plugin::bindings::explainer"
);
world!(
    /// World `remediation`.
    remediation, "remediation", "export_remediation", "argus_plugin::bindings::remediation"
);
world!(
    /// World `investigator`.
    investigator, "investigator", "export_investigator", "argus_plugin::bindings::investigator"
);
