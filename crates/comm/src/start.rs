//! The choice of the host communicator from the requested backend and the launcher's environment.

use regatta_settings::Backend;

use crate::CommError;
use crate::communicator::Communicator;
use crate::environment::Launch;
use crate::single::Single;

/// Joins MPI, or returns the communicator of a single rank. Must be called once.
///
/// # Errors
/// If the ranks were not started as the backend requires, or MPI does not start.
pub(crate) fn host(backend: Backend, launch: &Launch) -> Result<Box<dyn Communicator>, CommError> {
    match (backend, launch.ranks_without_mpi()) {
        (Backend::Single, _) | (_, None) => {}
        (_, Some(ranks)) => return Err(CommError::WithoutMpi { ranks }),
    }
    match backend {
        Backend::Auto | Backend::Nccl if launch.is_parallel() => join_mpi(launch),
        Backend::Auto | Backend::Nccl => Ok(Box::new(Single)),
        Backend::Single => match launch.world_size {
            Some((variable, size)) if size > 1 => Err(CommError::Backend {
                backend: "single",
                reason: format!("{variable} says that {size} ranks were started; start one, or use \"auto\""),
            }),
            _ => Ok(Box::new(Single)),
        },
        Backend::Mpi => join_mpi(launch),
    }
}

#[cfg(feature = "mpi")]
fn join_mpi(launch: &Launch) -> Result<Box<dyn Communicator>, CommError> {
    use crate::mpi_world::{MpiWorld, library_version};
    // Under srun, Open MPI finds its peers through PMIx only; its own error message for that fills two screens.
    let pmi_suffices = !library_version().contains("Open MPI") || launch.has_pmix;
    if launch.slurm_tasks > 1 && !launch.by_open_mpi && !(launch.has_pmi && pmi_suffices) {
        return Err(CommError::SlurmWithoutPmix { tasks: launch.slurm_tasks });
    }
    let world = MpiWorld::join()?;
    let actual = world.place().world_size;
    match launch.world_size {
        Some((variable, expected)) if expected > actual => {
            Err(CommError::WorldTooSmall { variable, expected, actual, library: library_version() })
        }
        _ => Ok(Box::new(world)),
    }
}

#[cfg(not(feature = "mpi"))]
fn join_mpi(_launch: &Launch) -> Result<Box<dyn Communicator>, CommError> {
    Err(CommError::Backend {
        backend: "mpi",
        reason: "this trainer was built without the feature `mpi`".into(),
    })
}
