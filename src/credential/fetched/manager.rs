//! AWS Secrets Manager.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::SecretsManager;
use crate::credential::aws::{Aws, AwsError};
use crate::credential::fetched::{Asked, Missing, Source};
use crate::credential::oauth::grant::hidden;
use crate::secret::Secret;

/// What it says where there is no such secret, or one that is to be deleted.
const GONE: [&str; 2] = ["ResourceNotFoundException", "InvalidRequestException"];

pub(super) struct Manager(Aws);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(deserialize_with = "hidden")]
    secret_string: Secret,
}

impl Manager {
    pub(super) fn new(it: &SecretsManager) -> Self {
        Self(Aws::new(&it.service, "secretsmanager"))
    }
}

#[async_trait]
impl Source for Manager {
    async fn fetch(&self, asked: Asked<'_>) -> Result<Zeroizing<Vec<u8>>, Missing> {
        let body = json!({"SecretId": asked.place}).to_string().into_bytes();
        let at = |why: &str| format!("secret `{}` of AWS Secrets Manager: {why}", asked.place);
        let answer = self.0.ask("secretsmanager.GetSecretValue", body).await.map_err(|error| {
            let why = at(&error.to_string());
            match error {
                AwsError::Refused(code) if GONE.contains(&code.as_str()) => Missing::Gone(why),
                AwsError::Refused(_) | AwsError::Failed(_) => Missing::Unasked(why),
            }
        })?;
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| Missing::Gone(at("it is no text, but bytes")))?;
        Ok(Zeroizing::new(answer.secret_string.expose().as_bytes().to_vec()))
    }
}
