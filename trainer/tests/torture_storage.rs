//! Kills, flipped bits and losses of power by the dozen, for minutes: only where REGATTA_TORTURE=1 asks for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use regatta_run_folder::checkpoint::newest_valid;

use test_jobs::{TINY, Workdir, any_below, torture_is_asked_for};

use crate::damage::{BUSY, flipped_bits, kills};
use crate::resume::check_equal;

#[test]
fn kills_of_one_rank() {
    if torture_is_asked_for() {
        kills(60, 150, 1);
    }
}

#[test]
fn kills_of_two_ranks() {
    if torture_is_asked_for() {
        kills(40, 100, 2);
    }
}

#[test]
fn flipped_bits_in_every_file() {
    if torture_is_asked_for() {
        flipped_bits(15, 1000);
    }
}

/// The run folder lies on an ext4 that is shut down without writing its journal, as a loss of power does; then it is
/// mounted again. Checkpoints that are there are whole, with all the metrics that they depend on, and the run comes to
/// the same bits.
#[test]
fn loss_of_power() {
    if !torture_is_asked_for() {
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
        let after = Duration::from_millis(any_below(2000));
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
    /// None where this machine does not allow it.
    fn make(folder: &Path) -> Option<Self> {
        let (image, mounted) = (folder.join("image"), folder.join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        let is_made = done("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]) && done("perl", &["-e", "1"]);
        let disk = Self { image, mounted };
        (is_made && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        done("mount", &["-o", "loop", self.image.to_str().unwrap(), self.mounted.to_str().unwrap()])
    }

    /// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: from now on nothing reaches the disk.
    fn lose_power(&mut self) {
        let script =
            "open(F, '<', $ARGV[0]) or die; my $flags = pack('L', 2); ioctl(F, 0x8004587d, $flags) or die $!";
        assert!(done("perl", &["-e", script, self.mounted.to_str().unwrap()]));
    }

    /// Replays the journal.
    fn mount_again(&mut self) {
        self.unmount();
        assert!(self.mount());
    }

    fn unmount(&self) -> bool {
        done("umount", &[self.mounted.to_str().unwrap()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Whether a command is there and ends well.
fn done(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
