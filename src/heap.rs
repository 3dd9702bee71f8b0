//! Settings of glibc's heap; on other systems nothing is done.
//!
//! By default glibc makes up to eight arenas for each core, all of them are used, and each keeps the most that it ever
//! needed: after pushes into 90,000 repositories that was half a gigabyte, of which some megabytes were in use
//! (`scripts/bench --growth`).

/// Bounds the number of arenas: one for each core, and two at the least, is enough for threads not to wait for each other.
/// Called before there are other threads.
pub fn bound_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let arenas = libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX);
        #[expect(unsafe_code, reason = "mallopt(3) has no safe form")]
        // SAFETY: a parameter that glibc defines, with a number that it takes.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}

/// Returns free memory to the system, where work has ended that needed much more than what goes on beside it. It takes
/// milliseconds, some for each ten megabytes of heap, in which other threads that allocate may wait: never on an async
/// worker.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "malloc_trim(3) has no safe form")]
        // SAFETY: it takes the locks that it needs, and changes nothing that is in use.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
