//! Dozens of kills, flipped bits and power losses, for minutes; they run only with REGATTA_TORTURE=1.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use regatta_run_folder::checkpoint::newest_valid;

use test_jobs::{TINY, Workdir, random_below, torture_is_requested};

use crate::damage::{BUSY, flipped_bits, kills};
use crate::resume::check_equal;

#[test]
fn kills_of_one_rank_do_not_change_the_result() {
    if torture_is_requested() {
        kills(60, 150, 1);
    }
}

#[test]
fn kills_of_two_ranks_do_not_change_the_result() {
    if torture_is_requested() {
        kills(40, 100, 2);
    }
}

#[test]
fn flipped_bits_in_every_file_are_detected() {
    if torture_is_requested() {
        flipped_bits(15, 1000);
    }
}

/// The run folder is on an ext4 file system that is shut down without writing its journal, as in a power loss, and mounted
/// again. All checkpoints must then be complete, with all the metrics that they depend on, and the run must reach the same
/// result bit for bit.
#[test]
fn a_loss_of_power_does_not_change_the_result() {
    if !torture_is_requested() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(mut disk) = Disk::make(folder.path()) else {
        println!("skipped: it needs root, mkfs.ext4, perl and a loop mount");
        return;
    };
    let workdir = Workdir::new(TINY);
    std::os::unix::fs::symlink(&disk.mounted, workdir.path().join("runs")).unwrap();
    let run = workdir.run("parts");
    let options = format!("{BUSY} train.epochs=150");
    for number in 0..25 {
        let mut running = workdir.train(&format!("--name parts --resume auto {options}")).start();
        running.wait_for_message("run folder");
        let after = Duration::from_millis(random_below(2000));
        std::thread::sleep(after);
        disk.lose_power();
        let ended = running.wait();
        assert!(!ended.stderr.contains("are missing") && !ended.stderr.contains("are not those"), "{ended}");
        assert!(matches!(ended.code, Some(0 | 6)), "{ended}");
        disk.mount_again();
        let (newest, damaged) = newest_valid(&run).unwrap();
        println!("loss {number} after {after:?}: {:?}", newest.map(|checkpoint| checkpoint.step()));
        assert_eq!(damaged, []);
        if ended.code == Some(0) {
            break;
        }
    }
    let ended = workdir.train(&format!("--name parts --resume auto {options}")).ends_with(0);
    assert!(!ended.stderr.contains("are missing"), "{ended}");
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    check_equal(&workdir, "whole", "parts");
}

/// A file system in a file, mounted; unmounted when dropped.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    /// Creates and mounts the file system; None if this machine does not allow it.
    fn make(folder: &Path) -> Option<Self> {
        let (image, mounted) = (folder.join("image"), folder.join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        let is_made =
            succeeds("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]) && succeeds("perl", &["-e", "1"]);
        let disk = Self { image, mounted };
        (is_made && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        succeeds("mount", &["-o", "loop", self.image.to_str().unwrap(), self.mounted.to_str().unwrap()])
    }

    /// Calls EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: from then on nothing reaches the disk.
    fn lose_power(&mut self) {
        let script =
            "open(F, '<', $ARGV[0]) or die; my $flags = pack('L', 2); ioctl(F, 0x8004587d, $flags) or die $!";
        assert!(succeeds("perl", &["-e", script, self.mounted.to_str().unwrap()]));
    }

    /// Mounts the file system again, which replays the journal.
    fn mount_again(&mut self) {
        self.unmount();
        assert!(self.mount());
    }

    fn unmount(&self) -> bool {
        succeeds("umount", &[self.mounted.to_str().unwrap()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Whether a command exists and succeeds.
fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
