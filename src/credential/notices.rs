//! Signed notices to the customer's application (Standard Webhooks): an account needs to be authorised again.
//!
//! # Why a notice is in the store before it is sent
//! The application may be down for longer than this gate lives. Any gate delivers what is due, one at a time; what nobody takes in
//! three days is kept apart, to be looked at and sent again.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use crate::config::{SecretSource, UpstreamTls, Webhook};
use crate::credential::oauth::http::{Clients, Http, reason};
use crate::credential::source::file_secret;
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;
use crate::store::lock::Lock;
use crate::store::{Store, StoreError, Table};

/// When a notice that was not taken is sent again: seconds after the attempt before. After the last it is dead.
const AGAIN: [i64; 9] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];
/// Nobody else sends a notice meanwhile: longer than an attempt may take.
const LOCK_LIFE: Duration = Duration::from_secs(20);

/// A notice on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Notice {
    /// `webhook-id`: the same at each attempt, so that its reader can see that it had it.
    pub id: String,
    /// Whose account it is about.
    pub tenant: TenantId,
    /// What is sent, in JSON.
    pub body: String,
    /// When it happened.
    pub made_at: Timestamp,
    /// How often it was sent.
    pub attempts: usize,
    /// When it is sent next; `None`: it is dead, and is sent again when somebody says so.
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_failure: Option<String>,
}

/// Where notices go.
pub(in crate::credential) struct Notices {
    store: Arc<dyn Store>,
    target: Option<Target>,
}

struct Target {
    http: Http,
    url: Url,
    webhook: Arc<Webhook>,
}

impl Notices {
    /// # Errors
    /// What is wrong with the target, for the operator.
    pub(in crate::credential) fn new(
        store: Arc<dyn Store>,
        webhook: Option<&Arc<Webhook>>,
    ) -> Result<Self, String> {
        let target = webhook.map(Target::new).transpose()?;
        Ok(Self { store, target })
    }

    /// Tells that an account needs to be authorised again. The notice is kept; whoever looks next delivers it.
    pub(in crate::credential) async fn needs_reauth(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        why: &str,
    ) {
        if self.target.is_none() {
            return;
        }
        let now = Timestamp::now();
        let body = json!({
            "type": "account.needs_reauth",
            "timestamp": now.to_string(),
            "data": {"tenant": tenant, "server": server, "reason": why},
        });
        let notice = Notice {
            id: format!("msg_{}", uuid::Uuid::now_v7().simple()),
            tenant: tenant.clone(),
            body: body.to_string(),
            made_at: now,
            attempts: 0,
            next_at: Some(now),
            last_failure: None,
        };
        if let Err(error) = self.put(&notice, Some(0)).await {
            tracing::error!(%tenant, %server, %error, "A notice that the account needs to be authorised again is lost");
        }
    }

    /// Every notice that was not taken yet, oldest first for each tenant.
    pub(in crate::credential) async fn all(&self) -> Result<Vec<Notice>, StoreError> {
        let found = self.store.scan(Table::Webhooks, b"").await?;
        Ok(found.into_iter().filter_map(|(_, stored)| serde_json::from_slice(&stored.value).ok()).collect())
    }

    /// Sends a notice again, as if it were new; false where there is none of that id.
    pub(in crate::credential) async fn replay(&self, id: &str) -> Result<bool, StoreError> {
        let Some(notice) = self.all().await?.into_iter().find(|notice| notice.id == id) else {
            return Ok(false);
        };
        let again = Notice { attempts: 0, next_at: Some(Timestamp::now()), ..notice };
        self.put(&again, None).await?;
        Ok(true)
    }

    /// Sends what is due, each one under a lock of its own.
    pub(in crate::credential) async fn deliver(&self) -> Result<(), StoreError> {
        let Some(target) = &self.target else { return Ok(()) };
        let now = Timestamp::now();
        for notice in self.all().await? {
            if notice.next_at.is_some_and(|due| due <= now) {
                self.one(target, &notice).await?;
            }
        }
        Ok(())
    }

