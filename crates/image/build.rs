//! Compiles the C shim against the headers of the libjpeg that mozjpeg-sys built.

fn main() {
    let include = std::env::var_os("DEP_JPEG_INCLUDE").expect("mozjpeg-sys exports its include folders");
    cc::Build::new()
        .std("c11")
        .pic(true)
        .extra_warnings(true)
        .includes(std::env::split_paths(&include))
        .file("src/jpeg/shim.c")
        .compile("regatta_jpeg_shim");
    println!("cargo:rerun-if-changed=src/jpeg/shim.c");
}
