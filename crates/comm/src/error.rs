//! What can go wrong between ranks.

/// An error of the communication layer. All of them end the run.
#[derive(Debug, thiserror::Error)]
pub enum CommError {
    /// Started as several Slurm tasks without MPI's wire-up.
    #[error(
        "srun started {tasks} tasks but gave them no MPI world: start them with `srun --mpi=pmix trainer ...`, \
         or with mpirun inside the allocation"
    )]
    SlurmWithoutPmix {
        /// Tasks of this job step.
        tasks: usize,
    },
    /// torchrun started ranks, each of which would be a world of one.
    #[error(
        "RANK and WORLD_SIZE say that {ranks} ranks were started, as torchrun does, but ranks meet through MPI: start them with \
         `mpirun -n {ranks} trainer ...` or `launcher run -n {ranks} ...`; unset both for a run of one process"
    )]
    WithoutMpi {
        /// Ranks that were started.
        ranks: usize,
    },
    /// The backend asked for is not in this build, or not possible here.
    #[error("comm.backend = \"{backend}\": {reason}")]
    Backend {
        /// As written in the recipe.
        backend: &'static str,
        /// What was looked for, and what would be right.
        reason: String,
    },
    /// The launcher started more ranks than the MPI world has: a foreign mpiexec starts N worlds of one.
    #[error(
        "{variable} says {expected} ranks, but this MPI world has {actual}: the trainer is linked with {library}; \
         start it with the mpirun of that MPI"
    )]
    WorldTooSmall {
        /// The environment variable that says so.
        variable: &'static str,
        /// Ranks that the launcher started.
        expected: usize,
        /// Ranks in the world.
        actual: usize,
        /// Name and version of the MPI that is linked.
        library: String,
    },
    /// MPI did not initialise as asked.
    #[error("MPI: {0}")]
    Mpi(String),
    /// Ranks were started with different recipes.
    #[error(
        "ranks {ranks:?} resolved another recipe than rank 0 (hash {hash} there): every rank needs the same files, \
         environment and options"
    )]
    RecipesDiffer {
        /// The ranks that differ.
        ranks: Vec<usize>,
        /// The first 8 hex digits of rank 0's hash.
        hash: String,
    },
    /// After the broadcast a rank holds other bytes than rank 0.
    #[error("after the broadcast ranks {ranks:?} hold other {what} than rank 0")]
    CopiesDiffer {
        /// Parameters, statistics or optimizer state.
        what: &'static str,
        /// The ranks that differ.
        ranks: Vec<usize>,
    },
    /// Backward left parameters without a gradient.
    #[error("no gradient reached {}", .0.join(", "))]
    NoGradient(Vec<String>),
    /// A collective took longer than `comm.timeout_s`.
    #[error("a collective is not through after {waited_s} s (comm.timeout_s): {told}")]
    Stalled {
        /// How long it was waited for.
        waited_s: u64,
        /// Which rank is behind, and where.
        told: String,
    },
    /// Ranks called different collectives.
    #[error("ranks no longer do the same: {0}")]
    Mismatch(String),
    /// Two ranks would compute on one GPU.
    #[error(
        "ranks {} and {} share GPU {gpu} on {host}: start at most one rank for each GPU there (and see CUDA_VISIBLE_DEVICES)",
        .ranks.0, .ranks.1
    )]
    SharedGpu {
        /// The two ranks.
        ranks: (usize, usize),
        /// Their host.
        host: String,
        /// Its address on the PCI bus.
        gpu: String,
    },
    /// Some ranks compute on GPUs, others do not.
    #[error(
        "ranks {gpu:?} compute on GPUs and ranks {cpu:?} on CPUs: set train.device to \"cuda\" or \"cpu\" for all"
    )]
    MixedDevices {
        /// Ranks with a GPU.
        gpu: Vec<usize>,
        /// Ranks without.
        cpu: Vec<usize>,
    },
    /// NCCL is not there, or failed.
    #[error(transparent)]
    Nccl(#[from] nccl::Error),
    /// A collective was called after the communicator had ended.
    #[error("NCCL's communicator has ended already")]
    LaneClosed,
    /// What another rank sent is of another type, or this rank's value cannot be sent.
    #[error(
        "the value that rank {rank} sent cannot be read as {what} ({reason}): start the same build of the trainer on all ranks"
    )]
    Unreadable {
        /// The rank that sent it.
        rank: usize,
        /// The type that was expected.
        what: &'static str,
        /// Why it is none.
        reason: String,
    },
    /// The ledger of collectives cannot be made.
    #[error(transparent)]
    Ledger(#[from] regatta_run_folder::StorageError),
    /// libtorch refused something.
    #[error(transparent)]
    Torch(#[from] regatta_torch_ext::TorchError),
}
