//! Tenants that are made, changed and removed by calls of the admin API, while agents of theirs and of others call.

use portcullis_integration::agent::Agent;
use portcullis_integration::api::Api;
use portcullis_integration::certificate::{Authority, Certificate};
use portcullis_integration::fixture::{AUDIENCE, ROLES, Std};
use portcullis_integration::sdk::{Client, Mode};
use portcullis_integration::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const SECRET: &str = "upstream-secret-of-new-31337";

/// A gate that knows roles for tenant `new`, and nothing else of it.
fn gate() -> Std {
    Std::prepared(administered, |house| drop(house.tenant("new", ROLES)))
}

/// The issuer of agents is that of admins as well, for another audience.
fn administered(config: &mut Value) {
    let mut issuer = config["identity"]["jwt"][0].clone();
    issuer["audiences"] = json!(["http://gw.test/admin"]);
    issuer["scopes"] = json!([]);
    config["admin"]["jwt"] = json!([issuer]);
}

/// A tenant's admin.
fn admin_of(std: &Std, tenant: &str) -> Api {
    Api::bearer(&std.gate.admin_url, &administrator(std, tenant, "tenant-admin"))
}

fn administrator(std: &Std, tenant: &str, role: &str) -> String {
    std.token(tenant, "ada", |claims| {
        claims.insert("aud".into(), json!("http://gw.test/admin"));
        claims.insert("roles".into(), json!([role]));
    })
}

async fn scoped_url(api: &Api, std: &Std, tenant: &str) -> (String, String) {
    let wanted = json!({"tenant": tenant, "server": "up", "roles": ["reader"], "expires_at": "7d"});
    let made = api.post("/v1/urls", wanted).await.done(201);
    let url = made["url"].as_str().expect("a URL");
    let path = &url[url.find("/mcp/").expect("a path")..];
    (made["id"].as_str().expect("an id").to_owned(), format!("{}{path}", std.gate.url))
}

