//! What the macros of all kinds share.

/// Exports a plugin as a component and puts its manifest inside; natively, checks the same things.
#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    ($kind:literal, $trait:ident, $world:ident, $export:ident, $plugin:ty $(, $schema:expr)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::guest::Component<$plugin>;
            $crate::bindings::$world::$export!(Component with_types_in $crate::bindings::$world);

            const MANIFEST: $crate::manifest::Manifest = $crate::manifest::Manifest {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                kind: $kind,
                config_schema: [$($schema,)? "null"][0],
            };
            #[unsafe(link_section = "argus:manifest")]
            static SECTION: [u8; MANIFEST.len()] = MANIFEST.to_bytes();
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_a_plugin<P: $crate::$trait>() {}
            is_a_plugin::<$plugin>();
            // An unusable schema fails natively too.
            $(const _: &str = $schema;)?
        };
    };
}
