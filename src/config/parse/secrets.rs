//! From where secrets and keys are fetched.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;

use super::super::leaf::{FilePath, HttpUrl};
use super::super::problem::At;
use super::super::raw::{
    RawAwsIdentity, RawAwsKey, RawGoogleKey, RawSecretService, RawSecretsManager, RawVaultKv, RawVaultLogin,
};
use super::super::report::Report;
use super::super::secrets::BadTemplate;
use super::super::{
    AwsIdentity, AwsKey, AwsService, GoogleIdentity, GoogleKey, SecretPlace, SecretService, SecretsManager,
    Template, VaultKv, VaultLogin,
};
use super::{pem, positive, servers, unused};

pub(super) type Secrets = BTreeMap<String, Arc<SecretService>>;

pub(super) fn secrets(raw: BTreeMap<String, RawSecretService>, report: &mut Report<'_>) -> Secrets {
    let at = At::default().key("secrets");
    let mut secrets = Secrets::new();
    for (name, raw) in raw {
        let at = at.key(&name);
        positive(report, &at.key("keep"), raw.keep.0);
        let (keep, stale) = (raw.keep.0, raw.stale.0);
        if let Some(place) = place(raw, &at, report) {
            secrets.insert(name, Arc::new(SecretService { place, keep, stale }));
        }
    }
    secrets
}

fn place(raw: RawSecretService, at: &At, report: &mut Report<'_>) -> Option<SecretPlace> {
    match (raw.vault, raw.aws, raw.file, raw.command) {
        (Some(raw), None, None, None) => vault(raw, &at.key("vault"), report).map(SecretPlace::Vault),
        (None, Some(raw), None, None) => aws(raw, &at.key("aws"), report).map(SecretPlace::Aws),
        (None, None, Some(file), None) => {
            let file = report.path(&file.0);
            template(&file.to_string_lossy(), &at.key("file"), report).map(SecretPlace::File)
        }
        (None, None, None, Some(command)) => {
            program(&command, &at.key("command"), report);
            Some(SecretPlace::Command(command))
        }
        _ if report.is_broken("secrets") => None,
        _ => {
            let what = "must be one of `vault`, `aws`, `file` and `command`";
            report.error(at, what, "keep the one that has the secrets");
            None
        }
    }
}

fn vault(raw: RawVaultKv, at: &At, report: &mut Report<'_>) -> Option<VaultKv> {
    guarded(&raw.url.0.uri, &at.key("url"), report);
    Some(VaultKv {
        url: bare(raw.url),
        namespace: raw.namespace.map(|name| name.0),
        mount: raw.mount.0.trim_matches('/').to_owned(),
        path: template(&raw.path.0, &at.key("path"), report)?,
        login: login(raw.login, report),
        authorities: authorities(raw.authorities, at, report),
    })
}

fn login(raw: RawVaultLogin, report: &Report<'_>) -> VaultLogin {
    let mount = |mount: &str| mount.trim_matches('/').to_owned();
    match raw {
        RawVaultLogin::Token(file) => VaultLogin::Token(report.path(&file.0)),
        RawVaultLogin::AppRole(raw) => VaultLogin::AppRole {
            mount: mount(&raw.mount.0),
            role_id: raw.role_id.0,
            secret_id: report.path(&raw.secret_id.0),
        },
        RawVaultLogin::Kubernetes(raw) => VaultLogin::Kubernetes {
            mount: mount(&raw.mount.0),
            role: raw.role.0,
            token: report.path(&raw.token.0),
        },
    }
}

fn aws(raw: RawSecretsManager, at: &At, report: &mut Report<'_>) -> Option<SecretsManager> {
    let service = Service { name: "secretsmanager", region: raw.region.0, url: raw.url };
    Some(SecretsManager {
        service: service.parsed(raw.identity, at, report),
        name: template(&raw.name.0, &at.key("name"), report)?,
    })
}

pub(super) fn aws_key(raw: RawAwsKey, at: &At, report: &mut Report<'_>) -> AwsKey {
    let service = Service { name: "kms", region: raw.region.0, url: raw.url };
    AwsKey { service: service.parsed(raw.identity, at, report), key: raw.key.0 }
}

/// What is written of a service of AWS.
struct Service {
    name: &'static str,
    region: String,
    url: Option<HttpUrl>,
}

impl Service {
    fn parsed(self, identity: RawAwsIdentity, at: &At, report: &mut Report<'_>) -> AwsService {
        if let Some(url) = &self.url {
            guarded(&url.0.uri, &at.key("url"), report);
        }
        let identity = match identity {
            RawAwsIdentity::Key(raw) => AwsIdentity::Key {
                id: raw.id.0,
                secret: report.path(&raw.secret.0),
                session_token: raw.session_token.map(|file| report.path(&file.0)),
            },
            RawAwsIdentity::Process(command) => {
                program(&command, &at.key("identity").key("process"), report);
                AwsIdentity::Process(command)
            }
        };
        let own = || {
            let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{}.{}.{domain}", self.name, self.region)
        };
        AwsService { url: self.url.map_or_else(own, bare), region: self.region, identity }
    }
}

pub(super) fn google_key(raw: RawGoogleKey, at: &At, report: &mut Report<'_>) -> GoogleKey {
    if let Some(url) = &raw.url {
        guarded(&url.0.uri, &at.key("url"), report);
    }
    if raw.service_account.is_some() && raw.metadata.is_some() {
        unused(report, &at.key("metadata"), "`service_account` stands beside it");
    }
    let or = |url: Option<HttpUrl>, default: &str| url.map_or_else(|| default.to_owned(), bare);
    let identity = match raw.service_account {
        Some(file) => GoogleIdentity::ServiceAccount(report.path(&file.0)),
        None => GoogleIdentity::Metadata(or(raw.metadata, "http://metadata.google.internal")),
    };
    GoogleKey { key: raw.key, url: or(raw.url, "https://cloudkms.googleapis.com"), identity }
}

/// What goes there is secret.
pub(super) fn guarded(url: &Uri, at: &At, report: &mut Report<'_>) {
    if url.scheme_str() == Some("http") && !servers::is_loopback(url) {
        let what = "is cleartext to another machine, and what is secret would be seen on the way";
        report.error(at, what, "write https://");
    }
}

pub(super) fn authorities(file: Option<FilePath>, at: &At, report: &mut Report<'_>) -> Option<PathBuf> {
    let file = report.path(&file?.0);
    pem::authorities(&file, &at.key("authorities"), report);
    Some(file)
}

pub(super) fn program(command: &[String], at: &At, report: &mut Report<'_>) {
    if command.first().is_none_or(|program| program.trim().is_empty()) {
        report.error(at, "names no program", "give the program, then its arguments");
    }
}

pub(super) fn bare(url: HttpUrl) -> String {
    url.0.text.trim_end_matches('/').to_owned()
}

fn template(text: &str, at: &At, report: &mut Report<'_>) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(BadTemplate::NoTenant) => {
            let what = "has no segment `{tenant}`, so tenants could be given each other's secrets";
            report.error(at, what, "write one such as `mcp/{tenant}/{server}`");
            None
        }
        Err(BadTemplate::Brace) => {
            report.error(
                at,
                "has a brace of its own",
                "write `{tenant}` and `{server}`, and no other braces",
            );
            None
        }
    }
}
