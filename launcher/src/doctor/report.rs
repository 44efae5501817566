//! The facts as text: the job, each host, and the measurements.

use std::fmt::Write;

use regatta_run_folder::{GpuFacts, ProbeReport};

use super::facts::{Facts, HostFacts, Interface, Limit};
use super::findings::size;

/// Formats the facts as a table.
pub(crate) fn table(facts: &Facts) -> String {
    let mut rows = vec![("job", job(facts)), ("trainer", trainer(facts))];
    for host in &facts.hosts {
        rows.push(("host", of_host(host)));
        rows.extend(gpu_map(host, facts).into_iter().map(|line| ("gpu", line)));
        rows.push(("network", network(host)));
        rows.push(("limits", limits(host)));
        rows.push(("storage", storage(host)));
        rows.extend(host.data.as_ref().map(|data| {
            let names: Vec<_> =
                data.files.iter().map(|file| format!("{} {}", file.name, size(file.bytes))).collect();
            ("data", format!("{}: {}", data.folder.display(), names.join(", ")))
        }));
    }
    rows.extend(facts.probe.iter().flat_map(measured));
    rows.iter().fold(String::new(), |mut text, (name, line)| {
        _ = writeln!(text, "{name:<9}{line}");
        text
    })
}

fn job(facts: &Facts) -> String {
    let job = &facts.job;
    let plural = if job.ranks == 1 { "" } else { "s" };
    let checkpoints =
        job.checkpoints_bytes.map_or_else(String::new, |bytes| format!(", {} of checkpoints", size(bytes)));
    format!("{} rank{plural}, at most {} a host{checkpoints}", job.ranks, job.ranks_per_host)
}

fn trainer(facts: &Facts) -> String {
    let trainer = &facts.trainer;
    let measured = facts.probe.as_ref().and_then(|probe| probe.libtorch_version.clone());
    let torch =
        measured.or_else(|| trainer.libtorch_version.clone()).map(|version| format!("libtorch {version}"));
    let cuda = trainer.cuda_major.map(|major| format!("CUDA {major}"));
    let nccl = facts.probe.as_ref().and_then(|probe| probe.nccl.as_ref());
    let nccl = nccl.map(|it| format!("NCCL {} ({})", it.version, it.path.display()));
    let mpi = trainer.mpi.as_ref().map(|path| path.display().to_string());
    let mpirun = facts.mpirun.as_ref().map(|it| format!("{} is {}", it.path.display(), it.version));
    let parts: Vec<_> = [torch, cuda, nccl, mpi, mpirun].into_iter().flatten().collect();
    format!("{}: {}", trainer.path.display(), parts.join(", "))
}

fn of_host(host: &HostFacts) -> String {
    let gpus = match host.nvidia.gpus.len() {
        0 => "no GPU".to_owned(),
        count => format!("{count} GPUs"),
    };
    let driver = host.nvidia.driver.as_ref().map_or_else(String::new, |driver| format!(", driver {driver}"));
    format!("{}: {} cores, {gpus}{driver}", host.name, host.cores)
}

/// One line for each GPU with its rank: as the ranks reported it, or else the one whose local rank is the GPU's number.
fn gpu_map(host: &HostFacts, facts: &Facts) -> Vec<String> {
    let reported = facts.probe.iter().flat_map(|probe| &probe.ranks).filter(|rank| rank.host == host.name);
    let reported: Vec<_> =
        reported.filter_map(|rank| Some((rank.rank, rank.gpu_pci_bus_id.as_ref()?))).collect();
    let line = |(number, gpu): (usize, &super::facts::Gpu)| {
        let node =
            gpu.numa_node.map_or_else(|| "NUMA node unknown".into(), |node| format!("NUMA node {node}"));
        let is_this_gpu = |(_, address): &&(usize, &String)| address.eq_ignore_ascii_case(&gpu.pci_bus_id);
        let rank = match reported.iter().find(is_this_gpu) {
            Some((rank, _)) => format!("rank {rank}"),
            None if reported.is_empty() && number < facts.job.ranks_per_host => {
                format!("local rank {number}")
            }
            None => "no rank".to_owned(),
        };
        format!("{rank} on GPU {number}, {} at {}, {node}", gpu.model, gpu.pci_bus_id)
    };
    host.nvidia.gpus.iter().enumerate().map(line).collect()
}

