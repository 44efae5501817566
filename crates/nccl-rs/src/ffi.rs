//! NCCL's C interface: the functions that this crate uses, looked up by name in the loaded library.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::types::UniqueId;

/// `ncclComm_t`.
pub(crate) type Comm = *mut c_void;

/// `ncclConfig_t` as of NCCL 2.18. Later versions recognize this shorter form by `size` and `version`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
    cga_cluster_size: c_int,
    min_ctas: c_int,
    max_ctas: c_int,
    net_name: *const c_char,
    split_share: c_int,
}

impl Config {
    /// Returns a non-blocking configuration with NCCL's defaults for everything else.
    pub(crate) fn non_blocking() -> Self {
        Self {
            size: size_of::<Self>(),
            magic: 0xcafe_beef,
            version: 21_800,
            blocking: 0,
            cga_cluster_size: c_int::MIN,
            min_ctas: c_int::MIN,
            max_ctas: c_int::MIN,
            net_name: std::ptr::null(),
            split_share: c_int::MIN,
        }
    }
}

/// Declares [`Functions`] and its lookup in a library.
macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of a loaded NCCL library.
        #[derive(Debug)]
        pub(crate) struct Functions {
            $(pub(crate) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// Looks up every function.
            ///
            /// # Errors
            /// The name of the first missing function.
            ///
            /// # Safety
            /// The library must be NCCL, or have functions with the same signatures.
            pub(crate) unsafe fn find(library: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the caller guarantees that the function of this name has this signature.
                        let symbol = unsafe { library.get($name.to_bytes_with_nul()) };
                        *symbol.map_err(|_| $name.to_str().unwrap_or_default())?
                    },)*
                })
            }
        }
    };
}

functions! {
    get_version = c"ncclGetVersion": fn(*mut c_int) -> c_int;
    get_error_string = c"ncclGetErrorString": fn(c_int) -> *const c_char;
    get_last_error = c"ncclGetLastError": fn(Comm) -> *const c_char;
    get_unique_id = c"ncclGetUniqueId": fn(*mut UniqueId) -> c_int;
    comm_init_rank_config = c"ncclCommInitRankConfig": fn(*mut Comm, c_int, UniqueId, c_int, *mut Config) -> c_int;
    comm_split = c"ncclCommSplit": fn(Comm, c_int, c_int, *mut Comm, *mut Config) -> c_int;
    comm_get_async_error = c"ncclCommGetAsyncError": fn(Comm, *mut c_int) -> c_int;
    comm_count = c"ncclCommCount": fn(Comm, *mut c_int) -> c_int;
    comm_user_rank = c"ncclCommUserRank": fn(Comm, *mut c_int) -> c_int;
    comm_finalize = c"ncclCommFinalize": fn(Comm) -> c_int;
    comm_destroy = c"ncclCommDestroy": fn(Comm) -> c_int;
    comm_abort = c"ncclCommAbort": fn(Comm) -> c_int;
    all_reduce = c"ncclAllReduce": fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, *mut c_void) -> c_int;
    broadcast = c"ncclBroadcast": fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, *mut c_void) -> c_int;
    reduce_scatter =
        c"ncclReduceScatter": fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, *mut c_void) -> c_int;
    all_gather = c"ncclAllGather": fn(*const c_void, *mut c_void, usize, c_int, Comm, *mut c_void) -> c_int;
    group_start = c"ncclGroupStart": fn() -> c_int;
    group_end = c"ncclGroupEnd": fn() -> c_int;
}