    async fn one(&self, target: &Target, notice: &Notice) -> Result<(), StoreError> {
        let name = [b"webhook\0".as_slice(), notice.id.as_bytes()].concat();
        let Some(lock) = Lock::take(&self.store, &name, LOCK_LIFE).await? else { return Ok(()) };
        let key = key(notice);
        // Another gate may have delivered it since the list was read.
        let now = self.store.get(Table::Webhooks, &key).await?;
        let now = now
            .and_then(|stored| Some((stored.version, serde_json::from_slice::<Notice>(&stored.value).ok()?)));
        if let Some((version, notice)) = now.filter(|(_, now)| now.attempts == notice.attempts) {
            let written = match target.send(&notice).await {
                Ok(()) => self.store.remove_version(Table::Webhooks, &key, version).await.map(drop),
                Err(why) => self.put(&after(notice, why), Some(version)).await,
            };
            match written {
                Ok(()) | Err(StoreError::Changed) => {}
                Err(error) => return Err(error),
            }
        }
        lock.release().await.map(drop)
    }

    async fn put(&self, notice: &Notice, expected: Option<u64>) -> Result<(), StoreError> {
        let written = serde_json::to_vec(notice).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.store.put(Table::Webhooks, &key(notice), &written, expected).await.map(drop)
    }
}

/// A notice whose attempt failed.
fn after(notice: Notice, why: String) -> Notice {
    let again =
        AGAIN.get(notice.attempts).map(|seconds| Timestamp::now() + SignedDuration::from_secs(*seconds));
    match again {
        Some(at) => tracing::warn!(notice = %notice.id, why, %at, "A notice was not taken and is sent again"),
        None => {
            tracing::error!(notice = %notice.id, why, "A notice was never taken: see `portcullis webhook list`")
        }
    }
    Notice { attempts: notice.attempts + 1, next_at: again, last_failure: Some(why), ..notice }
}

fn key(notice: &Notice) -> Vec<u8> {
    [notice.tenant.as_str().as_bytes(), &[0], notice.id.as_bytes()].concat()
}

impl Target {
    fn new(webhook: &Arc<Webhook>) -> Result<Self, String> {
        let url = Url::parse(&webhook.url).map_err(|error| format!("`webhook.url` is not a URL: {error}"))?;
        let named = webhook.private.then_some(webhook.url.as_str());
        let http = Http::new(&Clients::default(), &UpstreamTls::default(), named)?;
        http.of(&url).map_err(|why| format!("`webhook.url` cannot be used: {why}"))?;
        Ok(Self { http, url, webhook: Arc::clone(webhook) })
    }

