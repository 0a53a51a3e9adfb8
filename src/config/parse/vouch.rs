//! The signed statement to the server.

use std::time::Duration;

use http::HeaderName;

use super::super::leaf::HttpUrl;
use super::super::problem::At;
use super::super::raw::{RawListener, RawSignature, RawVouch};
use super::super::report::Report;
use super::super::{Signature, Vouch};
use super::listen::public_url;

pub(super) fn vouch(
    raw: &RawVouch,
    url: Option<&HttpUrl>,
    listeners: &[RawListener],
    report: &mut Report<'_>,
) -> Vouch {
    let at = At::default().key("vouch");
    let (lifetime, rotate) = (raw.lifetime.0, raw.rotate.0);
    if lifetime > Duration::from_secs(60) {
        report.error(
            &at.key("lifetime"),
            "is more than 60 s",
            "give `60s` or less: a statement is made for each call",
        );
    }
    if lifetime < Duration::from_secs(1) {
        report.error(&at.key("lifetime"), "is less than 1 s", "give between `1s` and `60s`");
    }
    if rotate < Duration::from_secs(300) {
        report.error(
            &at.key("rotate"),
            "is less than 5 minutes",
            "give at least `5m`: servers cache the gate's keys",
        );
    }
    if reserved(&raw.header.0) {
        let what = format!("`{}` has a meaning of its own in HTTP or MCP", raw.header.0);
        report.error(&at.key("header"), what, "use another header, such as `Txn-Token`");
    }
    Vouch {
        issuer: raw.issuer.as_ref().map_or_else(|| public_url(url, listeners), |url| url.0.text.clone()),
        header: raw.header.0.clone(),
        algorithm: match raw.algorithm {
            RawSignature::EdDsa => Signature::EdDsa,
            RawSignature::Es256 => Signature::Es256,
        },
        lifetime,
        rotate,
    }
}

/// Headers that the gate writes itself, or that frame the message.
pub(super) fn reserved(name: &HeaderName) -> bool {
    const FRAMING: [&str; 16] = [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.as_str();
    FRAMING.contains(&name) || name.starts_with("mcp-") || name == "traceparent" || name == "tracestate"
}
