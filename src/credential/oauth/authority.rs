//! Which authorization server an account is of, and where its endpoints are: as configured, by the metadata of its issuer
//! (RFC 8414, OpenID Connect Discovery 1.0), or as the MCP server says (RFC 9728).

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use http_auth::parse_challenges;
use reqwest::{Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config;
use crate::credential::oauth::endpoint::checked;
use crate::credential::oauth::http::{Http, body, reason};

/// A request that does nothing in any era; a server that wants a token answers it with 401.
const PROBE: &str = r#"{"jsonrpc":"2.0","id":"portcullis-connect","method":"ping"}"#;

/// An authorization server.
#[derive(Debug)]
pub(in crate::credential) struct Authority {
    pub(in crate::credential) issuer: Option<String>,
    pub(in crate::credential) authorization: Url,
    pub(in crate::credential) token: Url,
    /// Where clients register themselves (RFC 7591).
    pub(in crate::credential) registration: Option<Url>,
    /// Whether a client's id may be the URL of its metadata.
    pub(in crate::credential) reads_client_documents: bool,
    /// Whether a callback must say the issuer (RFC 9207).
    pub(in crate::credential) says_issuer: bool,
    /// How clients may prove themselves at the token endpoint.
    pub(in crate::credential) proofs: Vec<String>,
    /// The scopes that the server asks for, and whether the authorization server knows `offline_access`.
    pub(in crate::credential) scopes: Vec<String>,
    pub(in crate::credential) knows_offline_access: bool,
    /// The resource that a token is asked for.
    pub(in crate::credential) resource: Option<String>,
}

/// RFC 8414 section 2.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// RFC 9728 section 2.
#[derive(Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Finds the authorization server of an account at the MCP server `server`.
///
/// # Errors
/// Why it was not found, for the operator.
pub(in crate::credential) async fn find(
    http: &Http,
    authority: &config::Authority,
    server: &str,
) -> Result<Authority, String> {
    match authority {
        config::Authority::Endpoints { authorization, token, issuer } => Ok(Authority {
            issuer: issuer.clone(),
            authorization: checked("authorization_url", authorization)?,
            token: checked("token_url", token)?,
            registration: None,
            reads_client_documents: false,
            says_issuer: false,
            proofs: Vec::new(),
            scopes: Vec::new(),
            knows_offline_access: false,
            resource: None,
        }),
        // Some providers leave out which challenges they take; the operator knows theirs.
        config::Authority::Issuer(issuer) => described(http, issuer, Challenges::MayBeUnsaid).await,
        config::Authority::OfTheServer => {
            let server = checked("url", server)?;
            let (resource, asked) = resource(http, &server).await?;
            let issuer = resource.authorization_servers.first();
            let issuer = issuer.ok_or("the server's metadata names no authorization server")?;
            let found = described(http, issuer, Challenges::MustBeSaid).await?;
            let scopes = asked.unwrap_or(resource.scopes_supported);
            Ok(Authority { scopes, resource: Some(resource.resource), ..found })
        }
    }
}

/// Whether metadata must say that PKCE is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Challenges {
    MustBeSaid,
    MayBeUnsaid,
}

/// What a server says of itself, and the scopes that it asked for.
async fn resource(http: &Http, server: &Url) -> Result<(Resource, Option<Vec<String>>), String> {
    let challenge = challenged(http, server).await?;
    let mut places = Vec::new();
    let mut asked = None;
    if let Some(challenge) = challenge {
        if let Some(metadata) = challenge.metadata {
            places.push(checked("resource_metadata", &metadata)?);
        }
        asked = challenge.scopes;
    }
    places.extend(well_known(server, "oauth-protected-resource").into_iter().take(2));
    let found = first::<Resource>(http, &places).await;
    let resource = found.map_err(|why| format!("the server says no authorization server: {why}"))?;
    let named = checked("resource", &resource.resource)?;
    let covers =
        server.origin() == named.origin() && server.path().starts_with(named.path().trim_end_matches('/'));
    match covers {
        true => Ok((resource, asked)),
        false => Err(format!("the server's metadata is of another resource, `{named}`")),
    }
}

/// What a server wants, by its 401.
struct Challenge {
    metadata: Option<String>,
    scopes: Option<Vec<String>>,
}

