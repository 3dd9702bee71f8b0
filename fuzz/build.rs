//! Compiles the properties in, with `cargo fuzz` and without.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=fuzzing");
}
