//! Where state is kept.

use std::sync::Arc;

use super::super::leaf::StoreAt;
use super::super::problem::At;
use super::super::raw::{RawSealingKey, RawState};
use super::super::report::Report;
use super::super::{Redis, SealingKey, State, TransitKey};
use super::{positive, secrets, servers, unused};
use crate::secret::Secret;

pub(super) fn state(mut raw: RawState, report: &mut Report<'_>) -> State {
    let at = At::default().key("state");
    let directory = report.path(&raw.directory.0);
    if directory.exists() && !directory.is_dir() {
        let what = format!("`{}` is not a directory", directory.display());
        report.error(&at.key("directory"), what, "name a directory; it is made when missing");
    }
    let current = match raw.sealing_key.take() {
        None => SealingKey::File(directory.join("seal.key")),
        Some(key) => sealing_key(key, &at.key("sealing_key"), report),
    };
    if let SealingKey::File(file) = &current {
        super::super::keys::check(file, &directory, &at.key("sealing_key").key("file"), report);
    }
    let retired = std::mem::take(&mut raw.retired_sealing_keys).into_iter().enumerate();
    let retired_sealing_keys =
        retired.map(|(index, key)| sealing_key(key, &at.key("retired_sealing_keys").item(index), report));
    let retired_sealing_keys = retired_sealing_keys.collect();
    State {
        directory,
        sealing_key: current,
        retired_sealing_keys,
        redis: redis(raw, &at, report).map(Arc::new),
    }
}

fn sealing_key(raw: RawSealingKey, at: &At, report: &mut Report<'_>) -> SealingKey {
    match raw {
        RawSealingKey::File(file) => SealingKey::File(report.path(&file.0)),
        RawSealingKey::Command(command) => {
            secrets::program(&command, &at.key("command"), report);
            SealingKey::Command(command)
        }
        RawSealingKey::Transit(raw) => {
            let at = at.key("transit");
            secrets::guarded(&raw.url.0.uri, &at.key("url"), report);
            SealingKey::Transit(TransitKey {
                url: secrets::bare(raw.url),
                key: raw.key.0,
                token: report.path(&raw.token.0),
                authorities: secrets::authorities(raw.authorities, &at, report),
            })
        }
        RawSealingKey::AwsKms(raw) => SealingKey::AwsKms(secrets::aws_key(raw, &at.key("aws_kms"), report)),
        RawSealingKey::GcpKms(raw) => {
            SealingKey::GcpKms(secrets::google_key(raw, &at.key("gcp_kms"), report))
        }
    }
}

fn redis(raw: RawState, at: &At, report: &mut Report<'_>) -> Option<Redis> {
    let Some(StoreAt(url)) = raw.url else {
        for key in ["user", "password", "tls", "prefix", "replicas", "shared_limits", "limits_within"] {
            if report.is_written(&at.key(key)) && !report.is_broken("state") {
                unused(report, &at.key(key), "there is no `url`, and the embedded store is a file");
            }
        }
        return None;
    };
    if url.password.is_some() {
        let fix = "give it as `password: ${REDIS_PASSWORD}` or `password: file:PATH`";
        report.warn(&at.key("url"), "has a password in it", fix);
    }
    for (key, is_twice) in [
        ("user", url.user.is_some() && raw.user.is_some()),
        ("password", url.password.is_some() && raw.password.is_some()),
    ] {
        if is_twice {
            report.error(&at.key(key), "is in the URL as well", "say it in one place");
        }
    }
    if !url.has_tls && report.is_written(&at.key("tls")) {
        unused(report, &at.key("tls"), "the URL's scheme is one without TLS");
    }
    positive(report, &at.key("limits_within"), raw.limits_within.0);
    if !raw.shared_limits && report.is_written(&at.key("limits_within")) {
        unused(report, &at.key("limits_within"), "`shared_limits` is false");
    }
    let tls = servers::tls(&raw.tls, &at.key("tls"), report);
    let password = raw.password.map(|password| password.0);
    Some(Redis {
        url: url.shown,
        topology: url.topology,
        tls: url.has_tls.then_some(tls),
        user: raw.user.map(|user| user.0).or(url.user),
        password: password.or(url.password.map(|written| written.0)).map(Secret::new),
        database: url.database,
        prefix: raw.prefix,
        replicas: raw.replicas,
        limits_within: raw.shared_limits.then_some(raw.limits_within.0),
    })
}
