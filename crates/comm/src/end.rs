//! How a process of a job ends: without unwinding into MPI_Finalize, and within seconds, whatever its threads wait for.

use std::time::Duration;

/// What MPI_Abort is given: it waits for mpirun's daemon, which may be stopped or hang.
const ABORT: Duration = Duration::from_secs(5);

/// Ends every rank of the job with `code`, from any thread, without unwinding: an unwinding rank would run MPI_Finalize
/// and wait for peers that wait for it. Where MPI does not answer, this process ends alone.
pub fn end_job(code: i32) -> ! {
    exit_after(ABORT, code);
    #[cfg(feature = "mpi")]
    crate::mpi_world::abort(code);
    exit(code)
}

/// Ends this process with `code` when `time` is over, if it is still there then. The thread that does it calls nothing else, so
/// that nothing can hold it. Comes before what may never return: last words, MPI_Abort, MPI_Finalize.
pub fn exit_after(time: Duration, code: i32) {
    let wait = move || {
        std::thread::sleep(time);
        exit(code)
    };
    if std::thread::Builder::new().name("exit".into()).spawn(wait).is_err() {
        say_that_nothing_is_left();
        exit(code); // who could not be held to its time does not begin
    }
}

/// On standard error where that takes it at once, and without memory.
fn say_that_nothing_is_left() {
    let text = b"error: no memory or thread is left to this process: lower train.micro_batch_size, or raise its limits (ulimit -v, -u)\n";
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry that lives, and as many bytes as the text has.
    unsafe {
        if libc::poll(&mut stderr, 1, 0) == 1 && stderr.revents & libc::POLLOUT != 0 {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        }
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it runs afterwards.
    unsafe { libc::_exit(code) }
}
