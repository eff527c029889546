//! Writes libtorch's folder into this package's executables, so that running them needs no environment variable.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let lib_dir = std::env::var("DEP_ARGUS_TFT_LIBTORCH_LIB").expect(
        "argus-tft's build script exports libtorch_lib, and this package depends on it directly",
    );
    // The reasons for each are in models/tft/build.rs.
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib_dir}");
}
