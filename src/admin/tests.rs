use std::net::TcpListener;
use std::sync::Mutex;

use async_trait::async_trait;
use reqwest::{Client, Method};

use super::*;
use crate::name::{ServerName, TenantId, UrlId};
use crate::secret::Secret;

/// Scoped URLs that are kept in memory: who made which for which tenant.
#[derive(Default)]
struct Kept(Mutex<Vec<(String, String)>>);

#[async_trait]
impl Urls for Kept {
    async fn create(&self, wanted: NewUrl) -> Result<Value, UrlError> {
        if wanted.methods.as_ref().is_some_and(Vec::is_empty) {
            return Err(UrlError::Unfit("`methods` is an empty list".to_owned()));
        }
        let mut kept = self.0.lock().unwrap();
        let id = format!("su_{}", kept.len());
        kept.push((wanted.tenant, id.clone()));
        Ok(json!({"id": id, "url": "https://gate/mcp/secret"}))
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<Value>, UrlError> {
        let kept = self.0.lock().unwrap();
        Ok(kept.iter().filter(|(t, _)| t == tenant.as_str()).map(|(_, id)| json!({"id": id})).collect())
    }

    async fn revoke(&self, tenant: &TenantId, id: &UrlId) -> Result<bool, UrlError> {
        let mut kept = self.0.lock().unwrap();
        let before = kept.len();
        kept.retain(|(t, i)| t != tenant.as_str() || i != id.as_str());
        Ok(kept.len() < before)
    }
}

#[async_trait]
impl Secrets for Kept {
    async fn seal(&self, new: NewSecret) -> Result<(), SecretError> {
        match (new.tenant.as_str(), new.server.as_str()) {
            ("acme", "erp") if new.secret.expose() == "hunter2" => Ok(()),
            (_, server) => Err(SecretError::Unfit(format!("there is no account at `{server}`"))),
        }
    }
}

#[async_trait]
impl Connects for Kept {
    async fn connect(&self, tenant: &TenantId, server: &ServerName) -> Result<Value, DeskError> {
        match (tenant.as_str(), server.as_str()) {
            ("acme", "erp") => Ok(json!({"url": "https://idp.example/authorize?state=abc"})),
            _ => Err(DeskError::Unfit("there is no such account".to_owned())),
        }
    }

    async fn grants(&self, tenant: Option<&TenantId>) -> Result<Vec<Value>, DeskError> {
        Ok(vec![json!({"tenant": tenant, "state": "active"})])
    }

    async fn notices(&self) -> Result<Vec<Value>, DeskError> {
        Ok(vec![json!({"id": "msg_1"})])
    }

    async fn replay(&self, id: &str) -> Result<bool, DeskError> {
        Ok(id == "msg_1")
    }
}

#[async_trait]
impl Offers for Kept {
    async fn offer(&self, asked: OfferOf) -> Result<Value, OfferError> {
        match asked.server.as_str() {
            "erp" => Ok(json!({"tools": [{"name": "pay"}]})),
            server => {
                Err(OfferError::Unfit(format!("tenant `{}` has no account at `{server}`", asked.tenant)))
            }
        }
    }
}

#[async_trait]
impl Rollouts for Kept {
    async fn status(&self) -> Value {
        json!({"candidate": null})
    }

    async fn serving(&self) -> Value {
        json!({"live": {"files": []}})
    }

    async fn canary(&self, wanted: NewCanary) -> Result<Value, RolloutError> {
        match wanted.tenants.is_empty() && wanted.percent == 0 {
            true => Err(RolloutError::Unfit("that is nobody".to_owned())),
            false => Ok(json!({"candidate": {"stage": "canary"}})),
        }
    }

    async fn promote(&self, wanted: Promotion) -> Result<Value, RolloutError> {
        Ok(json!({"live": {"revision": wanted.revision}}))
    }

    async fn rollback(&self) -> Result<Value, RolloutError> {
        Err(RolloutError::Failed("the store failed".to_owned()))
    }
}

#[async_trait]
impl DataKeys for Kept {
    async fn in_use(&self) -> Result<Value, VaultFailed> {
        Ok(json!({"current": "0123456789abcdef", "data_keys": {}, "direct": {}}))
    }

