//! Settings of the C allocator, which libtorch uses for CPU tensors.

/// Makes the C allocator keep freed memory for the next step. By default glibc maps every large tensor anew, and the kernel
/// clears its pages at each step, which costs 10 % or more on a CPU. Call it first in `main`. Has no effect without glibc.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets parameters of the allocator before there are other threads.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