fn network(host: &HostFacts) -> String {
    let line = |Interface { name, is_up, megabit_per_second }: &Interface| {
        let state = if *is_up { "up" } else { "down" };
        let speed = megabit_per_second.map_or_else(String::new, |speed| format!(", {speed} Mbit/s"));
        format!("{name} ({state}{speed})")
    };
    let ethernet = host.interfaces.iter().map(line);
    let all: Vec<_> =
        ethernet.chain(host.infiniband.iter().map(|name| format!("{name} (InfiniBand)"))).collect();
    if all.is_empty() { "only the loopback".into() } else { all.join(", ") }
}

fn limits(host: &HostFacts) -> String {
    let soft = |limit: Limit, shown: fn(u64) -> String| limit.soft.map_or_else(|| "unlimited".into(), shown);
    let shared = host.shared_memory.map_or_else(|| "none".into(), |space| size(space.free_bytes));
    let files = soft(host.open_files, |count| count.to_string());
    let locked = soft(host.locked_memory_bytes, size);
    format!("/dev/shm {shared} free, open files {files}, locked memory {locked}")
}

fn storage(host: &HostFacts) -> String {
    let folder = &host.run_folder;
    let free = folder.space.map_or_else(|| "unknown".into(), |space| size(space.free_bytes));
    let speed =
        folder.written_mib_per_second.map_or_else(String::new, |it| format!(", {it:.0} MiB/s written"));
    format!("{}: {free} free{speed}", folder.path.display())
}

fn measured(probe: &ProbeReport) -> Vec<(&'static str, String)> {
    let ProbeReport { world_size, backend, device, threads, .. } = probe;
    let mut rows = vec![("ranks", format!("{world_size} over {backend}, {device}, {threads} threads each"))];
    rows.extend(probe.all_reduce.iter().map(|sum| {
        let wrong = if sum.correct { "" } else { "  WRONG" };
        let line = format!(
            "{:>10} bytes in {:>9.1} us, {:.2} GB/s{wrong}",
            sum.bytes, sum.microseconds, sum.bus_gb_per_second
        );
        ("sum", line)
    }));
    rows.extend(sensors(&probe.gpu).map(|line| ("sensors", format!("rank 0's GPU: {line}"))));
    rows.extend(
        probe
            .loader_images_per_second
            .map(|rate| ("loader", format!("{rate:.0} images/s on all ranks together"))),
    );
    rows
}

/// Describes what a GPU measures of itself, if it does.
fn sensors(gpu: &GpuFacts) -> Option<String> {
    let part = |value: Option<f64>, unit: &str| value.map(|value| format!("{value:.0} {unit}"));
    let parts = [
        part(gpu.gpu_utilization.map(|share| 100.0 * share), "% busy"),
        part(gpu.gpu_memory_mib, "MiB in use"),
        part(gpu.gpu_power_w, "W"),
        part(gpu.gpu_temperature_c, "degrees Celsius"),
        part(gpu.gpu_clock_mhz, "MHz"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::testing;
    use super::*;

    #[test]
    fn a_job_on_two_gpus() {
        let mut facts = testing::facts_with_gpus();
        expect![[r#"
            job      2 ranks, at most 2 a host, 100.0 MiB of checkpoints
            trainer  /opt/regatta/trainer: libtorch 2.11.0+cu130, CUDA 13, /usr/lib/libmpi.so.40, /usr/bin/mpirun is mpirun (Open MPI) 4.1.4
            host     node1: 4 cores, 2 GPUs, driver 580.65.06
            gpu      local rank 0 on GPU 0, NVIDIA H100 80GB HBM3 at 0000:17:00.0, NUMA node 0
            gpu      local rank 1 on GPU 1, NVIDIA H100 80GB HBM3 at 0000:ca:00.0, NUMA node 1
            network  only the loopback
            limits   /dev/shm 8.0 GiB free, open files 65536, locked memory 8.0 MiB
            storage  runs: 50.0 GiB free, 500 MiB/s written
            ranks    2 over NCCL 2.28.9, cuda:0, 2 threads each
            sum         1048576 bytes in     400.0 us, 2.60 GB/s
        "#]]
        .assert_eq(&table(&facts));

        // What the ranks tell themselves, where the trainer does.
        let probe = facts.probe.as_mut().unwrap();
        probe.ranks = vec![testing::probed_rank(0, "node1", Some("0000:CA:00.0"), None)];
        probe.loader_images_per_second = Some(5123.4);
        probe.gpu = GpuFacts { gpu_utilization: Some(0.97), gpu_power_w: Some(412.6), ..GpuFacts::default() };
        let text = table(&facts);
        assert!(
            text.contains("gpu      rank 0 on GPU 1, ") && text.contains("gpu      no rank on GPU 0, "),
            "{text}"
        );
        assert!(text.ends_with("loader   5123 images/s on all ranks together\n"), "{text}");
    }
}
