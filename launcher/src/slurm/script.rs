//! Generates the batch script of a run, a pure function of the options. Its tail is that of the scripts in `slurm/`.

use std::fmt::Write;
use std::path::Path;

use regatta_settings::{PreemptionSignal, RecipeArgs, Resume};

use super::SlurmCommand;
use crate::run::command_line::shell_quoted;
use crate::run::mpi::Via;

/// The part from the start of the ranks on, with USR2 as the signal.
pub(crate) const TAIL: &str = include_str!("tail.sh");

/// Input of the script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub(super) command: &'a SlurmCommand,
    pub(super) trainer: &'a Path,
    /// Name of the run.
    pub(super) name: &'a str,
    pub(super) signal: PreemptionSignal,
}

impl Batch<'_> {
    /// Generates the script.
    pub(super) fn script(&self) -> String {
        let mut script = String::from(
            "#!/bin/bash\n# Made by `launcher slurm`: a run that stops before its time limit or for pre-emption requeues itself\n# and continues.\n",
        );
        let (command, signal) = (self.command, self.signal.name());
        script += &command.job.directives(self.name, command.resources(), signal, "%x-%j.log");
        script.push('\n');
        script.push_str(self.environment());
        _ = writeln!(
            script,
            "held=(env --block-signal=INT,TERM,{signal}) # while the trainer is being loaded, where env can"
        );
        script.push_str("\"${held[@]}\" true 2>/dev/null || held=()\n");
        script.push_str(&self.arguments());
        let (starter, trainer) = (self.starter(), shell_quoted(&self.trainer.display().to_string()));
        _ = writeln!(script, "command=({starter} \"${{held[@]}}\" {trainer} \"${{arguments[@]}}\")\n");
        script.push_str(&TAIL.replace("USR2", signal));
        script
    }

    /// Turns on keep-alives between mpirun's daemons, which otherwise wait forever for a node that is cut off.
    fn environment(&self) -> &'static str {
        match self.command.via {
            Via::Srun => "",
            Via::Mpirun => {
                "export OMPI_MCA_oob_tcp_keepalive_time=5 OMPI_MCA_oob_tcp_keepalive_intvl=2 OMPI_MCA_oob_tcp_keepalive_probes=3\n"
            }
        }
    }

    /// The trainer's arguments. Whatever `--resume` says for the first start, later ones continue from the newest checkpoint.
    fn arguments(&self) -> String {
        let array = |recipe: &RecipeArgs| {
            let arguments: Vec<_> = recipe.to_arguments().iter().map(|it| shell_quoted(it)).collect();
            format!("arguments=({})\n", arguments.join(" "))
        };
        let first = array(&self.command.recipe);
        match self.command.recipe.resume {
            Resume::Auto => first,
            Resume::Never | Resume::Path(_) => {
                let later = RecipeArgs { resume: Resume::Auto, ..self.command.recipe.clone() };
                first + "((${SLURM_RESTART_COUNT:-0} == 0)) || " + &array(&later)
            }
        }
    }

    fn starter(&self) -> String {
        match (self.command.via, self.command.job.cpus_per_rank) {
            // Ranks bind themselves to their share of the cores.
            (Via::Mpirun, _) => "mpirun --bind-to none".to_owned(),
            (Via::Srun, None) => "srun --mpi=pmix".to_owned(),
            // srun does not inherit it from the job.
            (Via::Srun, Some(cores)) => format!("srun --mpi=pmix --cpus-per-task={cores}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::Parser;
    use expect_test::{Expect, expect};

    use super::*;

    const ASKED: &str = "launcher slurm --nodes 4 --ranks-per-node 8 --time 36:00:00 --name trial7 --config";
    const SET: [&str; 4] = ["--set", "optim.lr=0.4", "--set", "data.folder=\"it's here\""];

    /// The script of `launcher slurm` with these additional options.
    fn script(options: &[&str], signal: PreemptionSignal) -> String {
        let words = ASKED.split(' ').chain(["recipes/regnet x.toml"]).chain(options.iter().copied());
        let crate::Command::Slurm(command) = crate::Cli::parse_from(words).command else {
            panic!("another command")
        };
        Batch { command: &command, trainer: Path::new("/opt/regatta/trainer"), name: "trial7", signal }
            .script()
    }

    /// Checks the script without the common tail.
    fn check(options: &[&str], signal: PreemptionSignal, expected: Expect) {
        let script = script(&[&SET, options].concat(), signal);
        let tail = TAIL.replace("USR2", signal.name());
        expected.assert_eq(script.strip_suffix(&*tail).expect("the script ends like all"));
        assert!(Command::new("bash").args(["-n", "-c", &script]).status().unwrap().success());
    }

    #[test]
    fn through_srun() {
        check(
            &["--gpus-per-node", "8", "--cpus-per-rank", "6"],
            PreemptionSignal::Usr2,
            expect![[r##"
            #!/bin/bash
            # Made by `launcher slurm`: a run that stops before its time limit or for pre-emption requeues itself
            # and continues.
            #SBATCH --job-name=trial7
            #SBATCH --nodes=4
            #SBATCH --ntasks-per-node=8
            #SBATCH --gpus-per-node=8
            #SBATCH --cpus-per-task=6
            #SBATCH --time=1-12:00:00
            #SBATCH --requeue
            #SBATCH --signal=B:USR2@120
            #SBATCH --open-mode=append
            #SBATCH --output=%x-%j.log

            held=(env --block-signal=INT,TERM,USR2) # while the trainer is being loaded, where env can
            "${held[@]}" true 2>/dev/null || held=()
            arguments=(--config 'recipes/regnet x.toml' --resume auto --set optim.lr=0.4 --set 'data.folder="it'\''s here"' --name trial7)
            command=(srun --mpi=pmix --cpus-per-task=6 "${held[@]}" /opt/regatta/trainer "${arguments[@]}")

        "##]],
        );
    }

    #[test]
    fn through_mpirun_on_processors() {
        check(
            &["--via", "mpirun"],
            PreemptionSignal::Usr1,
            expect![[r##"
            #!/bin/bash
            # Made by `launcher slurm`: a run that stops before its time limit or for pre-emption requeues itself
            # and continues.
            #SBATCH --job-name=trial7
            #SBATCH --nodes=4
            #SBATCH --ntasks-per-node=8
            #SBATCH --time=1-12:00:00
            #SBATCH --requeue
            #SBATCH --signal=B:USR1@120
            #SBATCH --open-mode=append
            #SBATCH --output=%x-%j.log

            export OMPI_MCA_oob_tcp_keepalive_time=5 OMPI_MCA_oob_tcp_keepalive_intvl=2 OMPI_MCA_oob_tcp_keepalive_probes=3
            held=(env --block-signal=INT,TERM,USR1) # while the trainer is being loaded, where env can
            "${held[@]}" true 2>/dev/null || held=()
            arguments=(--config 'recipes/regnet x.toml' --resume auto --set optim.lr=0.4 --set 'data.folder="it'\''s here"' --name trial7)
            command=(mpirun --bind-to none "${held[@]}" /opt/regatta/trainer "${arguments[@]}")

        "##]],
        );
    }

    /// The trainer's arguments in the first and in later starts.
    #[test]
    fn a_later_start_continues_from_the_newest_checkpoint() {
        let words = |resume: &str, restarts: &str| {
            let script = script(&["--resume", resume], PreemptionSignal::Usr2);
            let head = script.strip_suffix(TAIL).unwrap();
            let output = Command::new("bash")
                .args(["-c", &format!("{head}printf '<%s>' \"${{command[@]:2}}\"")])
                .env("SLURM_RESTART_COUNT", restarts)
                .output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        let line = |resume: &str| {
            format!(
                "<env><--block-signal=INT,TERM,USR2></opt/regatta/trainer><--config><recipes/regnet x.toml><--resume><{resume}><--name><trial7>"
            )
        };
        for resume in ["auto", "never", "runs/it's mine"] {
            assert_eq!((words(resume, "0"), words(resume, "1")), (line(resume), line("auto")));
        }
    }
}
