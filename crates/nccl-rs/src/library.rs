//! Finds and loads the NCCL library.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::os::unix;

use crate::error::{Error, OpenError};
use crate::ffi::{Config, Functions};
use crate::types::{Status, UniqueId, Version};
use crate::{Communicator, ffi};

/// The oldest supported version of NCCL.
pub const MINIMUM_VERSION: Version = Version { major: 2, minor: 18, patch: 0 };

/// The library names passed to the dynamic loader.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// The environment variable that names a library.
const VARIABLE: &str = "NCCL_LIBRARY";

/// A loaded NCCL library. Clones share it. It is never unloaded, since it starts its own threads.
#[derive(Debug, Clone)]
pub struct Nccl(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    functions: Functions,
    version: Version,
    path: PathBuf,
    takes_host_memory: bool,
    _library: ManuallyDrop<libloading::Library>,
}

impl Nccl {
    /// Loads NCCL: the library that the environment variable `NCCL_LIBRARY` names, else the copy that the process has already
    /// loaded (for example with libtorch), else `libnccl.so.2` or `libnccl.so` from the dynamic loader's search path.
    ///
    /// # Errors
    /// If no library is found (with the loader's error for each attempt), a function is missing or the version is too old.
    pub fn open() -> Result<Self, OpenError> {
        if let Some(named) = std::env::var_os(VARIABLE) {
            return Self::open_at(Path::new(&named)).map_err(|error| match error {
                OpenError::NotFound { tried } => OpenError::NotFound {
                    tried: tried.iter().map(|it| format!("{VARIABLE}: {it}")).collect(),
                },
                other => other,
            });
        }
        if let Some((library, name)) = NAMES.into_iter().find_map(|name| Some((loaded(name)?, name))) {
            return Self::take(library, Path::new(name));
        }
        let mut tried = Vec::new();
        for name in NAMES {
            match Self::open_at(Path::new(name)) {
                Err(OpenError::NotFound { tried: reasons }) => tried.extend(reasons),
                found => return found,
            }
        }
        Err(OpenError::NotFound { tried })
    }

    /// Loads the library at `path`, or one of that name from the dynamic loader's search path.
    ///
    /// # Errors
    /// As [`Nccl::open`].
    pub fn open_at(path: &Path) -> Result<Self, OpenError> {
        // SAFETY: NCCL's initializers are sound to run; a caller that names another library is responsible for it.
        let library = unsafe { libloading::Library::new(path) };
        Self::take(library.map_err(|error| OpenError::NotFound { tried: vec![error.to_string()] })?, path)
    }

    fn take(library: libloading::Library, path: &Path) -> Result<Self, OpenError> {
        // SAFETY: a library with NCCL's name has NCCL's functions.
        let functions = unsafe { Functions::find(&library) };
        let functions = functions.map_err(|symbol| OpenError::Symbol { path: path.to_owned(), symbol })?;
        let path = path_of(functions.get_version as *const c_void).unwrap_or_else(|| path.to_owned());
        let mut code: c_int = 0;
        // SAFETY: writes one integer.
        unsafe { (functions.get_version)(&mut code) };
        let version = Version::from_code(code);
        if version < MINIMUM_VERSION {
            return Err(OpenError::Version { path, found: version });
        }
        // SAFETY: only checks whether the symbol exists.
        let marker =
            unsafe { library.get::<*const c_void>(c"ncclTestDoubleTakesHostMemory".to_bytes_with_nul()) };
        let takes_host_memory = marker.is_ok();
        let opened =
            Opened { functions, version, path, takes_host_memory, _library: ManuallyDrop::new(library) };
        Ok(Self(Arc::new(opened)))
    }

    /// Returns the version of the library.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Returns the file from which the library was loaded.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns whether this is a test double whose collectives work on host memory, for machines without a GPU. A double has
    /// the symbol `ncclTestDoubleTakesHostMemory`, which NVIDIA's library never has.
    pub fn takes_host_memory(&self) -> bool {
        self.0.takes_host_memory
    }

