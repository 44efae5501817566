//! GPUs and their driver, as listed by the PCI bus and NVIDIA's kernel module. Not yet checked on a host with several GPUs.

use std::fs;
use std::path::Path;

use super::facts::{Gpu, Nvidia};
use super::host::{names_in, word};

/// Reads the lists below `root`, which is `/` except in tests.
pub(crate) fn read(root: &Path) -> Nvidia {
    let bus = root.join("sys/bus/pci/devices");
    let driver = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok();
    let gpus = gpus(&root.join("proc/driver/nvidia/gpus"), &bus);
    Nvidia {
        on_the_bus: names_in(&bus).iter().filter(|address| is_gpu(&bus.join(address))).count(),
        driver: driver.as_deref().and_then(driver_version),
        device_problem: (!gpus.is_empty()).then(|| device_problem(root)).flatten(),
        gpus,
    }
}

/// Whether a PCI device is an NVIDIA display or 3D controller.
fn is_gpu(device: &Path) -> bool {
    let is = |file: &str, start: &str| word(device.join(file)).is_some_and(|it| it.starts_with(start));
    is("vendor", "0x10de") && is("class", "0x03")
}

/// The first word of the module's version line that looks like 580.65.06.
fn driver_version(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.') && word.len() >= 5
    };
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

fn gpus(listed: &Path, bus: &Path) -> Vec<Gpu> {
    let gpu = |address: String| {
        let information = fs::read_to_string(listed.join(&address).join("information")).unwrap_or_default();
        let model = information.lines().find_map(|line| line.strip_prefix("Model:"));
        // The bus lists addresses in lower case, and node -1 if there is only one.
        let node = word(bus.join(address.to_lowercase()).join("numa_node"));
        Gpu {
            model: model.unwrap_or("unknown").trim().to_owned(),
            numa_node: node.and_then(|node| node.parse().ok()),
            pci_bus_id: address,
        }
    };
    names_in(listed).into_iter().map(gpu).collect()
}

/// Checks the driver's control device: a container without access to the GPUs sees the driver's lists, but no device files.
fn device_problem(root: &Path) -> Option<String> {
    let path = root.join("dev/nvidiactl");
    let opened = fs::File::options().read(true).write(true).open(&path);
    opened.err().map(|error| format!("cannot open {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_versions_are_parsed() {
        for (text, expected) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
                "535.104.05",
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version:  gcc version 12.2.0",
                "580.65.06",
            ),
        ] {
            assert_eq!(driver_version(text).as_deref(), Some(expected));
        }
        assert_eq!(driver_version("something else"), None);
    }

    /// The lists of a host with two GPUs and a network card, as the kernel's and the driver's documentation have them.
    #[test]
    fn gpus_are_listed_with_their_numa_nodes() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(read(root.path()), Nvidia::default());
        for (address, class, vendor, node) in [
            ("0000:17:00.0", "0x030200", "0x10de", "0"),
            ("0000:ca:00.0", "0x030200", "0x10de", "1"),
            ("0000:ca:00.1", "0x040300", "0x10de", "1"),
            ("0000:31:00.0", "0x020000", "0x15b3", "-1"),
        ] {
            let device = format!("sys/bus/pci/devices/{address}");
            write(&format!("{device}/class"), class);
            write(&format!("{device}/vendor"), vendor);
            write(&format!("{device}/numa_node"), node);
        }
        let without = read(root.path());
        assert_eq!((without.on_the_bus, without.driver, without.gpus.len()), (2, None, 0));

        write(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat\n",
        );
        for address in ["0000:17:00.0", "0000:CA:00.0"] {
            let path = format!("proc/driver/nvidia/gpus/{address}/information");
            write(&path, "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 87\n");
        }
        let unusable = read(root.path());
        let nodes: Vec<_> = unusable.gpus.iter().map(|gpu| (&*gpu.model, gpu.numa_node)).collect();
        assert_eq!(nodes, [("NVIDIA H100 80GB HBM3", Some(0)), ("NVIDIA H100 80GB HBM3", Some(1))]);
        assert!(unusable.device_problem.unwrap().contains("dev/nvidiactl: No such file"));
        write("dev/nvidiactl", "");
        assert_eq!(read(root.path()).device_problem, None);
    }
}
