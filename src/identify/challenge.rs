//! What a client without a good credential is told: the RFC 9728 metadata document and the `WWW-Authenticate` header.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::identify::jwt::SIGNATURES;
use crate::name::ServerName;
use crate::refusal::Refusal;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Which protected resource (RFC 9728) a request goes to; it is named by the path that the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/servers/<name>/mcp`.
    Server(&'a ServerName),
    /// `/mcp`, and every scoped URL under it: the token in one is never part of a document or a header.
    Mcp,
}

/// What the gate says of itself to OAuth clients.
#[derive(Debug, Clone)]
pub struct Challenges {
    origin: String,
    base: String,
    issuers: Vec<String>,
    scopes: Vec<String>,
}

impl Challenges {
    /// `public_url` without a trailing slash; `scopes` are those that tokens need.
    #[must_use]
    pub fn new(public_url: &str, issuers: Vec<String>, scopes: Vec<String>) -> Self {
        let url = public_url.trim_end_matches('/');
        let authority = url.find("://").map_or(0, |at| at + 3);
        let path =
            url.get(authority..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| authority + at);
        let (origin, base) = url.split_at_checked(path).unwrap_or((url, ""));
        Self { origin: origin.to_owned(), base: base.to_owned(), issuers, scopes }
    }

    /// The path of the public URL, where it has one: paths of documents end with it.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The metadata document (RFC 9728 section 2); `None` where no authorization server is configured.
    #[must_use]
    pub fn metadata(&self, resource: Resource<'_>) -> Option<Value> {
        if self.issuers.is_empty() {
            return None;
        }
        let mut document = json!({
            "resource": format!("{}{}{}", self.origin, self.base, path(resource)),
            "authorization_servers": self.issuers,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": SIGNATURES,
        });
        if let (Some(object), false) = (document.as_object_mut(), self.scopes.is_empty()) {
            object.insert("scopes_supported".to_owned(), json!(self.scopes));
        }
        Some(document)
    }

    /// Where the document is: the well-known part stands before the resource's own path (RFC 9728 section 3.1).
    #[must_use]
    pub fn metadata_url(&self, resource: Resource<'_>) -> String {
        format!("{}{WELL_KNOWN}{}{}", self.origin, self.base, path(resource))
    }

    /// The `WWW-Authenticate` header for a refusal (RFC 6750 section 3); `None` where the refusal has none.
    #[must_use]
    pub fn header(&self, refusal: &Refusal, resource: Resource<'_>) -> Option<String> {
        let mut parts = vec![self.opening(resource)];
        match refusal {
            Refusal::NotAuthenticated => parts.extend(scope(&self.scopes)),
            Refusal::BadCredential(why) => {
                parts.push(quoted("error", "invalid_token"));
                parts.push(quoted("error_description", why));
                parts.extend(scope(&self.scopes));
            }
            Refusal::InsufficientScope { scopes } => {
                parts.push(quoted("error", "insufficient_scope"));
                parts.extend(scope(&self.with(scopes)));
            }
            Refusal::StepUp { challenge, message } => {
                parts.push(quoted("error", "insufficient_user_authentication"));
                parts.push(quoted("error_description", message));
                parts.extend(listed("acr_values", &challenge.acr_values));
                parts.extend(challenge.max_age.map(|age| quoted("max_age", &age.to_string())));
                parts.extend(scope(&self.with(&challenge.scopes)));
            }
            Refusal::BadDpopProof(_) => return Some(dpop(parts, "invalid_dpop_proof", refusal)),
            Refusal::UseDpopNonce { .. } => return Some(dpop(parts, "use_dpop_nonce", refusal)),
            other => return not_a_challenge(other),
        }
        Some(format!("Bearer {}", parts.join(", ")))
    }

    /// The scopes that every call needs, and these.
    fn with(&self, more: &[Arc<str>]) -> Vec<Arc<str>> {
        let mut all: Vec<Arc<str>> = self.scopes.iter().map(|scope| Arc::from(scope.as_str())).collect();
        for scope in more {
            if !all.contains(scope) {
                all.push(Arc::clone(scope));
            }
        }
        all
    }

    fn opening(&self, resource: Resource<'_>) -> String {
        if self.issuers.is_empty() {
            return quoted("realm", "portcullis");
        }
        quoted("resource_metadata", &self.metadata_url(resource))
    }
}

/// The challenge of the other scheme (RFC 9449 section 7.1).
fn dpop(mut parts: Vec<String>, error: &str, why: &Refusal) -> String {
    parts.push(quoted("error", error));
    parts.push(quoted("error_description", &why.to_string()));
    parts.push(quoted("algs", &SIGNATURES.join(" ")));
    format!("DPoP {}", parts.join(", "))
}

/// Every other refusal is no matter of credentials.
fn not_a_challenge(_: &Refusal) -> Option<String> {
    None
}

fn path(resource: Resource<'_>) -> String {
    match resource {
        Resource::Server(name) => format!("/servers/{name}/mcp"),
        Resource::Mcp => "/mcp".to_owned(),
    }
}

fn scope<T: AsRef<str>>(scopes: &[T]) -> Option<String> {
    listed("scope", scopes)
}

fn listed<T: AsRef<str>>(name: &str, words: &[T]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    (!words.is_empty()).then(|| quoted(name, &words.join(" ")))
}

/// RFC 9110 section 5.6.4. Error descriptions may hold neither quote nor backslash (RFC 6750 section 3): both are left out.
fn quoted(name: &str, value: &str) -> String {
    let clean: String =
        value.chars().filter(|c| (*c == ' ' || c.is_ascii_graphic()) && !matches!(c, '"' | '\\')).collect();
    format!("{name}=\"{clean}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Challenge;

    fn gate() -> Challenges {
        Challenges::new("https://gate.test", vec!["https://idp.test".into()], vec!["mcp".into()])
    }

    #[test]
    fn a_request_without_a_credential_is_told_where_to_get_one() {
        let erp = ServerName::parse("erp").unwrap();
        let header = gate().header(&Refusal::NotAuthenticated, Resource::Server(&erp)).unwrap();
        let expected = "Bearer resource_metadata=\"https://gate.test/.well-known/oauth-protected-resource/servers/erp/mcp\", \
                        scope=\"mcp\"";
        assert_eq!(header, expected);
        let document = gate().metadata(Resource::Server(&erp)).unwrap();
        assert_eq!(document["resource"], "https://gate.test/servers/erp/mcp");
        assert_eq!(document["authorization_servers"], json!(["https://idp.test"]));
        assert_eq!(document["scopes_supported"], json!(["mcp"]));
    }

    #[test]
    fn a_bad_token_is_named_invalid_and_a_small_scope_lists_all_scopes() {
        let bad = gate().header(&Refusal::BadCredential("the token has expired"), Resource::Mcp).unwrap();
        assert!(
            bad.contains("error=\"invalid_token\", error_description=\"the token has expired\""),
            "{bad}"
        );
        let small = Refusal::InsufficientScope { scopes: vec!["mcp".into(), "erp:write".into()] };
        let small = gate().header(&small, Resource::Mcp).unwrap();
        assert!(small.contains("error=\"insufficient_scope\", scope=\"mcp erp:write\""), "{small}");
        assert_eq!(gate().header(&Refusal::UnknownUrl, Resource::Mcp), None);
    }

    #[test]
    fn whoever_must_authenticate_better_is_told_how() {
        let challenge = Challenge {
            scopes: vec!["erp:write".into()],
            acr_values: vec!["mfa".into(), "gold".into()],
            max_age: Some(300),
        };
        let refusal = Refusal::StepUp { challenge, message: "payments need a second factor".into() };
        let header = gate().header(&refusal, Resource::Mcp).unwrap();
        let told = "error=\"insufficient_user_authentication\", error_description=\"payments need a second factor\", \
                    acr_values=\"mfa gold\", max_age=\"300\", scope=\"mcp erp:write\"";
        assert!(header.ends_with(told), "{header}");
        let header = gate().header(&Refusal::BadDpopProof("it was used before"), Resource::Mcp).unwrap();
        assert!(header.starts_with("DPoP ") && header.contains("error=\"invalid_dpop_proof\""), "{header}");
        assert!(header.contains("algs=\"RS256 "), "{header}");
    }

    #[test]
    fn a_public_url_with_a_path_keeps_the_well_known_part_in_front() {
        let gate = Challenges::new("https://acme.test/gate/", vec!["https://idp.test".into()], Vec::new());
        let url = "https://acme.test/.well-known/oauth-protected-resource/gate/mcp";
        assert_eq!(gate.metadata_url(Resource::Mcp), url);
        assert_eq!(gate.metadata(Resource::Mcp).unwrap()["resource"], "https://acme.test/gate/mcp");
    }

    #[test]
    fn without_an_authorization_server_no_metadata_is_promised() {
        let gate = Challenges::new("http://127.0.0.1:8080", Vec::new(), Vec::new());
        assert_eq!(gate.metadata(Resource::Mcp), None);
        let header = gate.header(&Refusal::NotAuthenticated, Resource::Mcp).unwrap();
        assert_eq!(header, "Bearer realm=\"portcullis\"");
    }
}
