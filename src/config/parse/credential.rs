//! With what the gate authenticates at a server.

use super::super::problem::{At, listed};
use super::super::raw::{
    RawAuthorizationCode, RawAwsSigv4, RawBasic, RawCredential, RawFetched, RawHeader, RawOauth, RawOauth1,
    RawQuery, RawSecret, RawServerTls, RawSigned, RawSigning, RawWebhook,
};
use super::super::report::Report;
use super::super::{
    AssertionAlgorithm, Authority, AuthorizationCode, AwsSigv4, ClientCredentials, ClientProof, Credential,
    Fetched, Oauth1, SecretPlace, SecretSource, Signed, UpstreamTls, Webhook,
};
use super::accounts::{Known, in_clear};
use super::servers;
use super::unused;
use super::vouch::reserved;
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;

/// Whose credential it is, and what it may refer to.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) server: &'a ServerName,
    pub(super) known: Known<'a>,
}

pub(super) fn credential(
    raw: RawCredential,
    at: &At,
    place: Place<'_>,
    report: &mut Report<'_>,
) -> Credential {
    match raw {
        RawCredential::None => Credential::None,
        RawCredential::Bearer(raw) => Credential::Bearer(secret(raw, &at.key("bearer"), Some(place), report)),
        RawCredential::Basic(raw) => basic(raw, &at.key("basic"), place, report),
        RawCredential::Header(raw) => header(raw, &at.key("header"), place, report),
        RawCredential::Query(raw) => query(raw, &at.key("query"), place, report),
        RawCredential::Oauth(raw) => client_credentials(*raw, &at.key("oauth"), place, report),
        RawCredential::AuthorizationCode(raw) => {
            authorization_code(*raw, &at.key("authorization_code"), place, report)
        }
        RawCredential::Oauth1(raw) => oauth1(raw, &at.key("oauth1"), place, report),
        RawCredential::AwsSigv4(raw) => aws_sigv4(raw, &at.key("aws_sigv4"), place, report),
    }
}

