//! What the system lets this process do: open files, for a stream of events holds two sockets, the caller's and the server's;
//! and leave its memory behind, which has credentials in it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Fewer are not enough for the connections that a gate takes by default, each with one of its own to a server.
const PLENTY: u64 = 20_000;

/// Raises the soft limit of open files to the hard one, which shells and service managers set far apart. Returns what
/// the limit is now; `None`: there is none.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "The limit of open files cannot be raised");
    }
    let limit = getrlimit(Resource::Nofile).current;
    if let Some(limit) = limit.filter(|limit| *limit < PLENTY) {
        tracing::warn!(limit, "Few files may be open (`ulimit -n`): connections beyond that will be refused");
    }
    limit
}

/// Keeps the memory of this process, with whatever credentials are in it, from core dumps and from debuggers of the same
/// user (`PR_SET_DUMPABLE`, prctl(2)).
pub fn keep_memory_private() {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, nothing);
    if let Err(error) = limited.and(set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        tracing::warn!(%error, "Core dumps cannot be switched off: one would have credentials in it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_becomes_what_the_system_allows() {
        let limit = raise_open_files();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
    }
}
