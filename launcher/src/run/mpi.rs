//! The program that starts ranks: identifies the mpirun, or uses srun.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::failure::Usage;

/// The value of `--via`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// The mpirun of the MPI library
    Mpirun,
    /// Slurm's srun; needs PMIx
    Srun,
}

/// A program that starts ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Starter {
    pub(crate) program: PathBuf,
    pub(crate) kind: Kind,
}

/// Which program's options a starter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Open MPI's mpirun up to version 4.
    OpenMpi4,
    /// Open MPI's mpirun from version 5 on, which is PRRTE's prterun.
    OpenMpi5,
    /// MPICH's mpiexec (Hydra) and Intel MPI's.
    Mpich,
    /// Slurm's srun.
    Srun,
}

impl Starter {
    /// Returns the mpirun named on the command line, or by `MPIRUN`, or the one on the path, in this order.
    ///
    /// # Errors
    /// If it cannot be started, or is neither Open MPI's nor MPICH's.
    pub(crate) fn mpirun(named: Option<&Path>) -> Result<Self> {
        let variable = std::env::var_os("MPIRUN").map(PathBuf::from);
        let program = named.map(Path::to_owned).or(variable).unwrap_or_else(|| "mpirun".into());
        let output = Command::new(&program).arg("--version").output().map_err(|error| {
            Usage(format!(
                "cannot start {}: {error}: install an MPI, or name its mpirun with --mpirun or MPIRUN",
                program.display()
            ))
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let kind = Kind::of_version(&text).ok_or_else(|| {
            let first = text.lines().next().unwrap_or("nothing").to_owned();
            Usage(format!(
                "{} --version says \"{first}\": neither Open MPI nor MPICH; start the ranks without the launcher",
                program.display()
            ))
        })?;
        Ok(Self { program, kind })
    }

    /// Slurm's srun.
    pub(crate) fn srun() -> Self {
        Self { program: "srun".into(), kind: Kind::Srun }
    }
}

/// Whether neither ssh nor rsh is on the path and the user configured no other launch agent. Open MPI's mpirun looks for one
/// even to start ranks on this host alone.
pub(crate) fn has_no_remote_shell() -> bool {
    let named = ["OMPI_MCA_plm", "OMPI_MCA_plm_rsh_agent", "OMPI_MCA_orte_rsh_agent"];
    let is_named = named.iter().any(|name| std::env::var_os(name).is_some());
    !is_named && !["ssh", "rsh"].iter().any(|program| is_on_path(program))
}

/// Whether a program is on the path.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

impl Kind {
    /// The usual name of the program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenMpi4 | Self::OpenMpi5 => "mpirun",
            Self::Mpich => "mpiexec",
            Self::Srun => "srun",
        }
    }

    /// Identifies the kind from the output of `mpirun --version`.
    fn of_version(text: &str) -> Option<Self> {
        let after = |name: &str| text.split_once(name).map(|(_, rest)| rest.trim_start());
        if let Some(version) = after("(Open MPI)").or_else(|| after("(PRRTE)").or_else(|| after("PRRTE"))) {
            let major: u32 = version.split('.').next()?.trim_start_matches('v').parse().ok()?;
            let is_prrte = !text.contains("Open MPI");
            return Some(if major >= 5 || is_prrte { Self::OpenMpi5 } else { Self::OpenMpi4 });
        }
        (text.contains("HYDRA") || text.contains("Intel(R) MPI")).then_some(Self::Mpich)
    }

    /// Splits a tagged line of output into its rank and text; None for the starter's own lines.
    pub(crate) fn rank_of_line(self, line: &str) -> Option<(usize, &str)> {
        match self {
            // [1,3]<stderr>:text, from version 5 on with a space after the colon
            Self::OpenMpi4 | Self::OpenMpi5 => {
                let (rank, rest) = line.strip_prefix('[')?.split_once(',')?.1.split_once(']')?;
                let text = ["<stdout>:", "<stderr>:"].iter().find_map(|stream| rest.strip_prefix(stream))?;
                let text = if self == Self::OpenMpi5 { text.strip_prefix(' ').unwrap_or(text) } else { text };
                Some((rank.parse().ok()?, text))
            }
            // [3] text
            Self::Mpich => {
                let (rank, text) = line.strip_prefix('[')?.split_once("] ")?;
                Some((rank.parse().ok()?, text))
            }
            // 3: text
            Self::Srun => {
                let (rank, text) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
                Some((rank.trim_start().parse().ok()?, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starters_are_identified_by_their_versions() {
        for (text, kind) in [
            ("mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/", Some(Kind::OpenMpi4)),
            ("mpirun (Open MPI) 5.0.3\n", Some(Kind::OpenMpi5)),
            ("prterun (PRRTE) 3.0.5\n", Some(Kind::OpenMpi5)),
            ("HYDRA build details:\n    Version:  4.0.2\n", Some(Kind::Mpich)),
            ("Intel(R) MPI Library for Linux* OS, Version 2021.9\n", Some(Kind::Mpich)),
            ("something else\n", None),
        ] {
            assert_eq!(Kind::of_version(text), kind, "{text}");
        }
    }

    #[test]
    fn tagged_lines_are_split_into_rank_and_text() {
        for (kind, line, expected) in [
            (Kind::OpenMpi4, "[1,3]<stderr>:error: x", Some((3, "error: x"))),
            (Kind::OpenMpi4, "[1,12]<stdout>:", Some((12, ""))),
            (Kind::OpenMpi5, "[prterun-h-7@1,0]<stdout>: done", Some((0, "done"))),
            (Kind::OpenMpi4, "mpirun noticed that process rank 1 exited", None),
            (Kind::OpenMpi4, "[vm:123] *** Process received signal ***", None),
            (Kind::Mpich, "[2] hello", Some((2, "hello"))),
            (Kind::Srun, " 7: hello: you", Some((7, "hello: you"))),
            (Kind::Srun, "srun: error: node1: task 1: Killed", None),
        ] {
            assert_eq!(kind.rank_of_line(line), expected, "{line}");
        }
    }
}