fn basic(raw: RawBasic, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Credential {
    if raw.user.0.contains(':') {
        let what = "has a colon, which ends a user name (RFC 7617)";
        report.error(&at.key("user"), what, "give a name without one");
    }
    Credential::Basic {
        user: raw.user.0,
        password: secret(raw.password, &at.key("password"), Some(place), report),
    }
}

fn header(raw: RawHeader, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Credential {
    let name = raw.name.0;
    let is_reserved = reserved(&name) && name != http::header::AUTHORIZATION;
    if is_reserved || name == place.known.vouch.header {
        let what = format!("`{name}` is written by the gate itself");
        report.error(&at.key("name"), what, "name the header that the server reads its key from");
    }
    Credential::Header { name, value: secret(raw.value, &at.key("value"), Some(place), report) }
}

fn query(raw: RawQuery, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Credential {
    let fix = "take `header` or `bearer` where the server reads one";
    report.warn(at, "a credential in a URL is written into logs on its way", fix);
    Credential::Query { name: raw.name.0, value: secret(raw.value, &at.key("value"), Some(place), report) }
}

fn client_credentials(raw: RawOauth, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Credential {
    in_clear(&raw.token_url.0.uri, &at.key("token_url"), report);
    let tls = own_tls(&raw.tls, raw.token_url.0.uri.scheme_str(), at, report);
    let written = Written { secret: raw.client_secret, signed: raw.signed, in_body: raw.in_body };
    let proof = proof(written, &tls, at, place, report);
    if matches!(proof, ClientProof::Public) {
        let fix = "give `client_secret`, `signed` or `tls.certificate`";
        report.error(at, "does not say how the client proves itself", fix);
    }
    Credential::ClientCredentials(Box::new(ClientCredentials {
        token_url: raw.token_url.0.text,
        client_id: raw.client_id.0,
        proof,
        tls,
        scopes: raw.scopes.into_iter().map(|scope| scope.0).collect(),
        resource: raw.resource.map(|resource| resource.0),
    }))
}

fn authorization_code(
    raw: RawAuthorizationCode,
    at: &At,
    place: Place<'_>,
    report: &mut Report<'_>,
) -> Credential {
    for (key, url) in [
        ("issuer", &raw.issuer),
        ("authorization_url", &raw.authorization_url),
        ("token_url", &raw.token_url),
    ] {
        if let Some(url) = url {
            in_clear(&url.0.uri, &at.key(key), report);
        }
    }
    let scheme = raw.token_url.as_ref().or(raw.issuer.as_ref()).and_then(|url| url.0.uri.scheme_str());
    let tls = own_tls(&raw.tls, scheme, at, report);
    let written = Written { secret: raw.client_secret, signed: raw.signed, in_body: raw.in_body };
    let proof = proof(written, &tls, at, place, report);
    if raw.client_id.is_none() && !matches!(proof, ClientProof::Public) {
        let fix = "give `client_id`, or leave the proof out where the client is registered by the gate";
        report.error(at, "has a proof of the client and no `client_id`", fix);
    }
    let issuer = raw.issuer.map(|url| url.0.text);
    let authority = match (raw.authorization_url, raw.token_url) {
        (Some(authorization), Some(token)) => {
            Authority::Endpoints { authorization: authorization.0.text, token: token.0.text, issuer }
        }
        (None, None) => issuer.map_or(Authority::OfTheServer, Authority::Issuer),
        (Some(_), None) | (None, Some(_)) => {
            let fix = "give both, or neither and `issuer`";
            report.error(at, "has only one of `authorization_url` and `token_url`", fix);
            Authority::OfTheServer
        }
    };
    if matches!(authority, Authority::Endpoints { .. }) && raw.client_id.is_none() {
        let fix = "register a client there and give its `client_id`";
        report.error(at, "has endpoints and no `client_id`", fix);
    }
    Credential::AuthorizationCode(Box::new(AuthorizationCode {
        authority,
        client_id: raw.client_id.map(|id| id.0),
        proof,
        tls,
        scopes: raw.scopes.into_iter().map(|scope| scope.0).collect(),
        resource: raw.resource.map(|resource| resource.0),
    }))
}

/// The secret is no tenant's, so it is not sealed for one.
pub(super) fn webhook(raw: RawWebhook, report: &mut Report<'_>) -> Webhook {
    let at = At::default().key("webhook");
    in_clear(&raw.url.0.uri, &at.key("url"), report);
    if matches!(raw.secret, RawSecret::Sealed | RawSecret::Fetched(_)) {
        report.error(
            &at.key("secret"),
            "is of no tenant, so it is neither sealed nor fetched for one",
            "write `{file: …}`",
        );
    }
    let secret = secret(raw.secret, &at.key("secret"), None, report);
    Webhook { url: raw.url.0.text, secret, private: raw.private }
}

/// TLS of an authorization server, which would have no effect in cleartext.
fn own_tls(raw: &RawServerTls, scheme: Option<&str>, at: &At, report: &mut Report<'_>) -> UpstreamTls {
    if scheme == Some("http") && report.is_written(&at.key("tls")) {
        unused(report, &at.key("tls"), "the URL begins with `http`");
    }
    servers::tls(raw, &at.key("tls"), report)
}

/// What is written of a client's proof.
struct Written {
    secret: Option<RawSecret>,
    signed: Option<RawSigned>,
    in_body: bool,
}

fn proof(
    written: Written,
    tls: &UpstreamTls,
    at: &At,
    place: Place<'_>,
    report: &mut Report<'_>,
) -> ClientProof {
    if written.in_body && written.secret.is_none() {
        unused(report, &at.key("in_body"), "there is no `client_secret`");
    }
    if written.secret.is_some() && written.signed.is_some() {
        report.error(
            &at.key("signed"),
            "stands beside `client_secret`",
            "a client has one proof: remove one of the two",
        );
    }
    match (written.signed, written.secret) {
        (Some(raw), _) => ClientProof::Signed(signed(raw, &at.key("signed"), place, report)),
        (None, Some(raw)) => {
            let secret = secret(raw, &at.key("client_secret"), Some(place), report);
            if written.in_body { ClientProof::Body(secret) } else { ClientProof::Basic(secret) }
        }
        (None, None) if tls.client.is_some() => ClientProof::Certificate,
        (None, None) => ClientProof::Public,
    }
}

fn signed(raw: RawSigned, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Signed {
    Signed {
        key: secret(raw.key, &at.key("key"), Some(place), report),
        algorithm: match raw.algorithm {
            RawSigning::PS256 => AssertionAlgorithm::Ps256,
            RawSigning::RS256 => AssertionAlgorithm::Rs256,
            RawSigning::ES256 => AssertionAlgorithm::Es256,
        },
        key_id: raw.key_id.map(|id| id.0),
        audience: raw.audience.map(|audience| audience.0),
        scopes_inside: raw.scopes_inside,
    }
}

fn oauth1(raw: RawOauth1, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Credential {
    one_sealed(&[&raw.consumer_secret, &raw.token_secret], at, report);
    if raw.realm.0.contains(['"', '\\']) {
        report.error(
            &at.key("realm"),
            "has a quote or a backslash",
            "give NetSuite's account id, such as `1234567_SB1`",
        );
    }
    Credential::Oauth1(Oauth1 {
        realm: raw.realm.0,
        consumer_key: raw.consumer_key.0,
        consumer_secret: secret(raw.consumer_secret, &at.key("consumer_secret"), Some(place), report),
        token_id: raw.token_id.0,
        token_secret: secret(raw.token_secret, &at.key("token_secret"), Some(place), report),
    })
}

fn aws_sigv4(raw: RawAwsSigv4, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Credential {
    let both: Vec<_> = std::iter::once(&raw.secret_access_key).chain(&raw.session_token).collect();
    one_sealed(&both, at, report);
    let session = |raw| secret(raw, &at.key("session_token"), Some(place), report);
    let session_token = raw.session_token.map(session);
    Credential::AwsSigv4(AwsSigv4 {
        region: raw.region.0,
        service: raw.service.0,
        access_key_id: raw.access_key_id.0,
        secret_access_key: secret(raw.secret_access_key, &at.key("secret_access_key"), Some(place), report),
        session_token,
    })
}

/// The store keeps one sealed secret for an account.
fn one_sealed(secrets: &[&RawSecret], at: &At, report: &mut Report<'_>) {
    if secrets.iter().filter(|secret| matches!(secret, RawSecret::Sealed)).count() > 1 {
        let fix = "keep one of them in a file: what is the tenant's own is best sealed";
        report.error(at, "has two sealed secrets, and an account has one", fix);
    }
}

fn secret(raw: RawSecret, at: &At, place: Option<Place<'_>>, report: &mut Report<'_>) -> SecretSource {
    match raw {
        RawSecret::Sealed => SecretSource::Sealed,
        RawSecret::Fetched(raw) => match place {
            Some(place) => SecretSource::Fetched(fetched(raw, &at.key("fetched"), place, report)),
            None => SecretSource::Sealed, // which was refused
        },
        RawSecret::File(file) => {
            let file = report.path(&file.0);
            let fix = "name a readable file with the secret in it";
            match std::fs::read(&file) {
                Err(error) => report.error(
                    &at.key("file"),
                    format!("`{}` cannot be read: {error}", file.display()),
                    fix,
                ),
                Ok(text) if text.trim_ascii().is_empty() => {
                    report.error(&at.key("file"), format!("`{}` is empty", file.display()), fix);
                }
                Ok(_) => {}
            }
            SecretSource::File(file)
        }
        RawSecret::Inline(inline) => {
            let at = at.key("inline");
            let is_line = |c: char| !c.is_control() || (c == '\n' && inline.0.starts_with("-----BEGIN "));
            if inline.0.is_empty() || !inline.0.chars().all(is_line) {
                report.error(&at, "is empty, or has control characters", "give the secret alone");
            }
            report.warn(&at, "the secret stands in the configuration", "use `sealed` or `{file: …}`");
            SecretSource::Inline(Secret::new(inline.0))
        }
    }
}

fn fetched(raw: RawFetched, at: &At, place: Place<'_>, report: &mut Report<'_>) -> Fetched {
    let path = raw.path.map(|path| path.0);
    let fetched = |own: Option<String>| Fetched {
        from: raw.from.0.clone(),
        place: path.clone().or(own),
        path: path.clone(),
        field: raw.field.as_ref().map(|field| field.0.clone()),
    };
    let Some(service) = place.known.secrets.get(&raw.from.0) else {
        if !report.is_broken("secrets") {
            let known = listed(place.known.secrets.keys().map(String::as_str));
            let what = format!("there is no `{}` under `secrets`", raw.from.0.escape_debug());
            report.error(&at.key("from"), what, format!("known there: {known}"));
        }
        return fetched(None);
    };
    let template = match &service.place {
        SecretPlace::Vault(it) => &it.path,
        SecretPlace::Aws(it) => &it.name,
        SecretPlace::File(it) => it,
        SecretPlace::Command(_) => {
            if path.is_some() {
                unused(report, &at.key("path"), "a command is told the tenant and the server");
            }
            return fetched(None);
        }
    };
    if matches!(service.place, SecretPlace::Vault(_)) && raw.field.is_none() {
        let what = "is missing: a secret of Vault has members, and one of them is meant";
        report.error(&at.key("field"), what, "name it, such as `field: token`");
    }
    let own = template.of(place.tenant.as_str(), place.server.as_str());
    if own.is_none() && path.is_none() {
        let what = format!("`{}` cannot stand in a path", place.tenant.as_str().escape_debug());
        report.error(at, what, "let the operator write the account with a `path` of its own");
    }
    fetched(own)
}
