//! Facts of a job that can start, for tests to modify.

use regatta_run_folder::{ProbeReport, ProbedRank, TimedSum};
use regatta_settings::Device;

use super::facts::{Facts, Gpu, HostFacts, JobFacts, Limit, Mpirun, Nvidia, Space, Storage, Trainer};

/// Two ranks on the CPUs of one host.
pub(crate) fn facts() -> Facts {
    let sum = TimedSum { bytes: 1 << 20, correct: true, microseconds: 400.0, bus_gb_per_second: 2.6 };
    Facts {
        job: JobFacts {
            ranks: 2,
            ranks_per_host: 2,
            device: Device::Auto,
            checkpoints_bytes: Some(100 << 20),
        },
        hosts: vec![host("node1")],
        hosts_problem: None,
        trainer: Trainer {
            path: "/opt/regatta/trainer".into(),
            libtorch: Some("/opt/torch/lib/libtorch_cpu.so".into()),
            libtorch_version: Some("2.11.0+cu130".into()),
            mpi: Some("/usr/lib/libmpi.so.40".into()),
            cuda_major: Some(13),
            missing_libraries: Vec::new(),
        },
        mpirun: Some(Mpirun { path: "/usr/bin/mpirun".into(), version: "mpirun (Open MPI) 4.1.4".into() }),
        mpirun_problem: None,
        probe: Some(ProbeReport {
            version: "0.1.0".into(),
            world_size: 2,
            backend: "Open MPI v4.1.4".into(),
            device: "cpu".into(),
            threads: 2,
            all_reduce: vec![sum],
            ..ProbeReport::default()
        }),
        probe_problem: None,
    }
}

/// A host without GPUs and without problems.
pub(crate) fn host(name: &str) -> HostFacts {
    HostFacts {
        name: name.to_owned(),
        clock_ns: 0,
        clock_apart_s: 0.0,
        cores: 4,
        nvidia: Nvidia::default(),
        interfaces: Vec::new(),
        infiniband: Vec::new(),
        shared_memory: Some(Space { total_bytes: 8 << 30, free_bytes: 8 << 30 }),
        open_files: Limit { soft: Some(65_536), hard: Some(65_536) },
        locked_memory_bytes: Limit { soft: Some(8 << 20), hard: Some(8 << 20) },
        run_folder: Storage {
            path: "runs".into(),
            space: Some(Space { total_bytes: 100 << 30, free_bytes: 50 << 30 }),
            written_mib_per_second: Some(500.0),
            problem: None,
        },
        data: None,
    }
}

/// A rank's entry in the probe's report.
pub(crate) fn probed_rank(rank: usize, host: &str, gpu: Option<&str>, clock_s: Option<f64>) -> ProbedRank {
    let gpu_pci_bus_id = gpu.map(str::to_owned);
    ProbedRank { rank, host: host.to_owned(), device: String::new(), gpu_pci_bus_id, threads: 2, clock_s }
}

/// The same job on two GPUs.
pub(crate) fn facts_with_gpus() -> Facts {
    let mut facts = facts();
    facts.hosts[0].nvidia = gpus();
    if let Some(probe) = &mut facts.probe {
        probe.device = "cuda:0".into();
        probe.backend = "NCCL 2.28.9".into();
    }
    facts
}

fn gpus() -> Nvidia {
    let gpu = |(pci_bus_id, node): (&str, u32)| Gpu {
        pci_bus_id: pci_bus_id.into(),
        model: "NVIDIA H100 80GB HBM3".into(),
        numa_node: Some(node),
    };
    Nvidia {
        on_the_bus: 2,
        driver: Some("580.65.06".into()),
        gpus: [("0000:17:00.0", 0), ("0000:ca:00.0", 1)].map(gpu).into(),
        device_problem: None,
    }
}