    /// Creates the unique ID of a new communicator.
    ///
    /// # Errors
    /// An error of NCCL, for instance if it finds no network interface.
    pub fn unique_id(&self) -> Result<UniqueId, Error> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: writes 128 bytes.
        let status = Status(unsafe { (self.functions().get_unique_id)(&mut id) });
        self.checked("ncclGetUniqueId", status).map(|()| id)
    }

    /// Starts joining the communicator of `id` as `rank` of `world_size`, with CUDA's current device. Does not block:
    /// [`Communicator::settle`] waits until all ranks have joined.
    ///
    /// # Errors
    /// An error of NCCL, for instance if there is no CUDA driver.
    pub fn init_rank(&self, id: &UniqueId, rank: usize, world_size: usize) -> Result<Communicator, Error> {
        let mut raw: ffi::Comm = std::ptr::null_mut();
        let mut config = Config::non_blocking();
        let (size, number) = (world_size as c_int, rank as c_int);
        // SAFETY: all pointers are valid during the call, which copies what it keeps.
        let status =
            unsafe { (self.functions().comm_init_rank_config)(&mut raw, size, *id, number, &mut config) };
        match Status(status) {
            Status::SUCCESS | Status::IN_PROGRESS => {
                Ok(Communicator::new(self.clone(), raw, (rank, world_size), Status(status)))
            }
            status => Err(self.error("ncclCommInitRankConfig", status, std::ptr::null_mut(), Some(rank), 0)),
        }
    }

    /// Calls `body` between `ncclGroupStart` and `ncclGroupEnd`, so that its collectives start together. Its communicators are
    /// in progress afterwards and must be [settled](Communicator::settle).
    ///
    /// # Errors
    /// An error of `body`, or of NCCL.
    pub fn group<T>(&self, body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        // SAFETY: start and end are called in pairs on the same thread.
        self.checked("ncclGroupStart", Status(unsafe { (self.functions().group_start)() }))?;
        let outcome = body();
        // SAFETY: as above.
        let ended = self.checked("ncclGroupEnd", Status(unsafe { (self.functions().group_end)() }));
        let value = outcome?;
        ended.map(|()| value)
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.0.functions
    }

    fn checked(&self, call: &'static str, status: Status) -> Result<(), Error> {
        match status {
            Status::SUCCESS | Status::IN_PROGRESS => Ok(()),
            status => Err(self.error(call, status, std::ptr::null_mut(), None, 0)),
        }
    }

    /// Collects NCCL's information about a failed call.
    pub(crate) fn error(
        &self,
        call: &'static str,
        status: Status,
        communicator: ffi::Comm,
        rank: Option<usize>,
        sequence: u64,
    ) -> Error {
        // SAFETY: returns a static string for any number.
        let text = unsafe { (self.functions().get_error_string)(status.0) };
        // SAFETY: accepts a communicator or null; returns a string that is valid until the next failure.
        let last_error = unsafe { (self.functions().get_last_error)(communicator) };
        Error::Call { call, status, text: copied(text), last_error: copied(last_error), rank, sequence }
    }
}

/// Returns the library of this name if the process has already loaded it.
fn loaded(name: &str) -> Option<libloading::Library> {
    // SAFETY: RTLD_NOLOAD runs no initializers; it only finds loaded libraries.
    unsafe { unix::Library::open(Some(name), libc::RTLD_NOLOAD | libc::RTLD_NOW) }.ok().map(Into::into)
}

/// Copies a C string; null becomes an empty string.
fn copied(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: NCCL's strings are NUL-terminated.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}

/// Returns the file that contains `function`.
fn path_of(function: *const c_void) -> Option<PathBuf> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: dladdr accepts any address and fills `info` if it returns non-zero.
    let found = unsafe { libc::dladdr(function, &mut info) } != 0 && !info.dli_fname.is_null();
    found.then(|| PathBuf::from(copied(info.dli_fname)))
}
