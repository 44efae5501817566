//! The errors of the communication layer.

/// An error of the communication layer. Every one of them ends the run.
#[derive(Debug, thiserror::Error)]
pub enum CommError {
    /// Several Slurm tasks were started without the process management interface that MPI needs.
    #[error(
        "srun started {tasks} tasks but gave them no MPI world: start them with `srun --mpi=pmix trainer ...`, \
         or with mpirun inside the allocation"
    )]
    SlurmWithoutPmix {
        /// Number of tasks in this job step.
        tasks: usize,
    },
    /// torchrun started the ranks, each of which would be a world of one rank.
    #[error(
        "RANK and WORLD_SIZE say that {ranks} ranks were started, as torchrun does, but ranks find each other through MPI: start them with \
         `mpirun -n {ranks} trainer ...` or `launcher run -n {ranks} ...`; unset both for a run of one process"
    )]
    WithoutMpi {
        /// Number of ranks that were started.
        ranks: usize,
    },
    /// The requested backend is not part of this build, or cannot be used here.
    #[error("comm.backend = \"{backend}\": {reason}")]
    Backend {
        /// Name of the backend in the recipe.
        backend: &'static str,
        /// Why it cannot be used, and what to do instead.
        reason: String,
    },
    /// The launcher started more ranks than the MPI world has: the mpiexec of another MPI starts N worlds of one rank.
    #[error(
        "{variable} says {expected} ranks, but this MPI world has {actual}: the trainer is linked with {library}; \
         start it with the mpirun of that MPI"
    )]
    WorldTooSmall {
        /// Environment variable that gives the number of ranks.
        variable: &'static str,
        /// Number of ranks that the launcher started.
        expected: usize,
        /// Number of ranks in the world.
        actual: usize,
        /// Name and version of the linked MPI.
        library: String,
    },
    /// MPI could not be initialised as required.
    #[error("MPI: {0}")]
    Mpi(String),
    /// Ranks were started with different recipes.
    #[error(
        "ranks {ranks:?} resolved a different recipe than rank 0 (whose hash is {hash}): every rank needs the same files, \
         environment and options"
    )]
    RecipesDiffer {
        /// The ranks that differ.
        ranks: Vec<usize>,
        /// The first 8 hex digits of rank 0's hash.
        hash: String,
    },
    /// A rank holds other bytes than rank 0 after a broadcast.
    #[error("after the broadcast, the {what} of ranks {ranks:?} differ from those of rank 0")]
    CopiesDiffer {
        /// What was broadcast: parameters, statistics or optimizer state.
        what: &'static str,
        /// The ranks that differ.
        ranks: Vec<usize>,
    },
    /// The backward pass left parameters without a gradient; their names.
    #[error("no gradient reached {}", .0.join(", "))]
    NoGradient(Vec<String>),
    /// A collective took longer than `comm.timeout_s`.
    #[error("a collective has not completed after {waited_s} s (comm.timeout_s): {cause}")]
    Stalled {
        /// Time spent waiting, in seconds.
        waited_s: u64,
        /// Which rank is behind, and where.
        cause: String,
    },
    /// Ranks called different collectives.
    #[error("ranks called different collectives: {0}")]
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
        /// PCI address of the GPU.
        gpu: String,
    },
    /// Some ranks compute on GPUs and others on CPUs.
    #[error(
        "ranks {gpu:?} compute on GPUs and ranks {cpu:?} on CPUs: set train.device to \"cuda\" or \"cpu\" for all"
    )]
    MixedDevices {
        /// Ranks with a GPU.
        gpu: Vec<usize>,
        /// Ranks without a GPU.
        cpu: Vec<usize>,
    },
    /// NCCL was not found, or failed.
    #[error(transparent)]
    Nccl(#[from] nccl::Error),
    /// A collective was called after the communicator had been closed.
    #[error("the NCCL communicator is already closed")]
    LaneClosed,
    /// A value received from another rank has the wrong type, or this rank's value cannot be serialized.
    #[error(
        "the value that rank {rank} sent cannot be read as {what} ({reason}): start the same build of the trainer on all ranks"
    )]
    Unreadable {
        /// The rank that sent it.
        rank: usize,
        /// The expected type.
        what: &'static str,
        /// Why the value is not of this type.
        reason: String,
    },
    /// The ledger of collectives cannot be created.
    #[error(transparent)]
    Ledger(#[from] regatta_run_folder::StorageError),
    /// A call of libtorch failed.
    #[error(transparent)]
    Torch(#[from] regatta_torch_ext::TorchError),
}
