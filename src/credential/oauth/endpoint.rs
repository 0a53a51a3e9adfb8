//! A token endpoint, as one client asks it.
//!
//! # Why the client's id and secret are encoded before Basic
//! RFC 6749 section 2.3.1 says so. Cloud Foundry's UAA, and with it SAP's XSUAA, reads them encoded only if told so by
//! a header of its own, and its client ids have a `!`; that header is sent where the encoding changes anything.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Url};

use crate::config::{ClientProof, Signed};
use crate::credential::oauth::answer::{self, Answer, unavailable};
use crate::credential::oauth::assertion::Signer;
use crate::credential::oauth::form::{Form, basic};
use crate::credential::oauth::http::{FETCH_TIMEOUT, Http, reason};
use crate::credential::tokens::Setback;
use crate::secret::Secret;

/// A client at a token endpoint.
pub(in crate::credential) struct Endpoint<'a> {
    pub(in crate::credential) http: &'a Http,
    pub(in crate::credential) url: &'a Url,
    pub(in crate::credential) client_id: &'a str,
    pub(in crate::credential) proof: Proof<'a>,
}

/// How a client proves itself, with what it takes.
pub(in crate::credential) enum Proof<'a> {
    /// By its id alone.
    Id,
    /// By its secret in the header.
    Basic(&'a Secret),
    /// By its secret in the body.
    Body(&'a Secret),
    /// By an assertion.
    Signed(Signer, &'a Secret),
}

impl<'a> Proof<'a> {
    /// The proof that is configured. `scopes`: those of a request that may stand in the assertion.
    pub(in crate::credential) fn of(
        proof: &ClientProof,
        secret: &'a Secret,
        token_url: &Url,
        scopes: &[String],
    ) -> Self {
        match proof {
            ClientProof::Public | ClientProof::Certificate => Self::Id,
            ClientProof::Basic(_) => Self::Basic(secret),
            ClientProof::Body(_) => Self::Body(secret),
            ClientProof::Signed(signed) => Self::Signed(signer(signed, token_url, scopes), secret),
        }
    }
}

fn signer(signed: &Signed, token_url: &Url, scopes: &[String]) -> Signer {
    Signer {
        algorithm: signed.algorithm,
        key_id: signed.key_id.clone(),
        audience: signed.audience.clone().unwrap_or_else(|| token_url.to_string()),
        scopes: if signed.scopes_inside { scopes.to_vec() } else { Vec::new() },
    }
}

impl Endpoint<'_> {
    /// Asks for tokens.
    ///
    /// # Errors
    /// The endpoint refuses, or gives no usable token now.
    pub(in crate::credential) async fn ask(&self, form: Form) -> Result<Answer, Setback> {
        let exchange = async {
            let response = self.request(form)?.send().await;
            answer::read(response.map_err(|error| unavailable(reason(&error.without_url())))?).await
        };
        let done = tokio::time::timeout(FETCH_TIMEOUT, exchange).await;
        done.unwrap_or_else(|_| Err(unavailable(format!("no answer within {FETCH_TIMEOUT:?}"))))
    }

    fn request(&self, form: Form) -> Result<RequestBuilder, Setback> {
        let client = self.http.of(self.url).map_err(unavailable)?;
        let mut request = client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let form = match &self.proof {
            Proof::Id => form.with("client_id", self.client_id),
            Proof::Body(secret) => {
                form.with("client_id", self.client_id).with("client_secret", secret.expose())
            }
            Proof::Basic(secret) => {
                let made = basic(self.client_id, secret.expose());
                let (value, changed) =
                    made.ok_or_else(|| unavailable("the client's id or secret fits no header".into()))?;
                if changed {
                    request = request.header("x-cf-encoded-credentials", "true");
                }
                request = request.header(AUTHORIZATION, value);
                form
            }
            Proof::Signed(signer, key) => {
                let assertion = signer.sign(self.client_id, key).map_err(unavailable)?;
                form.with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                    .with("client_assertion", assertion.expose())
            }
        };
        Ok(request.body(form.into_bytes()))
    }
}

/// The host and path of an endpoint, for the log; a query may hold a key.
pub(in crate::credential) fn place(url: &Url) -> String {
    format!("{}{}", url.host_str().unwrap_or_default(), url.path())
}

/// A token endpoint's URL as it is configured or discovered.
///
/// # Errors
/// What is wrong with it, for the operator.
pub(in crate::credential) fn checked(what: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{what}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{what}` must begin with https:// (or http://) and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("`{what}` has a user or password in it; use `client_id` and `client_secret`"));
    }
    if url.fragment().is_some() {
        return Err(format!(
            "`{what}` has a fragment, which an endpoint may not have (RFC 6749 section 3.2)"
        ));
    }
    Ok(url)
}
