//! Where the server is that takes writes.
//!
//! # Why not the client library's own way
//! Everything lies in one slot, so that there is one such server in a cluster too, and one code for its connections, cache and
//! deadlines: topologies differ in how it is found, and in nothing else.

use std::sync::Arc;

use crate::config::{HostPort, Redis, Topology};
use crate::store::redis::layout::Layout;
use crate::store::redis::link::{Link, Login, Unlinked, client, settings};

/// How often a cluster may say that the keys are elsewhere, in one search.
const HOPS: usize = 5;

pub(super) async fn open(config: &Redis, layout: &Layout) -> Result<Arc<Link>, Unlinked> {
    match &config.topology {
        Topology::Alone(at) => Link::open(config, at, layout).await,
        Topology::Sentinels { at, primary } => {
            let mut why = Unlinked::Unknown("there is no sentinel".to_owned());
            for sentinel in at {
                match asked(config, sentinel, primary).await {
                    Ok(at) => match Link::open(config, &at, layout).await {
                        Ok(link) => return Ok(link),
                        Err(error) => why = error,
                    },
                    Err(error) => why = error,
                }
            }
            Err(why)
        }
        Topology::Cluster(nodes) => {
            let mut why = Unlinked::Unknown("there is no node".to_owned());
            for node in nodes {
                match followed(config, node, layout).await {
                    Ok(link) => return Ok(link),
                    Err(error) => why = error,
                }
            }
            Err(why)
        }
    }
}

/// What a sentinel says. It is told the password only where it wants one.
async fn asked(config: &Redis, sentinel: &HostPort, primary: &str) -> Result<HostPort, Unlinked> {
    let ask = async |login| {
        let client = client(config, sentinel, login)?;
        let failed = |error| Unlinked::Failed(format!("sentinel {sentinel}"), error);
        let connection = client
            .get_multiplexed_async_connection_with_config(&settings().set_response_timeout(Some(PATIENCE)))
            .await;
        let mut connection = connection.map_err(failed)?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
        command.query_async::<Option<(String, u16)>>(&mut connection).await.map_err(failed)
    };
    let said = match ask(Login::Never).await {
        Err(Unlinked::Failed(_, error)) if error.code() == Some("NOAUTH") => ask(Login::Always).await,
        said => said,
    };
    let unknown = || Unlinked::Unknown(format!("sentinel {sentinel} knows no primary `{primary}`"));
    said?.map(|(host, port)| HostPort { host, port }).ok_or_else(unknown)
}

/// For one answer of a sentinel.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

async fn followed(config: &Redis, node: &HostPort, layout: &Layout) -> Result<Arc<Link>, Unlinked> {
    let mut at = node.clone();
    for _ in 0..HOPS {
        match Link::open(config, &at, layout).await {
            Ok(link) => return Ok(link),
            Err(error) => match error.moved_to() {
                // A node that does not know its own name means the one that was asked.
                Some(("", port)) => at.port = port,
                Some((host, port)) => at = HostPort { host: host.to_owned(), port },
                None => return Err(error),
            },
        }
    }
    Err(Unlinked::Unknown(format!("{node} and those behind it point to one another")))
}
