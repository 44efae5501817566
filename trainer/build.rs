//! Lets the binary find libtorch at run time.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys exports its library folder");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