    async fn rekey(&self) -> Result<Value, VaultFailed> {
        Err(VaultFailed("the sealing key is not here".to_owned()))
    }
}

/// Whoever has the token `sesame`.
fn admins() -> Admins {
    let admin = crate::config::Admin {
        address: None,
        hosts: Vec::new(),
        tls: None,
        issuers: Vec::new(),
        certificates: None,
    };
    Admins::new(&admin, Secret::new("sesame".to_owned())).unwrap()
}

struct Admin {
    address: SocketAddr,
    client: Client,
    reasons: Arc<Mutex<Vec<Reason>>>,
}

impl Admin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reasons);
        let state = AdminState {
            reasons: Arc::new(move || told.lock().unwrap().clone()),
            notes: Arc::new(Vec::new),
            metrics: Arc::new(|| "portcullis_audit_up 1\n".to_owned()),
            config: Arc::new(|| json!({"api_key": "***"})),
            tenancy: Tenancy {
                office: Arc::new(|| panic!("no test here asks the office")),
                urls: Arc::new(Kept::default()),
                secrets: Arc::new(Kept::default()),
            },
            data_keys: Arc::new(Kept::default()),
            connects: Arc::new(Kept::default()),
            offers: Arc::new(Kept::default()),
            explains: Arc::new(Kept::default()),
            rollouts: Arc::new(Kept::default()),
            admins: Arc::new(admins()),
            changes: Arc::new(|_| {}),
            hosts: Arc::from(["admin.acme.example".to_owned()]),
        };
        tokio::spawn(serve(listener, None, state, std::future::pending()));
        Self { address, client: Client::builder().no_proxy().build().unwrap(), reasons }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, &[], "").await
    }
}

impl Explains for Kept {
    fn explain(&self, invocation: &str) -> Result<Option<Value>, String> {
        Ok((invocation == "0190").then(|| json!({"sentence": "alice may not create a purchase order."})))
    }
}

#[tokio::test]
async fn why_a_message_was_refused_is_told_to_whoever_has_the_token() {
    let admin = Admin::start();
    assert_eq!(admin.get("/v1/explain?invocation=0190").await.0, 401);
    let ask = async |path: &str| admin.ask(Method::GET, path, &[TOKEN], "").await;
    let (status, told) = ask("/v1/explain?invocation=0190").await;
    assert_eq!((status, &told["sentence"]), (200, &json!("alice may not create a purchase order.")));
    assert_eq!(ask("/v1/explain?invocation=0191").await.0, 404);
    assert_eq!(ask("/v1/explain").await.0, 400);
}

const TOKEN: (&str, &str) = ("authorization", "Bearer sesame");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn readiness_says_why_not_and_liveness_goes_on() {
    let admin = Admin::start();
    assert_eq!(admin.get("/readyz").await, (200, json!({"ready": true, "reasons": [], "notes": []})));
    admin.reasons.lock().unwrap().push(Reason { what: "audit", why: "the disk is full".to_owned() });
    let (status, body) = admin.get("/readyz").await;
    assert_eq!((status, &body["reasons"][0]["why"]), (503, &json!("the disk is full")));
    assert_eq!(admin.get("/livez").await, (200, json!({"live": true})));
}

#[tokio::test]
async fn metrics_and_configuration_are_shown() {
    let admin = Admin::start();
    assert_eq!(admin.get("/metrics").await, (200, json!("portcullis_audit_up 1\n")));
    assert_eq!(admin.get("/config").await, (200, json!({"api_key": "***"})));
}

