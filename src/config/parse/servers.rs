//! The upstream servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::problem::At;
use super::super::raw::{RawEras, RawServer, RawServerTls, RawTimeouts, RawTool, RawTrust};
use super::super::report::Report;
use super::super::{Eras, PinMode, Pinning, Server, Timeouts, ToolRule, UpstreamTls};
use super::{pem, pin_mode, positive, unused};
use crate::name::ServerName;

pub(super) fn servers(
    raw: BTreeMap<String, RawServer>,
    pins: Option<&Pinning>,
    report: &mut Report<'_>,
) -> BTreeMap<ServerName, Arc<Server>> {
    let at = At::default().key("servers");
    if raw.is_empty() && !report.is_broken("servers") {
        report.error(&at, "there is no server", "describe at least one: `servers: {NAME: {url: …}}`");
    }
    let mut servers = BTreeMap::new();
    for (name, raw) in raw {
        let at = at.key(&name);
        match ServerName::parse(&name) {
            Ok(name) => {
                servers.insert(name.clone(), Arc::new(server(name, raw, pins, &at, report)));
            }
            Err(bad) => {
                let what = format!("`{}` is not the name of a server: {bad}", name.escape_debug());
                report.error(&at, what, "use letters, digits, `-`, `_` and `.`");
            }
        }
    }
    servers
}

fn server(
    name: ServerName,
    raw: RawServer,
    pins: Option<&Pinning>,
    at: &At,
    report: &mut Report<'_>,
) -> Server {
    let is_http = raw.url.0.uri.scheme_str() == Some("http");
    if is_http && report.is_written(&at.key("tls")) {
        unused(report, &at.key("tls"), "the URL begins with `http`");
    }
    if raw.pins.is_some() && pins.is_none() && !report.is_broken("pins") {
        unused(report, &at.key("pins"), "there is no `pins` that names a lock file");
    }
    let pins = pins.map_or(PinMode::Off, |pins| raw.pins.map_or(pins.mode, pin_mode));
    Server {
        name,
        url: raw.url.0.uri,
        tags: raw.tags.into_iter().map(|tag| Arc::from(tag.0)).collect(),
        trust_annotations: raw.trust == RawTrust::Annotations,
        tools: tools(raw.tools.unwrap_or_default(), &at.key("tools"), report),
        tls: tls(&raw.tls, &at.key("tls"), report),
        timeouts: timeouts(&raw.timeouts, &at.key("timeouts"), report),
        http2: raw.http2,
        eras: eras(raw.era),
        vouch_roles: raw.vouch_roles,
        pins,
    }
}

fn eras(raw: RawEras) -> Eras {
    match raw {
        RawEras::Auto => Eras::Auto,
        RawEras::Legacy => Eras::Legacy,
        RawEras::Modern => Eras::Modern,
        RawEras::Both => Eras::Both,
    }
}

fn tools(raw: Vec<RawTool>, at: &At, report: &mut Report<'_>) -> Vec<ToolRule> {
    let mut before: Vec<String> = Vec::new();
    let mut rules = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let (at, glob) = (at.item(index), raw.name.0.glob().to_owned());
        if raw.operation.is_none() && raw.tags.is_empty() {
            unused(report, &at, "it says nothing of the tools that match");
        }
        if let Some(first) = before.iter().find(|first| **first == glob || *first == "*") {
            unused(report, &at.key("name"), &format!("`{first}` above matches first"));
        }
        before.push(glob);
        rules.push(ToolRule {
            pattern: raw.name.0.compile_matcher(),
            operation: raw.operation.map(|operation| Arc::from(operation.0)),
            tags: raw.tags.into_iter().map(|tag| Arc::from(tag.0)).collect(),
        });
    }
    rules
}

pub(super) fn tls(raw: &RawServerTls, at: &At, report: &mut Report<'_>) -> UpstreamTls {
    let authorities = raw.authorities.as_ref().map(|path| report.path(&path.0));
    if let Some(authorities) = &authorities {
        pem::authorities(authorities, &at.key("authorities"), report);
    }
    let client = match (&raw.certificate, &raw.key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (report.path(&certificate.0), report.path(&key.0));
            pem::pair(&certificate, &key, at, report);
            Some((certificate, key))
        }
        (Some(_), None) => {
            report.error(&at.key("certificate"), "has no key", "give `key` as well");
            None
        }
        (None, Some(_)) => {
            report.error(&at.key("key"), "has no certificate", "give `certificate` as well");
            None
        }
        (None, None) => None,
    };
    UpstreamTls { authorities, client }
}

fn timeouts(raw: &RawTimeouts, at: &At, report: &mut Report<'_>) -> Timeouts {
    let times = [
        ("connect", &raw.connect),
        ("read", &raw.read),
        ("total", &raw.total),
        ("stream_idle", &raw.stream_idle),
    ];
    for (key, time) in times {
        positive(report, &at.key(key), time.0);
    }
    Timeouts { connect: raw.connect.0, read: raw.read.0, total: raw.total.0, stream_idle: raw.stream_idle.0 }
}

/// Whether a URL stays on this machine, as far as its text says.
pub(super) fn is_loopback(url: &http::Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}
