//! How the C allocator, from which libtorch takes CPU tensors, treats large blocks.

/// Lets the C allocator keep freed memory for the next step. By default glibc maps every large tensor anew and the kernel
/// clears its pages again at each step, which costs a CPU run 10 % and more. Call it first in `main`; without glibc it
/// does nothing.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets parameters of the allocator, before there are other threads.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