#[tokio::test]
async fn a_page_that_was_rebound_to_loopback_reaches_nothing() {
    let admin = Admin::start();
    for host in
        ["evil.example", "evil.example:9901", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.7", ""]
    {
        for path in ["/livez", "/config", "/v1/urls?tenant=acme", "/nowhere"] {
            let (status, body) = admin.ask(Method::GET, path, &[("host", host), TOKEN], "").await;
            assert_eq!(status, 403, "{host} {path} {body}");
        }
    }
    for host in ["localhost", "localhost:9901", "127.0.0.1", "[::1]:9901", "Admin.Acme.Example:1"] {
        assert_eq!(admin.ask(Method::GET, "/livez", &[("host", host)], "").await.0, 200, "{host}");
    }
}

#[test]
fn a_listener_on_every_address_is_reached_by_address_and_by_its_own_names_only() {
    let named = Arc::from(["gate".to_owned(), "metrics.example:9901".to_owned()]);
    let hosts = Hosts { named, address: "0.0.0.0".parse().unwrap() };
    for known in ["10.0.0.7:9901", "[fd00::7]:9901", "gate", "GATE:9901", "metrics.example:9901", "localhost"]
    {
        assert!(hosts.know(known), "{known}");
    }
    for other in ["evil.example", "gate.evil.example", "metrics.example:80", "10.0.0.7.evil.example", ""] {
        assert!(!hosts.know(other), "{other}");
    }
}

#[tokio::test]
async fn scoped_urls_need_the_admin_token_on_every_path_and_method() {
    let admin = Admin::start();
    for bad in ["", "Bearer ", "Bearer sesam", "Bearer sesame2", "Basic sesame", "sesame"] {
        for (method, path) in [
            (Method::GET, "/v1/urls?tenant=acme"),
            (Method::POST, "/v1/urls"),
            (Method::DELETE, "/v1/urls/su_0?tenant=acme"),
        ] {
            let (status, body) = admin.ask(method, path, &[("authorization", bad)], "").await;
            assert_eq!(status, 401, "{bad} {path}");
            assert!(body["error"].as_str().unwrap().contains("admin.token"));
        }
    }
    let twice = [TOKEN, ("authorization", "Bearer other")];
    assert_eq!(admin.ask(Method::GET, "/v1/urls?tenant=acme", &twice, "").await.0, 401);
}

#[tokio::test]
async fn a_scoped_url_is_made_listed_and_revoked_by_its_tenant_only() {
    let admin = Admin::start();
    let wanted =
        r#"{"tenant":"acme","server":"netsuite","methods":["read"],"expires_at":"2027-01-01T00:00:00Z"}"#;
    let (status, made) = admin.ask(Method::POST, "/v1/urls", &[TOKEN, JSON], wanted).await;
    assert_eq!((status, &made["id"]), (201, &json!("su_0")));
    let list = async |tenant: &str| {
        admin.ask(Method::GET, &format!("/v1/urls?tenant={tenant}"), &[TOKEN], "").await.1
    };
    assert_eq!(
        (list("acme").await, list("other").await),
        (json!({"urls": [{"id": "su_0"}]}), json!({"urls": []}))
    );
    let revoke = async |path: &str| admin.ask(Method::DELETE, path, &[TOKEN], "").await.0;
    assert_eq!(revoke("/v1/urls/su_0?tenant=other").await, 404);
    assert_eq!(revoke("/v1/urls/su_0?tenant=acme").await, 200);
    assert_eq!(revoke("/v1/urls/su_0?tenant=acme").await, 404);
}

#[tokio::test]
async fn mistakes_are_told_in_plain_words_and_as_json() {
    let admin = Admin::start();
    let told = async |method: Method, path: &str, body: &str| {
        let (status, answer) = admin.ask(method, path, &[TOKEN, JSON], body).await;
        (status, answer["error"].as_str().unwrap().to_owned())
    };
    let (status, words) =
        told(Method::POST, "/v1/urls", r#"{"tenant":"acme","server":"s","role":"x"}"#).await;
    assert!(status == 422 && words.contains("`role`"), "{status} {words}");
    let (status, words) =
        told(Method::POST, "/v1/urls", r#"{"tenant":"acme","server":"s","methods":[]}"#).await;
    assert!(status == 422 && words.contains("empty list"), "{status} {words}");
    let (status, words) = told(Method::GET, "/v1/urls", "").await;
    assert!(status == 400 && words.contains("?tenant="), "{status} {words}");
    assert_eq!(told(Method::GET, "/nowhere", "").await.0, 404);
    assert_eq!(told(Method::PUT, "/v1/urls", "").await.0, 405);
    assert_eq!(told(Method::POST, "/livez", "").await.0, 405);
}

#[tokio::test]
async fn a_secret_is_sealed_for_an_account_and_never_told_back() {
    let admin = Admin::start();
    let body = |server: &str| json!({"tenant": "acme", "server": server, "secret": "hunter2"}).to_string();
    let send = async |headers: &[(&str, &str)], body: String| {
        admin.ask(Method::POST, "/v1/secrets", headers, &body).await
    };
    assert_eq!(send(&[TOKEN, JSON], body("erp")).await, (200, json!({"sealed": true})));
    assert_eq!(send(&[JSON], body("erp")).await.0, 401);
    let (status, told) = send(&[TOKEN, JSON], body("crm")).await;
    assert_eq!((status, told), (422, json!({"error": "there is no account at `crm`", "code": "invalid"})));
    let (status, told) = send(&[TOKEN, JSON], "{\"secret\": \"hunter2\"}".to_owned()).await;
    assert_eq!(status, 400);
    assert!(!told.to_string().contains("hunter2"), "{told}");
}