    async fn send(&self, notice: &Notice) -> Result<(), String> {
        let now = Timestamp::now().as_second();
        let signature = self.signature(notice, now)?;
        let request = self
            .http
            .of(&self.url)?
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(notice.body.clone());
        let response = request.send().await.map_err(|error| reason(&error.without_url()))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS => Err("HTTP 429".into()),
            status => Err(format!("HTTP {status}")),
        }
    }

    /// `v1,` and the HMAC-SHA256 of id, time and body.
    fn signature(&self, notice: &Notice, now: i64) -> Result<String, String> {
        let secret = match &self.webhook.secret {
            SecretSource::Inline(secret) => Secret::new(secret.expose().to_owned()),
            SecretSource::File(path) => file_secret(path)?,
            SecretSource::Sealed | SecretSource::Fetched(_) => {
                return Err("the webhook's secret is not in a file".into());
            }
        };
        let text = secret.expose();
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let key = zeroize::Zeroizing::new(
            STANDARD.decode(encoded).map_err(|_| "the webhook's secret is not base64")?,
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| "the webhook's secret is no key")?;
        for part in [notice.id.as_str(), ".", &now.to_string(), ".", &notice.body] {
            mac.update(part.as_bytes());
        }
        Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::FileStore;

    fn target(url: &str, private: bool) -> Arc<Webhook> {
        let secret = SecretSource::Inline(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()));
        Arc::new(Webhook { url: url.into(), secret, private })
    }

    fn place() -> (tempfile::TempDir, Arc<dyn Store>) {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path().join("store.redb")).unwrap();
        (directory, Arc::new(store))
    }

    #[tokio::test]
    async fn a_notice_that_nobody_takes_is_kept_apart_until_somebody_says_so() {
        let (_directory, store) = place();
        let notices = Notices::new(store, Some(&target("http://127.0.0.1:1/", true))).unwrap();
        let (tenant, server) = (TenantId::parse("acme").unwrap(), ServerName::parse("erp").unwrap());
        notices.needs_reauth(&tenant, &server, "HTTP 400, invalid_grant").await;
        for attempt in 0..=AGAIN.len() {
            let notice = notices.all().await.unwrap().remove(0);
            assert_eq!(notice.attempts, attempt);
            let due = Notice { next_at: Some(Timestamp::now()), ..notice };
            notices.put(&due, None).await.unwrap();
            notices.deliver().await.unwrap();
        }
        let dead = notices.all().await.unwrap().remove(0);
        assert_eq!((dead.next_at, dead.attempts), (None, AGAIN.len() + 1));
        assert!(dead.last_failure.is_some());
        notices.deliver().await.unwrap();
        assert_eq!(notices.all().await.unwrap()[0].attempts, dead.attempts, "nobody sends it by themselves");
        assert!(notices.replay(&dead.id).await.unwrap());
        let again = notices.all().await.unwrap().remove(0);
        assert!(again.next_at.is_some() && again.attempts == 0 && again.id == dead.id);
        assert!(!notices.replay("msg_of_nobody").await.unwrap());
    }

    #[tokio::test]
    async fn without_a_target_nothing_is_kept() {
        let (_directory, store) = place();
        let notices = Notices::new(store, None).unwrap();
        let (tenant, server) = (TenantId::parse("acme").unwrap(), ServerName::parse("erp").unwrap());
        notices.needs_reauth(&tenant, &server, "gone").await;
        assert!(notices.all().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_target_that_points_inside_or_never_answers_is_tried_again_and_nothing_is_followed() {
        let (_directory, store) = place();
        let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = format!("http://{}/", inside.local_addr().unwrap());
        let moved = axum::response::Redirect::temporary(&elsewhere);
        let moved = axum::routing::post(move || std::future::ready(moved));
        let slow = axum::routing::post(async || tokio::time::sleep(std::time::Duration::from_secs(60)).await);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/moved", moved).route("/slow", slow);
        tokio::spawn(axum::serve(listener, router).into_future());
        for (path, why) in [("moved", "HTTP 307"), ("slow", "timed out")] {
            let target = target(&format!("http://{at}/{path}"), true);
            let notices = Notices::new(Arc::clone(&store), Some(&target)).unwrap();
            let (tenant, server) = (TenantId::parse(path).unwrap(), ServerName::parse("erp").unwrap());
            notices.needs_reauth(&tenant, &server, "gone").await;
            notices.deliver().await.unwrap();
            let all = notices.all().await.unwrap();
            let notice = all.iter().find(|notice| notice.tenant == tenant).unwrap();
            assert!(notice.attempts == 1 && notice.next_at.is_some());
            assert!(notice.last_failure.as_ref().unwrap().contains(why), "{:?}", notice.last_failure);
        }
        let followed = tokio::time::timeout(std::time::Duration::from_millis(1), inside.accept()).await;
        assert!(followed.is_err(), "the redirect was followed");
    }

    #[test]
    fn a_private_target_is_for_whoever_says_so() {
        let (_directory, store) = place();
        for url in ["http://127.0.0.1:9/", "https://10.1.2.3/hooks", "http://[::1]/"] {
            assert!(Notices::new(Arc::clone(&store), Some(&target(url, false))).is_err(), "{url}");
            assert!(Notices::new(Arc::clone(&store), Some(&target(url, true))).is_ok(), "{url}");
        }
    }
}
