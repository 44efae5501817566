//! The batch script of a run: a pure function of what is asked for. Its end is that of the scripts in `slurm/`.

use std::fmt::Write;
use std::path::PathBuf;

use regatta_settings::{PreemptionSignal, RecipeArgs, Resume};

use super::time::TimeLimit;
use crate::run::command_line::quoted;
use crate::run::mpi::Via;

/// From the start of the ranks on, with USR2 as the signal.
const TAIL: &str = include_str!("tail.sh");

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) nodes: u32,
    pub(super) ranks_per_node: u32,
    /// None for a run on processors.
    pub(super) gpus_per_node: Option<u32>,
    /// None leaves it to the cluster.
    pub(super) cpus_per_rank: Option<u32>,
    pub(super) time: TimeLimit,
    /// So long before the time limit the run is asked to stop.
    pub(super) checkpoint_seconds: u16,
    pub(super) signal: PreemptionSignal,
    pub(super) via: Via,
    pub(super) trainer: PathBuf,
    pub(super) recipe: RecipeArgs,
    /// The run's.
    pub(super) name: String,
}

impl Batch {
    /// The script.
    pub(super) fn script(&self) -> String {
        let mut script = String::from(
            "#!/bin/bash\n# Made by `launcher slurm`: a run that stops before its time limit or for a job that pre-empts it, comes back by itself\n# and goes on.\n",
        );
        for option in self.options() {
            _ = writeln!(script, "#SBATCH --{option}");
        }
        script.push('\n');
        script.push_str(self.environment());
        _ = writeln!(
            script,
            "held=(env --block-signal=INT,TERM,{}) # while the trainer is being loaded, where env can",
            self.signal.name()
        );
        script.push_str("\"${held[@]}\" true 2>/dev/null || held=()\n");
        script.push_str(&self.arguments());
        let (starter, trainer) = (self.starter(), quoted(&self.trainer.display().to_string()));
        _ = writeln!(script, "command=({starter} \"${{held[@]}}\" {trainer} \"${{arguments[@]}}\")\n");
        script.push_str(&TAIL.replace("USR2", self.signal.name()));
        script
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![
            format!("job-name={}", quoted(&self.name)),
            format!("nodes={}", self.nodes),
            format!("ntasks-per-node={}", self.ranks_per_node),
        ];
        options.extend(self.gpus_per_node.map(|gpus| format!("gpus-per-node={gpus}")));
        options.extend(self.cpus_per_rank.map(|cores| format!("cpus-per-task={cores}")));
        options.extend([
            format!("time={}", self.time),
            "requeue".to_owned(),
            format!("signal=B:{}@{}", self.signal.name(), self.checkpoint_seconds),
            "open-mode=append".to_owned(),
            "output=%x-%j.log".to_owned(),
        ]);
        options
    }

    /// mpirun waits for a node that is cut off, unless its daemons look after each other.
    fn environment(&self) -> &'static str {
        match self.via {
            Via::Srun => "",
            Via::Mpirun => {
                "export OMPI_MCA_oob_tcp_keepalive_time=5 OMPI_MCA_oob_tcp_keepalive_intvl=2 OMPI_MCA_oob_tcp_keepalive_probes=3\n"
            }
        }
    }

    /// The trainer's. Whatever the first start is told, a later one goes on from the newest checkpoint.
    fn arguments(&self) -> String {
        let array = |recipe: &RecipeArgs| {
            let arguments: Vec<_> = recipe.to_arguments().iter().map(|it| quoted(it)).collect();
            format!("arguments=({})\n", arguments.join(" "))
        };
        let first = array(&self.recipe);
        match self.recipe.resume {
            Resume::Auto => first,
            Resume::Never | Resume::Path(_) => {
                let later = RecipeArgs { resume: Resume::Auto, ..self.recipe.clone() };
                first + "((${SLURM_RESTART_COUNT:-0} == 0)) || " + &array(&later)
            }
        }
    }

    fn starter(&self) -> String {
        match (self.via, self.cpus_per_rank) {
            // Ranks bind themselves to their share of the cores.
            (Via::Mpirun, _) => "mpirun --bind-to none".to_owned(),
            (Via::Srun, None) => "srun --mpi=pmix".to_owned(),
            // srun does not take it from the job.
            (Via::Srun, Some(cores)) => format!("srun --mpi=pmix --cpus-per-task={cores}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use expect_test::{Expect, expect};

    use super::*;

    fn batch() -> Batch {
        Batch {
            nodes: 4,
            ranks_per_node: 8,
            gpus_per_node: Some(8),
            cpus_per_rank: Some(6),
            time: TimeLimit(36 * 3600),
            checkpoint_seconds: 120,
            signal: PreemptionSignal::Usr2,
            via: Via::Srun,
            trainer: "/opt/regatta/trainer".into(),
            recipe: RecipeArgs {
                config: "recipes/regnet x.toml".into(),
                set: vec!["optim.lr=0.4".into(), "data.folder=\"it's here\"".into()],
                resume: Resume::Auto,
                name: Some("trial7".into()),
            },
            name: "trial7".into(),
        }
    }

    /// All but the end that every script has.
    fn check(batch: &Batch, expected: Expect) {
        let script = batch.script();
        let head = script
            .strip_suffix(&*TAIL.replace("USR2", batch.signal.name()))
            .expect("the script ends like all");
        expected.assert_eq(head);
        assert!(Command::new("bash").args(["-n", "-c", &script]).status().unwrap().success());
    }

    #[test]
    fn through_srun() {
        check(
            &batch(),
            expect![[r##"
            #!/bin/bash
            # Made by `launcher slurm`: a run that stops before its time limit or for a job that pre-empts it, comes back by itself
            # and goes on.
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
        let batch = Batch {
            via: Via::Mpirun,
            gpus_per_node: None,
            cpus_per_rank: None,
            signal: PreemptionSignal::Usr1,
            ..batch()
        };
        check(
            &batch,
            expect![[r##"
            #!/bin/bash
            # Made by `launcher slurm`: a run that stops before its time limit or for a job that pre-empts it, comes back by itself
            # and goes on.
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

    /// What the trainer is told by the script's first and later starts.
    #[test]
    fn a_later_start_goes_on_from_the_newest_checkpoint() {
        let told = |resume: &str, restarts: &str| {
            let recipe = RecipeArgs { resume: resume.parse().unwrap(), set: Vec::new(), ..batch().recipe };
            let script = Batch { recipe, ..batch() }.script();
            let head = script.strip_suffix(TAIL).unwrap();
            let output = Command::new("bash")
                .args(["-c", &format!("{head}printf '<%s>' \"${{command[@]:3}}\"")])
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
            assert_eq!((told(resume, "0"), told(resume, "1")), (line(resume), line("auto")));
        }
    }
}
