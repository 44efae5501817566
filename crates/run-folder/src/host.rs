//! The name of this host.

use std::fs;

/// Returns the kernel's host name, or "unknown".
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
