//! GPUs, their driver, and the ranks that want one each. Not yet compared with a host that has some.

use regatta_settings::Device;

use super::super::facts::{Facts, HostFacts, Nvidia};
use super::Finding;
use super::Severity::{CannotStart, Note, Warning};

/// The oldest driver for a major version of CUDA (NVIDIA, "CUDA Compatibility", minor version compatibility).
const OLDEST_DRIVERS: [(u32, u32); 3] = [(11, 450), (12, 525), (13, 580)];

/// What is found on `host`.
pub(super) fn check(host: &HostFacts, facts: &Facts, found: &mut Vec<Finding>) {
    match (facts.job.device, host.nvidia.gpus.is_empty()) {
        (Device::Cpu, _) => {}
        (device, true) => found.push(without_gpus(&host.nvidia, device == Device::Cuda)),
        (_, false) => found.extend(with_gpus(host, facts)),
    }
}

fn without_gpus(nvidia: &Nvidia, is_asked_for: bool) -> Finding {
    let on_cpus = "ranks compute on CPUs";
    let severity = if is_asked_for { CannotStart } else { Warning };
    match nvidia {
        Nvidia { on_the_bus: 1.., driver: None, .. } => {
            let there = nvidia.on_the_bus;
            let found = format!("{there} NVIDIA GPUs on the PCI bus, but no driver is loaded");
            Finding::new(
                severity,
                found,
                "install or load the driver (modprobe nvidia); until then there is no CUDA",
            )
        }
        Nvidia { driver: Some(driver), .. } => {
            let found = format!("driver {driver} is loaded, but lists no GPU");
            Finding::new(
                severity,
                found,
                "see dmesg and nvidia-smi; in a container, ask for GPUs (--gpus all)",
            )
        }
        _ if is_asked_for => Finding::new(
            CannotStart,
            "no GPU, and train.device is \"cuda\"",
            "set it to \"auto\" or \"cpu\", or choose another host",
        ),
        _ => Finding::new(Note, "no GPU", on_cpus),
    }
}

fn with_gpus(host: &HostFacts, facts: &Facts) -> Vec<Finding> {
    let (nvidia, there, ranks) = (&host.nvidia, host.nvidia.gpus.len(), facts.job.ranks_per_host);
    let mut found = Vec::new();
    if let Some(problem) = &nvidia.device_problem {
        let remedy =
            "in a container, ask for GPUs (--gpus all); else see the file's permissions and nvidia-modprobe";
        found.push(Finding::new(
            CannotStart,
            format!("the driver lists GPUs that cannot be used: {problem}"),
            remedy,
        ));
    }
    if ranks > there {
        let what = format!("{ranks} ranks, but {there} GPUs");
        found.push(Finding::new(
            CannotStart,
            what,
            "start at most one rank for each GPU, or train.device = \"cpu\"",
        ));
    }
    found.extend(old_driver(nvidia, facts.trainer.cuda_major));
    // The probe ran on the ranks of all hosts; its rank 0 is on the first.
    let is_first = facts.hosts.first().is_some_and(|first| first.name == host.name);
    if is_first && facts.probe.as_ref().is_some_and(|probe| probe.device == "cpu") {
        let remedy = "see CUDA_VISIBLE_DEVICES, and that the trainer's libtorch is one for CUDA (libtorch_cuda.so beside libtorch_cpu.so)";
        found.push(Finding::new(CannotStart, "the driver lists GPUs, but the trainer finds none", remedy));
    }
    found
}

fn old_driver(nvidia: &Nvidia, cuda_major: Option<u32>) -> Option<Finding> {
    let driver = nvidia.driver.as_deref()?;
    let major: u32 = driver.split('.').next()?.parse().ok()?;
    let (cuda, oldest) = OLDEST_DRIVERS.into_iter().find(|(cuda, _)| Some(*cuda) == cuda_major)?;
    (major < oldest).then(|| {
        let what = format!("driver {driver} is older than CUDA {cuda} needs");
        let remedy = format!("driver {oldest} or newer, or a trainer with a libtorch for an older CUDA");
        Finding::new(CannotStart, what, remedy)
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::super::testing;
    use super::super::tests::found;
    use super::*;

    fn check_gpus(change: impl FnOnce(&mut Facts), expected: Expect) {
        expected.assert_eq(&found(testing::facts_with_gpus(), change));
    }

    #[test]
    fn no_gpu_is_as_bad_as_it_was_asked_for() {
        let check = |device, change: fn(&mut Nvidia), expected: Expect| {
            let change = |facts: &mut Facts| {
                facts.job.device = device;
                change(&mut facts.hosts[0].nvidia);
            };
            expected.assert_eq(&found(testing::facts(), change));
        };
        check(Device::Cpu, |_| {}, expect![""]);
        check(
            Device::Auto,
            |_| {},
            expect![[r#"
            note: node1: no GPU: ranks compute on CPUs
        "#]],
        );
        check(
            Device::Cuda,
            |_| {},
            expect![[r#"
            cannot start: node1: no GPU, and train.device is "cuda": set it to "auto" or "cpu", or choose another host
        "#]],
        );
        check(
            Device::Auto,
            |nvidia| nvidia.on_the_bus = 8,
            expect![[r#"
            warning: node1: 8 NVIDIA GPUs on the PCI bus, but no driver is loaded: install or load the driver (modprobe nvidia); until then there is no CUDA
        "#]],
        );
        check(
            Device::Cuda,
            |nvidia| nvidia.driver = Some("580.65.06".into()),
            expect![[r#"
            cannot start: node1: driver 580.65.06 is loaded, but lists no GPU: see dmesg and nvidia-smi; in a container, ask for GPUs (--gpus all)
        "#]],
        );
    }

    #[test]
    fn a_driver_may_be_there_and_unusable() {
        check_gpus(
            |facts| {
                facts.hosts[0].nvidia.device_problem =
                    Some("cannot open /dev/nvidiactl: No such file or directory (os error 2)".into());
            },
            expect![[r#"
                cannot start: node1: the driver lists GPUs that cannot be used: cannot open /dev/nvidiactl: No such file or directory (os error 2): in a container, ask for GPUs (--gpus all); else see the file's permissions and nvidia-modprobe
            "#]],
        );
        check_gpus(
            |facts| facts.probe.as_mut().unwrap().device = "cpu".into(),
            expect![[r#"
                cannot start: node1: the driver lists GPUs, but the trainer finds none: see CUDA_VISIBLE_DEVICES, and that the trainer's libtorch is one for CUDA (libtorch_cuda.so beside libtorch_cpu.so)
            "#]],
        );
        check_gpus(
            |facts| facts.hosts[0].nvidia.driver = Some("535.104.05".into()),
            expect![[r#"
                cannot start: node1: driver 535.104.05 is older than CUDA 13 needs: driver 580 or newer, or a trainer with a libtorch for an older CUDA
            "#]],
        );
    }

    #[test]
    fn ranks_want_a_gpu_each() {
        check_gpus(
            |facts| facts.job.ranks_per_host = 4,
            expect![[r#"
                cannot start: node1: 4 ranks, but 2 GPUs: start at most one rank for each GPU, or train.device = "cpu"
            "#]],
        );
        check_gpus(
            |facts| {
                facts.job.ranks_per_host = 4;
                facts.job.device = Device::Cpu;
            },
            expect![""],
        );
    }
}