async fn key(api: &Api, tenant: &str) -> (String, String) {
    let wanted = json!({"tenant": tenant, "agent": "batch", "roles": ["reader"]});
    let made = api.post("/v1/keys", wanted).await.done(201);
    (made["id"].as_str().expect("an id").to_owned(), made["key"].as_str().expect("a key").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_onboarded_by_calls_alone_and_served_by_its_own_credential() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    let (_, url) = scoped_url(&operator, &std, "new").await;
    let (_, key) = key(&operator, "new").await;
    let steps =
        json!([{"do": "list_tools"}, {"do": "call_tool", "name": "safe", "arguments": {"marker": "new"}}]);
    let seen = Client::Python.plays(Mode::Modern, &url, None, steps).await;
    assert_eq!(seen.ok(2)["content"][0]["text"], "safe new");
    assert!(std.agent(&key).calls("safe", json!({})).await.code().is_none());
    for exchange in std.upstream.received("tools/call") {
        assert_eq!(exchange.header("authorization"), [format!("Bearer {SECRET}")]);
    }
    let state = std::fs::read_dir(std.gate.house().path("state")).expect("the state").flatten();
    let stored: Vec<u8> = state.filter_map(|file| std::fs::read(file.path()).ok()).flatten().collect();
    let stored = String::from_utf8_lossy(&stored).into_owned();
    for secret in [SECRET, key.as_str(), url.rsplit('/').next().expect("a token")] {
        for (place, text) in [("state", &stored), ("log", &std.gate.log()), ("audit", &std.gate.audit_text())]
        {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_is_refused_at_once_and_served_again_when_it_is_resumed() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    let (_, url) = scoped_url(&operator, &std, "new").await;
    let (_, key) = key(&operator, "new").await;
    let holder = Agent::new(&url, None);
    let status = async |agent: &Agent| agent.calls("safe", json!({})).await.status.as_u16();
    assert_eq!((status(&holder).await, status(&std.agent(&key)).await), (200, 200));
    let set = async |status: &str| {
        let body = json!({"status": status});
        operator.send(Method::PATCH, "/v1/tenants/new", &[], Some(body)).await.done(200);
    };
    set("suspended").await;
    std.upstream.forget();
    let refused = holder.calls("safe", json!({})).await;
    let unknown = Agent::new(&format!("{}/mcp/{}", std.gate.url, "A".repeat(43)), None);
    let unknown = unknown.calls("safe", json!({})).await;
    assert_eq!(refused.status, 404);
    let told = |answer: &portcullis_integration::agent::Answer| {
        let mut message = answer.message();
        message["error"]["data"]["invocation"] = Value::Null;
        message
    };
    assert_eq!(told(&refused), told(&unknown), "it answers as a URL that never was");
    assert_eq!(status(&std.agent(&key)).await, 401);
    assert_eq!(status(&std.agent(&std.token("new", "alice", |_| {}))).await, 401);
    assert_eq!(status(&std.alice()).await, 200);
    let own = |exchange: &&portcullis_integration::upstream::Exchange| {
        exchange.header("authorization") == [format!("Bearer {SECRET}")]
    };
    assert_eq!(std.upstream.received("tools/call").iter().filter(own).count(), 0);
    set("active").await;
    assert_eq!((status(&holder).await, status(&std.agent(&key)).await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tenant_is_gone_with_its_urls_keys_and_secrets() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    let (_, url) = scoped_url(&operator, &std, "new").await;
    let (_, key) = key(&operator, "new").await;
    operator.ask(Method::DELETE, "/v1/tenants/new").await.done(200);
    assert_eq!(Agent::new(&url, None).calls("safe", json!({})).await.status, 404);
    assert_eq!(std.agent(&key).calls("safe", json!({})).await.status, 401);
    assert_eq!(operator.ask(Method::GET, "/v1/tenants/new").await.status, 404);
    // Made again under the same name it has nothing of what was.
    operator.post("/v1/tenants", json!({"tenant": "new"})).await.done(201);
    for list in ["accounts", "urls", "keys"] {
        let listed = operator.ask(Method::GET, &format!("/v1/{list}?tenant=new")).await.done(200);
        assert_eq!(listed[list], json!([]), "{list}");
    }
    assert_eq!(std.agent(&key).calls("safe", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_tenant_that_is_suspended_end() {
    let std = Std::prepared(
        |config| config["limits"] = json!({"stream_keepalive": "200ms"}),
        |house| drop(house.tenant("new", ROLES)),
    );
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    let (_, key) = key(&operator, "new").await;
    let agent = std.agent(&key).initialized().await;
    let stream =
        agent.request(Method::GET).header("MCP-Protocol-Version", portcullis_integration::mcp::LEGACY);
    let mut stream = stream.send().await.expect("the gate answers");
    assert_eq!(stream.status(), 200);
    operator
        .send(Method::PATCH, "/v1/tenants/new", &[], Some(json!({"status": "suspended"})))
        .await
        .done(200);
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(portcullis_integration::wait::DEADLINE, ended).await.expect("the stream ends");
    assert_eq!(agent.legacy("ping", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_admin_has_their_tenant_and_beside_it_there_is_nothing() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    operator.onboard("rival", "up", "secret-of-the-rival").await;
    let (_, _) = key(&operator, "rival").await;
    let admin = admin_of(&std, "new");
    // Their own.
    assert_eq!(admin.ask(Method::GET, "/v1/tenants").await.done(200)["tenants"][0]["tenant"], "new");
    assert_eq!(
        admin.ask(Method::GET, "/v1/accounts").await.done(200)["accounts"].as_array().unwrap().len(),
        1
    );
    let (id, _) = key(&admin, "new").await;
    scoped_url(&admin, &std, "new").await;
    assert_eq!(admin.ask(Method::GET, "/v1/keys").await.done(200)["keys"][0]["id"], json!(id));
    let secret = Some(json!({"secret": "another-secret-of-new"}));
    admin.send(Method::PUT, "/v1/accounts/new/up/secret", &[], secret.clone()).await.done(200);
    // Another's is as what is not there.
    let ask = async |method: Method, path: &str, body: Option<&Value>| {
        let told = admin.send(method, path, &[], body.cloned()).await;
        (told.status, told.body)
    };
    let account = json!({"credential": "none"});
    let wanted = |tenant: &str| json!({"tenant": tenant, "server": "up"});
    for (method, path, body) in [
        (Method::GET, "/v1/tenants/RIVAL", None),
        (Method::GET, "/v1/accounts?tenant=RIVAL", None),
        (Method::GET, "/v1/keys?tenant=RIVAL", None),
        (Method::GET, "/v1/urls?tenant=RIVAL", None),
        (Method::GET, "/v1/accounts/RIVAL/up", None),
        (Method::PUT, "/v1/accounts/RIVAL/up", Some(&account)),
        (Method::DELETE, "/v1/accounts/RIVAL/up", None),
        (Method::PUT, "/v1/accounts/RIVAL/up/secret", secret.as_ref()),
    ] {
        let rival = ask(method.clone(), &path.replace("RIVAL", "rival"), body).await;
        let nobody = ask(method.clone(), &path.replace("RIVAL", "nobody"), body).await;
        assert_eq!(rival.0, 404, "{method} {path}: {}", rival.1);
        assert_eq!(rival.1.to_string().replace("rival", "nobody"), nobody.1.to_string(), "{method} {path}");
    }
    for path in ["/v1/accounts", "/v1/urls", "/v1/keys"] {
        let body = |tenant: &str| if path == "/v1/keys" { json!({"tenant": tenant}) } else { wanted(tenant) };
        let (rival, nobody) = (admin.post(path, body("rival")).await, admin.post(path, body("nobody")).await);
        assert_eq!((rival.status, nobody.status), (404, 404), "{path}: {}", rival.body);
        assert_eq!(rival.body.to_string().replace("rival", "nobody"), nobody.body.to_string(), "{path}");
    }
    // What is the operator's is not theirs.
    for (method, path) in [
        (Method::POST, "/v1/tenants"),
        (Method::PATCH, "/v1/tenants/new"),
        (Method::DELETE, "/v1/tenants/new"),
        (Method::GET, "/v1/policy"),
        (Method::GET, "/v1/vault"),
    ] {
        let body = (method != Method::GET).then(|| json!({"tenant": "x"}));
        let told = admin.send(method, path, &[], body).await;
        assert_eq!((told.status, &told.body["code"]), (403, &json!("forbidden")), "{path}");
    }
    // Nothing of the rival's has changed.
    let rival = operator.ask(Method::GET, "/v1/accounts/rival/up").await.done(200);
    assert_eq!((&rival["credential"], &rival["sealed"]), (&json!({"bearer": "sealed"}), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_agents_opens_no_administration_and_one_for_admins_is_no_agents() {
    let std = gate();
    let status = async |token: &str| {
        Api::bearer(&std.gate.admin_url, token).ask(Method::GET, "/v1/tenants").await.status
    };
    assert_eq!(status(&std.alice_token()).await, 401);
    let pretender =
        std.token("a", "alice", |claims| drop(claims.insert("roles".into(), json!(["operator"]))));
    assert_eq!(status(&pretender).await, 401);
    assert_eq!(status(&administrator(&std, "a", "reader")).await, 403);
    let operator = administrator(&std, "a", "operator");
    assert_eq!(status(&operator).await, 200);
    assert_eq!(std.agent(&operator).calls("safe", json!({})).await.status, 401);
    assert_ne!(AUDIENCE, "http://gw.test/admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_twice_with_one_key_happens_once() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    let wanted = |note: &str| Some(json!({"tenant": "new", "agent": "batch", "note": note}));
    let post = async |key: &str, body: Option<Value>| {
        operator.send(Method::POST, "/v1/keys", &[("idempotency-key", key)], body).await
    };
    let first = post("4711", wanted("one")).await;
    let again = post("4711", wanted("one")).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body, "the key is shown again to who asks again");
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = post("4711", wanted("other")).await;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("idempotency_key_reused")));
    let listed = operator.ask(Method::GET, "/v1/keys?tenant=new").await.done(200);
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1));
    // Many at once: one makes it, the others get its answer or are told to wait.
    let many = (0..20).map(|_| {
        let operator = operator.clone();
        tokio::spawn(async move {
            let headers = [("idempotency-key", "4712")];
            operator
                .send(Method::POST, "/v1/keys", &headers, Some(json!({"tenant": "new", "agent": "many"})))
                .await
        })
    });
    for answer in many.collect::<Vec<_>>() {
        let answer = answer.await.expect("it is answered");
        assert!(matches!(answer.status, 201 | 409), "{}", answer.body);
    }
    let listed = operator.ask(Method::GET, "/v1/keys?tenant=new").await.done(200);
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(2));
    // The answer that has the key in it is not in the store as it is.
    let key = first.body["key"].as_str().expect("a key").to_owned();
    let store = std::fs::read(std.gate.house().path("state/portcullis.redb")).expect("the store");
    assert!(!String::from_utf8_lossy(&store).contains(&key));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_with_one_etag_the_second_is_told() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    for path in ["/v1/tenants/new", "/v1/accounts/new/up"] {
        let tag = operator.ask(Method::GET, path).await.header("etag");
        let (method, body) = match path.contains("accounts") {
            true => (Method::PUT, json!({"credential": {"bearer": "sealed"}, "slots": 3})),
            false => (Method::PATCH, json!({"note": "mine"})),
        };
        let write =
            async || operator.send(method.clone(), path, &[("if-match", &tag)], Some(body.clone())).await;
        let (first, second) = (write().await, write().await);
        assert_eq!((first.status, second.status), (200, 412), "{path} {}", second.body);
        assert_eq!(second.body["code"], "changed");
        assert_ne!(first.header("etag"), tag);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_once_and_a_listed_one_says_when_it_was_used() {
    let std = gate();
    let operator = Api::operator(&std.gate);
    operator.onboard("new", "up", SECRET).await;
    let (id, secret) = key(&operator, "new").await;
    let list = async || operator.ask(Method::GET, "/v1/keys?tenant=new").await.done(200)["keys"][0].clone();
    let unused = list().await;
    assert_eq!((unused.get("last_used_at"), unused.get("key")), (None, None));
    assert!(secret.starts_with(unused["prefix"].as_str().expect("a prefix")));
    assert_eq!(std.agent(&secret).calls("safe", json!({})).await.status, 200);
    until("the last use", async || list().await.get("last_used_at").cloned()).await;
    operator.ask(Method::DELETE, &format!("/v1/keys/{id}?tenant=other")).await;
    assert_eq!(std.agent(&secret).calls("safe", json!({})).await.status, 200);
    operator.ask(Method::DELETE, &format!("/v1/keys/{id}?tenant=new")).await.done(200);
    assert_eq!(std.agent(&secret).calls("safe", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_on_the_record_with_who_made_it() {
    let std = gate();
    Api::operator(&std.gate).onboard("new", "up", SECRET).await;
    let admin = admin_of(&std, "new");
    let (id, _) = key(&admin, "new").await;
    admin.ask(Method::DELETE, "/v1/tenants/new").await;
    Api::bearer(&std.gate.admin_url, "nonsense").ask(Method::DELETE, "/v1/tenants/new").await;
    let lines = until("the lines", async || {
        let lines: Vec<Value> = std.gate.audit().into_iter().filter(|line| line["kind"] == "admin").collect();
        (lines.len() >= 5).then_some(lines)
    })
    .await;
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            (
                text("by"),
                text("method"),
                text("path"),
                text("tenant"),
                line["status"].as_u64().expect("a status"),
            )
        })
        .collect();
    let line = |by: &str, method: &str, path: &str, tenant: &str, status: u64| {
        (by.to_owned(), method.to_owned(), path.to_owned(), tenant.to_owned(), status)
    };
    assert_eq!(
        told,
        [
            line("admin token", "POST", "/v1/tenants", "new", 201),
            line("admin token", "POST", "/v1/accounts", "new", 201),
            line("ada of https://idp.test", "POST", "/v1/keys", "new", 201),
            line("ada of https://idp.test", "DELETE", "/v1/tenants/new", "new", 403),
            line("nobody", "DELETE", "/v1/tenants/new", "-", 401),
        ]
    );
    assert_eq!(lines[2]["made"], json!(id));
    let verified = std.gate.house().command(&["audit", "verify", "audit"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_client_certificate_an_operator_and_a_tenants_admin_are_known() {
    let authority = Authority::new("admins");
    let server = authority.server("gate.test");
    let std = Std::prepared(
        |config| {
            config["admin"]["tls"] =
                json!({"certificate": "gate.crt", "key": "gate.key", "client_authorities": "admins.pem"});
            config["admin"]["certificates"] = json!([
                {"common_name": "olga", "tenant": "operators", "roles": ["operator"]},
                {"common_name": "ada", "tenant": "a", "roles": ["tenant-admin"]},
            ]);
        },
        |house| {
            house.write("gate.crt", &format!("{}{}", server.certificate, authority.pem()));
            house.write("gate.key", &server.key);
            house.write("admins.pem", &authority.pem());
        },
    );
    let base = std.gate.admin_url.replace("http://", "https://");
    let client = |shown: Option<Certificate>| {
        let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        if let Some(shown) = shown {
            let pem = format!("{}{}", shown.certificate, shown.key);
            client = client.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
        }
        Api::over(&base, client.build().expect("a client"))
    };
    let tenants = async |api: &Api| api.ask(Method::GET, "/v1/tenants").await;
    let (olga, ada) = (client(Some(authority.client("olga", 1))), client(Some(authority.client("ada", 2))));
    assert_eq!(tenants(&olga).await.done(200)["tenants"].as_array().map(Vec::len), Some(2));
    assert_eq!(tenants(&ada).await.done(200)["tenants"].as_array().map(Vec::len), Some(1));
    assert_eq!(tenants(&client(Some(authority.client("eve", 3)))).await.status, 401);
    assert_eq!(tenants(&client(None)).await.status, 401);
    // Commands of the same machine go on by the admin token.
    assert_eq!(std.gate.house().json(&["tenant", "list"]).as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_command_line_a_tenant_is_made_with_a_gate_and_without_one() {
    let std = gate();
    let house = std.gate.house();
    house.json(&["tenant", "create", "new", "--display-name", "New & Sons"]);
    house.json(&["account", "create", "new", "up", "--credential", "bearer", "--slots", "3"]);
    let made = house.json(&["key", "create", "--tenant", "new", "--role", "reader", "--expires", "7d"]);
    assert_eq!(house.json(&["tenant", "show", "new"])["display_name"], "New & Sons");
    house.json(&["tenant", "suspend", "new"]);
    let key = made["key"].as_str().expect("a key");
    assert_eq!(std.agent(key).calls("safe", json!({})).await.status, 401);
    house.json(&["tenant", "resume", "new"]);
    let Std { gate, upstream: _upstream, issuer: _issuer } = std;
    let house = gate.kill();
    let listed = house.json(&["tenant", "list"]);
    let names: Vec<_> =
        listed.as_array().expect("a list").iter().map(|tenant| tenant["tenant"].clone()).collect();
    assert_eq!(names, ["a", "b", "new"]);
    assert_eq!(house.json(&["key", "list", "--tenant", "new"])[0]["id"], made["id"]);
    assert_eq!(house.json(&["account", "list"]).as_array().map(Vec::len), Some(3));
    house.json(&["key", "revoke", "--tenant", "new", made["id"].as_str().expect("an id")]);
    house.json(&["account", "delete", "new", "up"]);
    house.json(&["tenant", "delete", "new"]);
    let unknown = house.command(&["tenant", "show", "new"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no tenant `new`"), "{unknown:?}");
    let fixed = house.command(&["tenant", "delete", "a"]);
    assert!(String::from_utf8_lossy(&fixed.stderr).contains("stands in the configuration"), "{fixed:?}");
}
