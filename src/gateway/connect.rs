//! The way back of a person who connects an account: `GET /oauth/callback`, and what they read in their browser.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};

use crate::credential::{ConnectError, Connection};
use crate::gateway::{Gateway, Relay};
use crate::name::{ServerName, TenantId};
use crate::respond::{Answer, Body};

impl Gateway {
    /// Answers the callback of a consent. Its query holds a code, so that it is in no log.
    pub async fn callback(&self, query: &str) -> Answer<Relay> {
        match self.come_back(query).await {
            Ok(()) => page(StatusCode::OK, "The account is connected", "You may close this window."),
            Err(error) => {
                tracing::warn!(%error, "A callback did not connect an account");
                let (status, why) = told(&error);
                page(status, "The account is not connected", &why)
            }
        }
    }

    async fn come_back(&self, query: &str) -> Result<(), ConnectError> {
        let returned = self.vault.returned(query).await?;
        let (tenant, server) = returned.account();
        let connection = self.connection(tenant, server).await?;
        let gone = || ConnectError::NoAccount(tenant.clone(), server.clone());
        connection.ok_or_else(gone)?.end_consent(returned).await
    }

    /// The connection of an account, configured or made by a call.
    ///
    /// # Errors
    /// [`ConnectError::Failed`] where the store fails.
    pub async fn connection(
        &self,
        tenant: &TenantId,
        server: &ServerName,
    ) -> Result<Option<Arc<Connection>>, ConnectError> {
        let held = self.directory.find(tenant, server).await;
        let held = held.map_err(|refusal| ConnectError::Failed(refusal.to_string()))?;
        Ok(held.map(|held| Arc::clone(&held.connection)))
    }
}

/// What the person may know: nothing of the gate's insides, and what to do.
fn told(error: &ConnectError) -> (StatusCode, String) {
    let again = "Ask whoever sent you here for a new link.";
    match error {
        ConnectError::Unknown | ConnectError::BadCallback(_) => {
            (StatusCode::BAD_REQUEST, format!("This link has been used, is too old, or is damaged. {again}"))
        }
        ConnectError::Refused(code) => {
            (StatusCode::BAD_REQUEST, format!("The sign-in was refused ({code}). {again}"))
        }
        ConnectError::NoAccount(..) | ConnectError::NotConnectable(..) => {
            (StatusCode::BAD_REQUEST, "There is no such account any more.".to_owned())
        }
        ConnectError::Authority(_) | ConnectError::Failed(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("It could not be finished now. {again}"))
        }
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Answer<Relay> {
    let html = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let (title, text) = (html(title), html(text));
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n"
    );
    let fixed = HeaderValue::from_static;
    Answer {
        status,
        headers: vec![
            (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
            (CACHE_CONTROL, fixed("no-store")),
            (REFERRER_POLICY, fixed("no-referrer")),
            (CONTENT_SECURITY_POLICY, fixed("default-src 'none'; frame-ancestors 'none'")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        ],
        body: Body::Full(Bytes::from(body)),
    }
}
