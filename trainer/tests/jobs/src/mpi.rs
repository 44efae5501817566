//! How tests start MPI ranks: more ranks than cores, and without the launcher's variables of the tests' own environment.

use std::path::PathBuf;
use std::process::Command;

/// Prefixes of variables of launchers, recipes and the log, which tests must not inherit.
const SCRUBBED: [&str; 9] =
    ["OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "SBATCH_", "REGATTA__", "RUST_LOG", "OMP_NUM_THREADS"];

/// Removes those inherited variables from a command.
pub fn scrub(command: &mut Command) {
    let inherited = std::env::vars_os().map(|(name, _)| name);
    let is_scrubbed =
        |name: &std::ffi::OsString| SCRUBBED.iter().any(|prefix| name.to_string_lossy().starts_with(prefix));
    for name in inherited.filter(is_scrubbed) {
        command.env_remove(name);
    }
}

/// Settings that allow more ranks than cores, unbound, which yield the core while they wait, and allow root in a container.
pub fn mpi_settings() -> [(&'static str, &'static str); 6] {
    [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ("OMPI_MCA_mpi_yield_when_idle", "1"),
    ]
}

/// The mpirun that `MPIRUN` names, else the one on the path, else the one that `scripts/setup.sh` installs in the checkout.
pub fn mpirun() -> PathBuf {
    let named = std::env::var_os("MPIRUN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        || std::env::split_paths(&path).map(|folder| folder.join("mpirun")).find(|file| file.is_file());
    let in_checkout = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../.venv/bin/mpirun"));
    named.or_else(on_path).unwrap_or_else(in_checkout)
}
