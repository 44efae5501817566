//! Checks of GPUs and their driver against the ranks. Not yet checked on a host with several GPUs.

use regatta_settings::Device;

use super::super::facts::{Facts, HostFacts, Nvidia};
use super::Finding;
use super::Severity::{CannotStart, Note, Warning};

/// Major version of CUDA, and its oldest driver (NVIDIA, "CUDA Compatibility", minor version compatibility).
const OLDEST_DRIVERS: [(u32, u32); 3] = [(11, 450), (12, 525), (13, 580)];

/// Returns the findings on `host`.
pub(super) fn check(host: &HostFacts, facts: &Facts) -> Vec<Finding> {
    match (facts.job.device, host.nvidia.gpus.is_empty()) {
        (Device::Cpu, _) => Vec::new(),
        (device, true) => vec![without_gpus(&host.nvidia, device == Device::Cuda)],
        (_, false) => with_gpus(host, facts),
    }
}

fn without_gpus(nvidia: &Nvidia, is_required: bool) -> Finding {
    let severity = if is_required { CannotStart } else { Warning };
    match nvidia {
        Nvidia { on_the_bus: 1.., driver: None, .. } => {
            let found = format!("{} NVIDIA GPUs on the PCI bus, but no driver is loaded", nvidia.on_the_bus);
            severity.of(found, "install or load the driver (modprobe nvidia); until then there is no CUDA")
        }
        Nvidia { driver: Some(driver), .. } => {
            let found = format!("driver {driver} is loaded, but lists no GPU");
            severity.of(found, "see dmesg and nvidia-smi; in a container, ask for GPUs (--gpus all)")
        }
        _ if is_required => {
            let remedy = "set it to \"auto\" or \"cpu\", or choose another host";
            CannotStart.of("no GPU, and train.device is \"cuda\"", remedy)
        }
        _ => Note.of("no GPU", "ranks compute on CPUs"),
    }
}

fn with_gpus(host: &HostFacts, facts: &Facts) -> Vec<Finding> {
    let (gpus, ranks) = (host.nvidia.gpus.len(), facts.job.ranks_per_host);
    // The probe's device is that of rank 0, which is on the first host.
    let is_first = facts.hosts.first().is_some_and(|first| first.name == host.name);
    let is_on_cpus = is_first && facts.probe.as_ref().is_some_and(|probe| probe.device == "cpu");
    let unusable = host.nvidia.device_problem.as_ref().map(|problem| {
        let found = format!("the driver lists GPUs that cannot be used: {problem}");
        let remedy =
            "in a container, ask for GPUs (--gpus all); else see the file's permissions and nvidia-modprobe";
        CannotStart.of(found, remedy)
    });
    let too_few = (ranks > gpus).then(|| {
        let remedy = "start at most one rank for each GPU, or train.device = \"cpu\"";
        CannotStart.of(format!("{ranks} ranks, but {gpus} GPUs"), remedy)
    });
    let not_found = is_on_cpus.then(|| {
        let remedy = "see CUDA_VISIBLE_DEVICES, and that the trainer's libtorch is one for CUDA (libtorch_cuda.so beside libtorch_cpu.so)";
        CannotStart.of("the driver lists GPUs, but the trainer finds none", remedy)
    });
    let old_driver = old_driver(&host.nvidia, facts.trainer.cuda_major);
    [unusable, too_few, old_driver, not_found].into_iter().flatten().collect()
}

fn old_driver(nvidia: &Nvidia, cuda_major: Option<u32>) -> Option<Finding> {
    let driver = nvidia.driver.as_deref()?;
    let major: u32 = driver.split('.').next()?.parse().ok()?;
    let (cuda, oldest) = OLDEST_DRIVERS.into_iter().find(|(cuda, _)| Some(*cuda) == cuda_major)?;
    (major < oldest).then(|| {
        let what = format!("driver {driver} is older than CUDA {cuda} needs");
        let remedy = format!("driver {oldest} or newer, or a trainer with a libtorch for an older CUDA");
        CannotStart.of(what, remedy)
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
    fn a_missing_gpu_is_as_bad_as_the_recipe_requires() {
        let check = |device, change: fn(&mut Nvidia), expected: Expect| {
            let change = |facts: &mut Facts| {
                facts.job.device = device;
                change(&mut facts.hosts[0].nvidia);
            };
            expected.assert_eq(&found(testing::facts(), change));
        };
        check(Device::Cpu, |_| {}, expect![""]);
        check(Device::Auto, |_| {}, expect!["note: node1: no GPU: ranks compute on CPUs"]);
        check(
            Device::Cuda,
            |_| {},
            expect![
                "cannot start: node1: no GPU, and train.device is \"cuda\": set it to \"auto\" or \"cpu\", or choose another host"
            ],
        );
        check(
            Device::Auto,
            |nvidia| nvidia.on_the_bus = 8,
            expect![
                "warning: node1: 8 NVIDIA GPUs on the PCI bus, but no driver is loaded: install or load the driver (modprobe nvidia); until then there is no CUDA"
            ],
        );
        check(
            Device::Cuda,
            |nvidia| nvidia.driver = Some("580.65.06".into()),
            expect![
                "cannot start: node1: driver 580.65.06 is loaded, but lists no GPU: see dmesg and nvidia-smi; in a container, ask for GPUs (--gpus all)"
            ],
        );
    }

    #[test]
    fn a_driver_may_be_there_and_unusable() {
        check_gpus(
            |facts| {
                facts.hosts[0].nvidia.device_problem =
                    Some("cannot open /dev/nvidiactl: No such file or directory (os error 2)".into());
            },
            expect![
                "cannot start: node1: the driver lists GPUs that cannot be used: cannot open /dev/nvidiactl: No such file or directory (os error 2): in a container, ask for GPUs (--gpus all); else see the file's permissions and nvidia-modprobe"
            ],
        );
        check_gpus(
            |facts| facts.probe.as_mut().unwrap().device = "cpu".into(),
            expect![
                "cannot start: node1: the driver lists GPUs, but the trainer finds none: see CUDA_VISIBLE_DEVICES, and that the trainer's libtorch is one for CUDA (libtorch_cuda.so beside libtorch_cpu.so)"
            ],
        );
        check_gpus(
            |facts| facts.hosts[0].nvidia.driver = Some("535.104.05".into()),
            expect![
                "cannot start: node1: driver 535.104.05 is older than CUDA 13 needs: driver 580 or newer, or a trainer with a libtorch for an older CUDA"
            ],
        );
    }

    #[test]
    fn ranks_want_a_gpu_each() {
        check_gpus(
            |facts| facts.job.ranks_per_host = 4,
            expect![
                "cannot start: node1: 4 ranks, but 2 GPUs: start at most one rank for each GPU, or train.device = \"cpu\""
            ],
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
