//! The admin listener, and who may use its API.

use super::super::problem::At;
use super::super::raw::{RawAdmin, RawAdminListener, RawListener};
use super::super::report::Report;
use super::super::{Admin, Static};
use super::{identity, listen, unused};

/// The roles that its API knows.
const ROLES: [&str; 2] = ["operator", "tenant-admin"];

pub(super) fn admin(raw: RawAdmin, listeners: &[RawListener], report: &mut Report<'_>) -> Admin {
    let RawAdmin::On(on) = raw else {
        return Admin {
            address: None,
            hosts: Vec::new(),
            tls: None,
            issuers: Vec::new(),
            certificates: None,
        };
    };
    let at = At::default().key("admin");
    address(&on, listeners, &at.key("address"), report);
    let tls = on.tls.as_ref().map(|raw| listen::tls(raw, &at.key("tls"), report));
    let shown = tls.as_ref().is_some_and(|tls| tls.client_authorities.is_some());
    if on.certificates.is_some() && !shown {
        let why = "`admin.tls` has no `client_authorities`, so that no client shows a certificate";
        unused(report, &at.key("certificates"), why);
    }
    let certificates =
        on.certificates.map(|rules| identity::certificates(rules, &at.key("certificates"), report));
    for (index, rule) in certificates.iter().flat_map(|certificates| &certificates.rules).enumerate() {
        role(&rule.who, &at.key("certificates").item(index).key("roles"), report);
    }
    Admin {
        address: Some(on.address.0),
        hosts: on.hosts.iter().map(|host| host.0.to_ascii_lowercase()).collect(),
        tls,
        issuers: identity::issuers(on.jwt.unwrap_or_default(), &at.key("jwt"), report),
        certificates,
    }
}

fn address(on: &RawAdminListener, listeners: &[RawListener], at: &At, report: &mut Report<'_>) {
    let address = on.address.0;
    if address.port() != 0 && listeners.iter().any(|listener| listener.address.0 == address) {
        report.error(
            at,
            format!("`{address}` is also an address of `listen`"),
            "give the admin listener a port of its own",
        );
    }
    if !address.ip().is_loopback() && on.tls.is_none() {
        let what =
            format!("`{address}` is reachable from other machines, and the admin listener speaks cleartext");
        let fix = "use a loopback address such as `127.0.0.1:9901`, give it `tls`, or keep others out by other means";
        report.warn(at, what, fix);
    }
}

/// Somebody with neither role could prove who they are, and then do nothing.
fn role(who: &Static, at: &At, report: &mut Report<'_>) {
    if !who.roles.iter().any(|role| ROLES.contains(&&**role)) {
        report.error(at, "has neither `operator` nor `tenant-admin`", "give one of the two");
    }
}
