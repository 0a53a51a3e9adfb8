//! How many files this process may have open: a stream of events holds two sockets, the caller's and the server's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_becomes_what_the_system_allows() {
        let limit = raise_open_files();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
    }
}
