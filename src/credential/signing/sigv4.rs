//! AWS Signature Version 4, for servers behind an AWS gateway.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::HOST;
use http::{HeaderName, HeaderValue};

use crate::config::AwsSigv4;
use crate::credential::signing::{CannotSign, Signed};
use crate::secret::Secret;

/// What signs the requests of one account, or of the gate itself.
pub(in crate::credential) struct Signer {
    region: String,
    service: String,
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl Signer {
    pub(in crate::credential) fn new(account: &AwsSigv4, key: Secret, session_token: Option<Secret>) -> Self {
        Self::of(&account.region, &account.service, &account.access_key_id, key, session_token)
    }

    pub(in crate::credential) fn of(
        region: &str,
        service: &str,
        access_key_id: &str,
        secret_access_key: Secret,
        session_token: Option<Secret>,
    ) -> Self {
        let [region, service, access_key_id] = [region, service, access_key_id].map(str::to_owned);
        Self { region, service, access_key_id, secret_access_key, session_token }
    }

    /// Signs a request: method, URL, host, content type and body.
    ///
    /// # Errors
    /// A request that cannot be signed.
    pub(in crate::credential) fn sign(&self, request: Signed<'_>) -> Result<(), CannotSign> {
        let session = self.session_token.as_ref().map(|token| token.expose().to_owned());
        let identity = Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose(),
            session,
            None,
            "portcullis",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|_| CannotSign)?
            .into();
        let authority = request.url.authority().ok_or(CannotSign)?;
        let url = request.url.to_string();
        let signed = ["content-type", "accept", "mcp-session-id", "x-amz-target"];
        let kept =
            signed.into_iter().filter_map(|name| Some((name, request.headers.get(name)?.to_str().ok()?)));
        let headers = std::iter::once((HOST.as_str(), authority.as_str())).chain(kept);
        let signable =
            SignableRequest::new(request.method.as_str(), url, headers, SignableBody::Bytes(request.body));
        let made = sign(signable.map_err(|_| CannotSign)?, &parameters).map_err(|_| CannotSign)?;
        let (instructions, _) = made.into_parts();
        let (headers, _) = instructions.into_parts();
        for header in headers {
            let name = HeaderName::try_from(header.name()).map_err(|_| CannotSign)?;
            let mut value = HeaderValue::try_from(header.value()).map_err(|_| CannotSign)?;
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }
}
