//! Collectives on host memory over MPI, called from the main thread only (`MPI_THREAD_FUNNELED`).

use std::cell::RefCell;

use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Equivalence, Root as _};
use mpi::{Rank, Threading};
use tch::{Device, Kind, Tensor};

use crate::CommError;
use crate::communicator::{Communicator, Place};

/// Largest number of elements in one MPI call: MPI counts are 32 bits.
const CHUNK: usize = 1 << 28;

/// The ranks of `MPI_COMM_WORLD`. Dropping it runs MPI_Finalize, which waits for the other ranks, so a rank that fails calls
/// [`abort`] instead.
pub(crate) struct MpiWorld {
    world: SimpleCommunicator,
    place: Place,
    /// Receives a reduction before it is copied back. Grows to the size of the largest bucket.
    scratch: RefCell<Vec<u8>>,
    _universe: Universe,
}

/// Returns the name and version of the linked MPI. May be called before MPI is initialized.
pub(crate) fn library_version() -> String {
    let text = mpi::environment::library_version().unwrap_or_default();
    text.split(['\n', ',', '\0']).next().unwrap_or_default().trim().to_owned()
}

impl MpiWorld {
    /// Initializes MPI, which is possible once per process. MPI keeps its own error handler: its errors are fatal.
    ///
    /// # Errors
    /// If MPI was initialized before or does not support funneled threading.
    pub(crate) fn join() -> Result<Self, CommError> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| CommError::Mpi("already initialized in this process".into()))?;
        if threading < Threading::Funneled {
            return Err(CommError::Mpi(format!("{} does not provide funneled threading", library_version())));
        }
        let world = universe.world();
        let local = world.split_shared(world.rank());
        let place = Place {
            rank: world.rank() as usize,
            world_size: world.size() as usize,
            local_rank: local.rank() as usize,
            local_size: local.size() as usize,
        };
        Ok(Self { world, place, scratch: RefCell::default(), _universe: universe })
    }

    fn sum_in_place<T: Equivalence + Copy>(&self, values: &mut [T]) {
        let mut scratch = self.scratch.borrow_mut();
        let bytes = size_of_val(values);
        if scratch.len() < bytes + align_of::<T>() {
            scratch.resize(bytes + align_of::<T>(), 0);
        }
        // SAFETY: T is a plain number, for which every bit pattern of the scratch bytes is a value.
        let (_, reduced, _) = unsafe { scratch.align_to_mut::<T>() };
        for (chunk, reduced) in values.chunks_mut(CHUNK).zip(reduced.chunks_mut(CHUNK)) {
            let reduced = &mut reduced[..chunk.len()];
            self.world.all_reduce_into(&*chunk, reduced, SystemOperation::sum());
            chunk.copy_from_slice(reduced);
        }
    }
}

/// Returns the elements of a dense CPU tensor.
///
/// # Safety
/// `T` must be the tensor's element type, and nothing else may read or write the tensor while the slice lives.
unsafe fn elements<T>(flat: &mut Tensor) -> &mut [T] {
    // SAFETY: the tensor is dense and on the CPU (asserted by the caller), so its storage holds `numel` elements.
    unsafe { std::slice::from_raw_parts_mut(flat.data_ptr().cast::<T>(), flat.numel()) }
}

impl Communicator for MpiWorld {
    fn place(&self) -> Place {
        self.place
    }
    fn description(&self) -> String {
        library_version()
    }

    fn all_reduce(&self, flat: &mut Tensor) {
        assert!(flat.device() == Device::Cpu && flat.is_contiguous(), "MPI reduces dense host memory");
        let kind = flat.kind();
        if flat.numel() == 0 {
            return;
        }
        match kind {
            // SAFETY: the element type is the tensor's, and `flat` is borrowed exclusively.
            Kind::Float => self.sum_in_place(unsafe { elements::<f32>(flat) }),
            // SAFETY: as above.
            Kind::Double => self.sum_in_place(unsafe { elements::<f64>(flat) }),
            other => panic!("no all-reduce of {other:?}"),
        }
    }

    fn all_reduce_counts(&self, counts: &mut [i64]) {
        self.sum_in_place(counts);
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(CHUNK) {
            self.world.process_at_rank(0 as Rank).broadcast_into(chunk);
        }
    }

    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        if bytes.is_empty() {
            return vec![Vec::new(); self.place.world_size];
        }
        let mut gathered = vec![0u8; bytes.len() * self.place.world_size];
        self.world.all_gather_into(bytes, &mut gathered[..]);
        gathered.chunks(bytes.len()).map(<[u8]>::to_vec).collect()
    }

    fn barrier(&self) {
        self.world.barrier();
    }
}

/// Calls MPI_Abort, which ends every rank of the job, if MPI is initialized. May be called from any thread.
pub(crate) fn abort(code: i32) {
    if mpi::environment::is_initialized() && !mpi::environment::is_finalized() {
        // SAFETY: MPI is initialized and MPI_COMM_WORLD is a constant handle. Open MPI and MPICH end the job also when a
        // thread other than MPI's calls this.
        unsafe { mpi::ffi::MPI_Abort(mpi::ffi::RSMPI_COMM_WORLD, code) };
    }
}
