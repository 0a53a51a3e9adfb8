//! Which client the gate is at an authorization server, in the order of the MCP specification: registered beforehand, by the URL of
//! its own metadata (CIMD), or registered by itself (RFC 7591).

use http::StatusCode;
use http::header::ACCEPT;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{AuthorizationCode, ClientProof};
use crate::credential::oauth::authority::Authority;
use crate::credential::oauth::grant::{Client, Grant};
use crate::credential::oauth::http::{Http, body, reason};
use crate::secret::Secret;

/// The path of the gate's client metadata.
pub(in crate::credential) const DOCUMENT: &str = "/oauth/client";
/// The path of the callback.
pub(in crate::credential) const CALLBACK: &str = "/oauth/callback";

/// The gate's client metadata, whose URL is its client id (Client ID Metadata Document).
pub(in crate::credential) fn document(public_url: &str) -> Value {
    json!({
        "client_id": format!("{public_url}{DOCUMENT}"),
        "client_name": "Portcullis",
        "redirect_uris": [format!("{public_url}{CALLBACK}")],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    })
}

/// The client of an account. `before`: the grant that the account has, whose client is used again where it can be.
///
/// # Errors
/// There is no way to be one, for the operator.
pub(in crate::credential) async fn client(
    http: &Http,
    account: &AuthorizationCode,
    authority: &Authority,
    public_url: &str,
    before: Option<&Grant>,
) -> Result<Client, String> {
    if let Some(id) = &account.client_id {
        let in_body = matches!(account.proof, ClientProof::Body(_));
        return Ok(Client { id: id.clone(), registered: false, secret: None, in_body });
    }
    if authority.reads_client_documents && public_url.starts_with("https://") {
        let id = format!("{public_url}{DOCUMENT}");
        return Ok(Client { id, registered: true, secret: None, in_body: false });
    }
    let known = before.filter(|grant| {
        grant.client.registered
            && grant.issuer == authority.issuer
            && grant.token_url == authority.token.as_str()
    });
    match (known, &authority.registration) {
        (Some(grant), _) => Ok(grant.client.copied()),
        (None, Some(_)) => registered(http, account, authority, public_url).await,
        (None, None) => {
            Err("the authorization server lets no client register itself; register one there and give its `client_id`"
                .into())
        }
    }
}

/// RFC 7591 section 3.2.1.
#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    token_endpoint_auth_method: Option<String>,
}

async fn registered(
    http: &Http,
    account: &AuthorizationCode,
    authority: &Authority,
    public_url: &str,
) -> Result<Client, String> {
    let Some(endpoint) = &authority.registration else { return Err("there is no registration".into()) };
    let known = ["client_secret_basic", "client_secret_post", "none"];
    let method = known.into_iter().find(|method| authority.proofs.iter().any(|proof| proof == method));
    let mut wanted = document(public_url);
    if let Value::Object(wanted) = &mut wanted {
        wanted.remove("client_id");
        wanted.insert("token_endpoint_auth_method".into(), method.unwrap_or("client_secret_basic").into());
        if !account.scopes.is_empty() {
            wanted.insert("scope".into(), account.scopes.join(" ").into());
        }
    }
    let request = http.of(endpoint)?.post(endpoint.clone()).header(ACCEPT, "application/json").json(&wanted);
    let response = request.send().await.map_err(|error| reason(&error.without_url()))?;
    let status = response.status();
    let body = body(response).await?;
    if !matches!(status, StatusCode::CREATED | StatusCode::OK) {
        return Err(format!("the authorization server does not register the gate: HTTP {status}"));
    }
    let registered: Registered = serde_json::from_slice(&body)
        .map_err(|_| "the answer to the registration is none (RFC 7591)".to_owned())?;
    let in_body = registered.token_endpoint_auth_method.as_deref() == Some("client_secret_post");
    let secret = registered.client_secret.map(Secret::new);
    Ok(Client { id: registered.client_id, registered: true, secret, in_body })
}
