//! The listeners, and what the gate answers to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::leaf::{Host, HttpUrl, Origin, Url};
use super::super::problem::At;
use super::super::raw::{RawLimits, RawListener, RawListenerTls};
use super::super::report::Report;
use super::super::{Limits, Listen, Listener, ListenerTls};
use super::{pem, positive, unused};

/// The keys of the file that make a [`Listen`].
pub(super) struct Written {
    pub(super) listeners: Vec<RawListener>,
    pub(super) public_url: Option<HttpUrl>,
    pub(super) hosts: Option<Vec<Host>>,
    pub(super) origins: Vec<Origin>,
    pub(super) limits: RawLimits,
    pub(super) drain: Duration,
    pub(super) threads: Option<usize>,
}

pub(super) fn listen(written: Written, report: &mut Report<'_>) -> Listen {
    distinct_addresses(&written.listeners, report);
    let public_url = public_url(written.public_url.as_ref(), &written.listeners);
    if let Some(url) = &written.public_url {
        check_public_url(&url.0, &written.listeners, report);
    }
    Listen {
        hosts: hosts(written.hosts, &public_url, &written.listeners, report),
        origins: distinct(written.origins.into_iter().map(|origin| origin.0), "origins", report),
        limits: limits(&written.limits, report),
        drain: written.drain,
        threads: written.threads.unwrap_or_else(cores),
        listeners: listeners(written.listeners, report),
        public_url,
    }
}

/// The URL of the gate, without a slash at its end.
pub(super) fn public_url(written: Option<&HttpUrl>, listeners: &[RawListener]) -> String {
    match (written, listeners.first()) {
        (Some(url), _) => url.0.text.trim_end_matches('/').to_owned(),
        (None, Some(first)) => {
            let scheme = if first.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", first.address.0)
        }
        (None, None) => "http://127.0.0.1:8080".to_owned(),
    }
}

fn check_public_url(url: &Url, listeners: &[RawListener], report: &mut Report<'_>) {
    let at = At::default().key("public_url");
    if url.uri.path() != "/" || url.uri.query().is_some() {
        let fix = "give scheme, host and port only: the gate's paths are fixed";
        report.error(&at, "has a path or a query", fix);
    }
    let in_clear = |listener: &RawListener| listener.tls.is_none() && !listener.address.0.ip().is_loopback();
    if url.uri.scheme_str() == Some("http") && listeners.iter().any(in_clear) {
        let fix = "give the listener `tls`, or let a proxy speak TLS and write `https` here";
        report.warn(&at, "agents send their tokens over cleartext", fix);
    }
}

fn distinct_addresses(listeners: &[RawListener], report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let address = listener.address.0;
        if address.port() != 0 && !seen.insert(address) {
            let at = At::default().key("listen").item(index).key("address");
            report.error(&at, format!("`{address}` is listed twice"), "remove one of the two");
        }
    }
}

fn listeners(raw: Vec<RawListener>, report: &mut Report<'_>) -> Vec<Listener> {
    let at = At::default().key("listen");
    let listener = |(index, raw): (usize, RawListener)| Listener {
        address: raw.address.0,
        tls: raw.tls.map(|raw| tls(&raw, &at.item(index).key("tls"), report)),
    };
    raw.into_iter().enumerate().map(listener).collect()
}

pub(super) fn tls(raw: &RawListenerTls, at: &At, report: &mut Report<'_>) -> ListenerTls {
    let tls = ListenerTls {
        certificate: report.path(&raw.certificate.0),
        key: report.path(&raw.key.0),
        client_authorities: raw.client_authorities.as_ref().map(|path| report.path(&path.0)),
        client_required: raw.client_required,
    };
    pem::pair(&tls.certificate, &tls.key, at, report);
    if let Some(authorities) = &tls.client_authorities {
        pem::authorities(authorities, &at.key("client_authorities"), report);
    } else if tls.client_required {
        unused(
            report,
            &at.key("client_required"),
            "there are no `client_authorities` to check a certificate with",
        );
    }
    tls
}

fn hosts(
    written: Option<Vec<Host>>,
    public_url: &str,
    listeners: &[RawListener],
    report: &mut Report<'_>,
) -> Vec<String> {
    if let Some(hosts) = written {
        return distinct(hosts.into_iter().map(|host| host.0), "hosts", report);
    }
    let public = public_url.split_once("://").map_or(public_url, |(_, authority)| authority);
    let mut hosts = vec![public.to_ascii_lowercase()];
    hosts.extend(listeners.iter().flat_map(|listener| names(listener.address.0)));
    let mut seen = BTreeSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    hosts
}

/// By which hosts a client on this machine or this network reaches an address. The port is left out where it is not known yet.
fn names(address: SocketAddr) -> Vec<String> {
    let with_port = |host: &str| match address.port() {
        0 => host.to_owned(),
        port => format!("{host}:{port}"),
    };
    match address.ip() {
        ip if ip.is_loopback() => ["localhost", "127.0.0.1", "[::1]"].map(with_port).to_vec(),
        ip if ip.is_unspecified() => Vec::new(),
        std::net::IpAddr::V4(ip) => vec![with_port(&ip.to_string())],
        std::net::IpAddr::V6(ip) => vec![with_port(&format!("[{ip}]"))],
    }
}

fn distinct(values: impl Iterator<Item = String>, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for (index, value) in values.enumerate() {
        if kept.contains(&value) {
            let at = At::default().key(key).item(index);
            report.error(&at, format!("`{value}` is listed twice"), "remove one of the two");
        }
        kept.push(value);
    }
    kept
}

fn limits(raw: &RawLimits, report: &mut Report<'_>) -> Limits {
    let at = At::default().key("limits");
    let times = [
        ("header_timeout", &raw.header_timeout),
        ("keepalive", &raw.keepalive),
        ("body_timeout", &raw.body_timeout),
        ("write_timeout", &raw.write_timeout),
        ("stream_keepalive", &raw.stream_keepalive),
    ];
    for (key, time) in times {
        positive(report, &at.key(key), time.0);
    }
    if raw.header_bytes.0 < 1 << 10 {
        report.error(
            &at.key("header_bytes"),
            "is less than 1KiB",
            "give at least `1KiB`, or no request passes",
        );
    }
    let mut size = |key: &str, bytes: u64| bounded(bytes, &at.key(key), report);
    Limits {
        header_bytes: size("header_bytes", raw.header_bytes.0),
        header_timeout: raw.header_timeout.0,
        keepalive: raw.keepalive.0,
        body_bytes: size("body_bytes", raw.body_bytes.0),
        body_timeout: raw.body_timeout.0,
        json_depth: raw.json_depth,
        connections: raw.connections,
        streams_per_tenant: raw.streams_per_tenant,
        unknown_urls: raw.unknown_urls,
        write_timeout: raw.write_timeout.0,
        stream_keepalive: raw.stream_keepalive.0,
        answer_bytes: size("answer_bytes", raw.answer_bytes.0),
        event_bytes: size("event_bytes", raw.event_bytes.0),
    }
}

/// A limit that a machine can hold in memory.
fn bounded(bytes: u64, at: &At, report: &mut Report<'_>) -> usize {
    const MOST: usize = 1 << 30;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= MOST => bytes,
        Ok(_) | Err(_) => {
            report.error(at, "is more than 1GiB", "give `1GiB` or less");
            MOST
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
