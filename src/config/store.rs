//! Where state is kept when not in a file: Redis or Valkey, by one URL.

use std::fmt;
use std::time::Duration;

use crate::config::UpstreamTls;
use crate::secret::Secret;

/// A Redis or Valkey that several gates share.
#[derive(Debug)]
pub struct Redis {
    /// The URL without user information, for messages.
    pub url: String,
    /// Where its primary is, or how it is found.
    pub topology: Topology,
    /// TLS; `None`: cleartext.
    pub tls: Option<UpstreamTls>,
    /// The user of the server's access control list.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The number of the database.
    pub database: i64,
    /// What the keys begin with, in braces: one slot of a cluster.
    pub prefix: String,
    /// How many replicas must have a write before it counts.
    pub replicas: u32,
    /// How long a call waits until all gates have counted it; `None`: each gate counts alone.
    pub limits_within: Option<Duration>,
}

/// How the server that takes writes is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// It is this one.
    Alone(HostPort),
    /// Sentinels know.
    Sentinels {
        /// The sentinels.
        at: Vec<HostPort>,
        /// By which name.
        primary: String,
    },
    /// A node of the cluster knows.
    Cluster(Vec<HostPort>),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A URL of a store, taken apart.
#[derive(Debug, Clone)]
pub(super) struct StoreUrl {
    /// As it is written, without user information.
    pub(super) shown: String,
    pub(super) topology: Topology,
    pub(super) has_tls: bool,
    pub(super) database: i64,
    pub(super) user: Option<String>,
    pub(super) password: Option<Written>,
}

/// A password that was written in a URL. It prints nothing.
#[derive(Clone)]
pub(super) struct Written(pub(super) String);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
}

impl StoreUrl {
    /// No message repeats the text: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("this is not the URL of a Redis or Valkey")?;
        let kind = scheme.strip_prefix("redis").or_else(|| scheme.strip_prefix("valkey"));
        let kind = kind.ok_or_else(|| format!("`{}` is not a kind of store", scheme.escape_debug()))?;
        let (has_tls, kind) = kind.strip_prefix('s').map_or((false, kind), |kind| (true, kind));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(info, hosts)| (Some(info), hosts));
        if path.contains(['?', '#']) || hosts.contains(['?', '#']) {
            return Err("the URL has a query or a fragment".to_owned());
        }
        let (topology, database) = topology(kind, hosts, path)?;
        let (user, password) = credentials(user_info.unwrap_or_default())?;
        let shown = format!("{scheme}://{hosts}{}{path}", if path.is_empty() { "" } else { "/" });
        Ok(Self { shown, topology, has_tls, database, user, password })
    }

    /// As it is written, with a password masked.
    pub(super) fn masked(&self) -> String {
        match (&self.user, &self.password) {
            (None, None) => self.shown.clone(),
            (Some(_), _) | (None, Some(_)) => self.shown.replacen("://", "://…@", 1),
        }
    }
}

fn topology(kind: &str, hosts: &str, path: &str) -> Result<(Topology, i64), String> {
    match kind {
        "" => match all(hosts, 6379)?.as_slice() {
            [one] => Ok((Topology::Alone(one.clone()), database(path)?)),
            _ => Err("several hosts need sentinels or a cluster".to_owned()),
        },
        "+sentinel" => {
            let (primary, number) = path.split_once('/').unwrap_or((path, ""));
            if primary.is_empty() {
                return Err("the name by which the sentinels know the primary is missing".to_owned());
            }
            let topology = Topology::Sentinels { at: all(hosts, 26379)?, primary: primary.to_owned() };
            Ok((topology, database(number)?))
        }
        "+cluster" if path.is_empty() => Ok((Topology::Cluster(all(hosts, 6379)?), 0)),
        "+cluster" => Err("a cluster has one database, without a number".to_owned()),
        _ => Err("behind `+` there may be `sentinel` or `cluster`".to_owned()),
    }
}

fn all(hosts: &str, default: u16) -> Result<Vec<HostPort>, String> {
    hosts.split(',').map(|host| one(host, default)).collect()
}

fn one(text: &str, default: u16) -> Result<HostPort, String> {
    let wrong = || format!("`{}` is not a host with a port", text.escape_debug());
    let authority: http::uri::Authority = text.parse().map_err(|_| wrong())?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = match authority.port() {
        Some(port) => port.as_str().parse().ok().filter(|port| *port != 0),
        None => Some(default),
    };
    match (host.is_empty(), port) {
        (false, Some(port)) => Ok(HostPort { host: host.to_owned(), port }),
        (true, _) | (false, None) => Err(wrong()),
    }
}

fn database(text: &str) -> Result<i64, String> {
    match text {
        "" => Ok(0),
        number => number
            .parse::<u32>()
            .map(i64::from)
            .map_err(|_| format!("`{}` is not the number of a database", number.escape_debug())),
    }
}

type Credentials = (Option<String>, Option<Written>);

fn credentials(user_info: &str) -> Result<Credentials, String> {
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8();
        text.map(std::borrow::Cow::into_owned).map_err(|_| "the user information is not UTF-8".to_owned())
    };
    let present = |text: String| (!text.is_empty()).then_some(text);
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    Ok((present(decoded(user)?), present(decoded(password)?).map(Written)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[test]
    fn one_url_says_which_topology_it_is() {
        let url = StoreUrl::parse("redis://cache.example").unwrap();
        assert_eq!((url.topology, url.has_tls), (Topology::Alone(at("cache.example", 6379)), false));
        let url = StoreUrl::parse("rediss://[::1]:7000/3").unwrap();
        assert_eq!((url.topology, url.has_tls, url.database), (Topology::Alone(at("::1", 7000)), true, 3));
        let url = StoreUrl::parse("redis+sentinel://a,b:9/main").unwrap();
        let sentinels = vec![at("a", 26379), at("b", 9)];
        assert_eq!(url.topology, Topology::Sentinels { at: sentinels, primary: "main".into() });
        let url = StoreUrl::parse("valkeys+cluster://a:1,b:2").unwrap();
        assert_eq!((url.topology, url.has_tls), (Topology::Cluster(vec![at("a", 1), at("b", 2)]), true));
    }

    #[test]
    fn a_password_in_a_url_is_used_and_never_shown() {
        let url = StoreUrl::parse("redis://gate:p%40ss:w@cache.example:1").unwrap();
        assert_eq!(url.user.as_deref(), Some("gate"));
        assert_eq!(url.password.as_ref().unwrap().0, "p@ss:w");
        assert_eq!(url.masked(), "redis://…@cache.example:1");
        assert!(!format!("{url:?}").contains("p@ss"));
        for wrong in [
            "redis://u:hunter2@a,b",
            "redis+what://u:hunter2@a",
            "redis://u:hunter2@a/x",
            "redis://u:hunter2@",
        ] {
            let why = StoreUrl::parse(wrong).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