async fn challenged(http: &Http, server: &Url) -> Result<Option<Challenge>, String> {
    let request = http
        .of(server)?
        .post(server.clone())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
        .body(PROBE);
    let response = request.send().await.map_err(|error| reason(&error.without_url()))?;
    if response.status() != StatusCode::UNAUTHORIZED {
        return Ok(None);
    }
    let values = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found = None;
    for value in values {
        let Ok(challenges) = parse_challenges(value) else { continue };
        for challenge in challenges.iter().filter(|it| it.scheme.eq_ignore_ascii_case("bearer")) {
            let param = |name: &str| {
                let mut params = challenge.params.iter();
                params.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped())
            };
            let scopes =
                param("scope").map(|text| text.split_ascii_whitespace().map(str::to_owned).collect());
            found = found.or(Some(Challenge { metadata: param("resource_metadata"), scopes }));
        }
    }
    Ok(found)
}

/// The metadata of an issuer, which must be the issuer that it is of.
async fn described(http: &Http, issuer: &str, challenges: Challenges) -> Result<Authority, String> {
    let url = checked("issuer", issuer)?;
    let mut places = well_known(&url, "oauth-authorization-server");
    places.truncate(1);
    places.extend(well_known(&url, "openid-configuration").into_iter().take(1));
    if url.path() != "/" {
        let mut appended = url.clone();
        appended.set_path(&format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/')));
        places.push(appended);
    }
    let found = first::<Metadata>(http, &places).await;
    let metadata = found.map_err(|why| format!("the metadata of `{issuer}` cannot be had: {why}"))?;
    if metadata.issuer != issuer {
        return Err(format!("the metadata of `{issuer}` is of another issuer"));
    }
    let takes_s256 = metadata.code_challenge_methods_supported.map(|all| all.iter().any(|it| it == "S256"));
    match (takes_s256, challenges) {
        (Some(true), _) | (None, Challenges::MayBeUnsaid) => {}
        (Some(false), _) | (None, Challenges::MustBeSaid) => {
            return Err(format!("`{issuer}` does not say that it takes PKCE with S256"));
        }
    }
    let registration = metadata.registration_endpoint.as_deref();
    Ok(Authority {
        authorization: checked("authorization_endpoint", &metadata.authorization_endpoint)?,
        token: checked("token_endpoint", &metadata.token_endpoint)?,
        registration: registration.map(|url| checked("registration_endpoint", url)).transpose()?,
        reads_client_documents: metadata.client_id_metadata_document_supported,
        says_issuer: metadata.authorization_response_iss_parameter_supported,
        // The default of RFC 8414 section 2.
        proofs: metadata
            .token_endpoint_auth_methods_supported
            .unwrap_or_else(|| vec!["client_secret_basic".to_owned()]),
        scopes: Vec::new(),
        knows_offline_access: metadata.scopes_supported.iter().any(|scope| scope == "offline_access"),
        resource: None,
        issuer: Some(metadata.issuer),
    })
}

/// Where a document about `url` is: with its path behind the well-known one, and without.
fn well_known(url: &Url, name: &str) -> Vec<Url> {
    let at = |path: &str| {
        let mut place = url.clone();
        place.set_query(None);
        place.set_path(&format!("/.well-known/{name}{path}"));
        place
    };
    match url.path().trim_end_matches('/') {
        "" => vec![at("")],
        path => vec![at(path), at("")],
    }
}

/// The first of the documents that is there.
async fn first<D: DeserializeOwned>(http: &Http, places: &[Url]) -> Result<D, String> {
    let mut why = String::new();
    for place in places {
        match document(http, place).await {
            Ok(document) => return Ok(document),
            Err(error) => why = format!("{place}: {error}"),
        }
    }
    Err(why)
}

async fn document<D: DeserializeOwned>(http: &Http, place: &Url) -> Result<D, String> {
    let request = http.of(place)?.get(place.clone()).header(ACCEPT, "application/json");
    let response: Response = request.send().await.map_err(|error| reason(&error.without_url()))?;
    match response.status() {
        StatusCode::OK => {
            let body = body(response).await?;
            serde_json::from_slice(&body).map_err(|_| "it is not the document that it should be".to_owned())
        }
        status => Err(format!("HTTP {status}")),
    }
}
