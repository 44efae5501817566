//! Ends a process of a job without unwinding into MPI_Finalize, and within seconds, whatever its threads are waiting for.

use std::ptr;
use std::time::Duration;

use regatta_run_folder::ExitCode;

/// Memory that a process can still map unless it is exhausted: more than the C allocator asks the kernel for at a time.
const SPARE_BYTES: usize = 80 << 20;

/// Longest time for MPI_Abort, which waits for mpirun's daemon; that daemon may be stopped or hang.
const ABORT: Duration = Duration::from_secs(5);

/// Ends every rank of the job with exit code `code`. May be called from any thread. Does not unwind: an unwinding rank would
/// run MPI_Finalize and wait for ranks that wait for it. If MPI does not respond, only this process ends.
pub fn end_job(code: i32) -> ! {
    exit_after(ABORT, code);
    #[cfg(feature = "mpi")]
    crate::mpi_world::abort(code);
    exit(code)
}

/// Ends this process with exit code `code` after `time`, unless it has ended before. The thread that does so calls nothing
/// that could block. Call it before operations that may never return: final messages, MPI_Abort, MPI_Finalize.
pub fn exit_after(time: Duration, code: i32) {
    let wait = move || {
        std::thread::sleep(time);
        exit(code)
    };
    if std::thread::Builder::new().name("exit".into()).spawn(wait).is_err() {
        report_exhausted_resources();
        exit(code); // without the time limit, the operation that follows could hang
    }
}

/// Makes a process that aborts for lack of memory end with exit code 70 and a message. Rust's own allocations abort when they
/// fail, and so do C++ exceptions that nothing catches. Any other abort stays one.
pub fn explain_exhausted_memory() {
    // SAFETY: sigaction is plain bits, valid when zero, borrowed for the call; the handler calls only what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_abort as *const () as libc::sighandler_t;
        // After the handler returns, abort() raises the signal again, with its default action.
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigaction(libc::SIGABRT, &action, ptr::null_mut());
    }
}

extern "C" fn on_abort(_: libc::c_int) {
    if is_memory_exhausted() {
        report_exhausted_resources();
        exit(ExitCode::Internal.code());
    }
}

fn is_memory_exhausted() -> bool {
    let (access, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, which nothing refers to and which is removed at once.
    unsafe {
        let spare = libc::mmap(ptr::null_mut(), SPARE_BYTES, access, private, -1, 0);
        spare == libc::MAP_FAILED || libc::munmap(spare, SPARE_BYTES) != 0
    }
}

/// Writes the message to standard error if that does not block, without allocating memory.
fn report_exhausted_resources() {
    let text = b"error: this process is out of memory or threads: lower train.micro_batch_size, or raise its limits (ulimit -v, -u)\n";
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one live entry, and exactly the bytes of the text.
    unsafe {
        if libc::poll(&mut stderr, 1, 0) == 1 && stderr.revents & libc::POLLOUT != 0 {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        }
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process; no code runs afterwards.
    unsafe { libc::_exit(code) }
}
