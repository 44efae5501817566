//! Compiles the C++ shim against libtorch's headers and lets this crate's tests find libtorch.

use std::path::Path;

fn main() {
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys exports its library folder");
    let include = Path::new(&lib).parent().expect("libtorch/lib has a parent").join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/shim/shim.cpp")
        .file("src/shim/cuda_graph.cpp")
        .compile("regatta_torch_shim");
    println!("cargo:rerun-if-changed=src/shim");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
