//! The run folder: free space, and the speed of durable writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::facts::{Space, Storage};

/// Most bytes to write.
const BYTES: usize = 64 << 20;
/// Bytes of a single write.
const CHUNK: usize = 4 << 20;
/// Time after which no further chunk is written.
const LIMIT: Duration = Duration::from_secs(2);

/// Measures `folder`, or its nearest existing ancestor if it does not exist yet.
pub(crate) fn inspect(folder: &Path) -> Storage {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let measured = write_speed(existing);
    let problem =
        measured.as_ref().err().map(|error| format!("cannot write in {}: {error}", existing.display()));
    Storage {
        path: folder.to_owned(),
        space: space_of(existing).ok(),
        written_mib_per_second: measured.ok(),
        problem,
    }
}

/// Returns the size of the file system of `path` and the space that is free for users other than root.
///
/// # Errors
/// If the file system cannot be queried.
pub(crate) fn space_of(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space { total_bytes: found.f_blocks * found.f_frsize, free_bytes: found.f_bavail * found.f_frsize })
}

/// Writes a temporary file and returns MiB/s, including the time to make it durable.
fn write_speed(folder: &Path) -> io::Result<f64> {
    let path = folder.join(format!(".launcher-doctor-{}", std::process::id()));
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let written = fill(&mut file);
    fs::remove_file(&path)?;
    written
}

fn fill(file: &mut File) -> io::Result<f64> {
    // Not all zeros, which a file system may store as a hole.
    let chunk: Vec<u8> = (0..CHUNK).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let (begin, mut written) = (Instant::now(), 0);
    while written < BYTES && begin.elapsed() < LIMIT {
        file.write_all(&chunk)?;
        file.sync_data()?;
        written += CHUNK;
    }
    Ok(written as f64 / f64::from(1 << 20) / begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_measured_above_and_left_clean() {
        let folder = tempfile::tempdir().unwrap();
        let found = inspect(&folder.path().join("runs/x"));
        assert_eq!(found.problem, None);
        assert!(found.written_mib_per_second.unwrap() > 0.0);
        let Space { total_bytes, free_bytes } = found.space.unwrap();
        assert!(0 < free_bytes && free_bytes < total_bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_writable_is_a_problem() {
        let found = inspect(Path::new("/proc/nothing/runs"));
        assert!(found.problem.unwrap().starts_with("cannot write in /proc: "));
        assert_eq!(found.written_mib_per_second, None);
    }
}
