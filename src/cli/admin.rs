//! The way to a running gate: its admin API.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::run::runtime;
use super::{ConfigFile, Console, Failure};
use crate::admin::Local;
use crate::config::Config;
use crate::run::desk::Desk;
use crate::secret::Secret;

/// A gate that may be running.
pub(super) struct Admin {
    address: SocketAddr,
    token: Secret,
    /// The name and the certificates by which it is known, where it speaks TLS.
    tls: Option<(String, Vec<reqwest::Certificate>)>,
}

/// What came of asking.
pub(super) enum Asked {
    /// The gate answered.
    Answer(Value),
    /// No gate runs with this configuration, so that its store is free.
    NotRunning,
}

/// What the gate asks a server for takes as long as the server takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to do where the store is taken and no admin API answers.
pub(super) const BUSY: &str =
    "where a gate runs with this configuration, give it an `admin` listener, or stop it for this";

impl Admin {
    /// The admin API of the gate that `config` describes; `None` where it has none, or never ran.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(configured) = config.admin.address else { return Ok(None) };
        let Some(token) = text(&config.admin_token())? else { return Ok(None) };
        let address = match configured.port() {
            0 => text(&config.admin_address())?.and_then(|text| text.parse().ok()),
            _ => Some(configured),
        };
        let tls = config.admin.tls.as_ref().map(|tls| known_by(config, &tls.certificate)).transpose()?;
        Ok(address.map(|address| Self { address: reachable(address), token: Secret::new(token), tls }))
    }

    /// Asks the gate. `path` begins with a slash.
    pub(super) fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Asked, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| self.failed(&error.to_string()))?.block_on(self.send(method, path, body))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Asked, Failure> {
        let client = Client::builder().no_proxy().timeout(PATIENCE);
        let mut client = client.redirect(reqwest::redirect::Policy::none());
        let mut base = format!("http://{}", self.address);
        if let Some((name, certificates)) = &self.tls {
            client = client.tls_certs_merge(certificates.clone()).resolve(name, self.address);
            base = format!("https://{name}:{}", self.address.port());
        }
        let client = client.build().map_err(|error| self.failed(&error.to_string()))?;
        let mut request = client.request(method, format!("{base}{path}"));
        request = request.bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        match request.send().await {
            Ok(response) => self.answer(response).await,
            Err(error) if error.is_connect() => Ok(Asked::NotRunning),
            Err(error) => Err(self.failed(&error.without_url().to_string())),
        }
    }

    async fn answer(&self, response: reqwest::Response) -> Result<Asked, Failure> {
        let status = response.status();
        let text = response.text().await.map_err(|error| self.failed(&error.without_url().to_string()))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match status {
            status if status.is_success() => Ok(Asked::Answer(value)),
            StatusCode::UNAUTHORIZED => Err(Failure::new(
                format!("the gate on `{}` does not take the admin token", self.address),
                "see that `--config` is the configuration that this gate runs with",
            )),
            status => Err(refused(status, &value)),
        }
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::new(
            format!("the gate on `{}` could not be asked: {why}", self.address),
            "see the gate's log",
        )
    }
}

/// Asks the running gate; where none runs, the same of its store.
pub(super) fn ask(
    console: &Console<'_>,
    file: &ConfigFile,
    config: &Config,
    (method, path, body): (Method, &str, Option<&Value>),
) -> Result<Value, Failure> {
    if let Some(admin) = Admin::of(config)?
        && let Asked::Answer(answer) = admin.ask(method.clone(), path, body)?
    {
        return Ok(answer);
    }
    let (config, _) = Config::open(&file.config, console.env).map_err(Failure::Config)?;
    runtime(1)?.block_on(async {
        let desk = Desk::open(config).await.map_err(|why| Failure::new(why, BUSY))?;
        let asked = Local::new(desk.tenancy()).ask(method, path, body).await;
        let (status, value) = asked.map_err(|why| Failure::new(why, "see `--help`"))?;
        if status.is_success() { Ok(value) } else { Err(refused(status, &value)) }
    })
}

/// Every page of a list.
pub(super) fn all(
    console: &Console<'_>,
    file: &ConfigFile,
    config: &Config,
    (path, list): (&str, &str),
) -> Result<Vec<Value>, Failure> {
    let (mut items, mut next) = (Vec::new(), None);
    let mark = if path.contains('?') { '&' } else { '?' };
    loop {
        let after = next.map_or_else(String::new, |next: String| format!("&after={next}"));
        let path = format!("{path}{mark}limit=1000{after}");
        let mut page = ask(console, file, config, (Method::GET, &path, None))?;
        if let Some(Value::Array(more)) = page.get_mut(list) {
            items.append(more);
        }
        next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if next.is_none() {
            return Ok(items);
        }
    }
}

fn refused(status: StatusCode, value: &Value) -> Failure {
    let told = |key: &str| value.get(key).and_then(Value::as_str);
    let why = told("error").map_or_else(|| format!("the gate answered {status}"), str::to_owned);
    let hint = match status.is_client_error() {
        true => "give what the gate can take; `--help` says what there is",
        false => "see the gate's log",
    };
    Failure::new(why, told("hint").unwrap_or(hint))
}

/// By which name a gate that speaks TLS is asked, and what is trusted beside the system's authorities: whoever runs this
/// reads the gate's own certificate.
fn known_by(config: &Config, file: &Path) -> Result<(String, Vec<reqwest::Certificate>), Failure> {
    let pem = std::fs::read(file).map_err(|why| {
        let what = format!("`{}` cannot be read: {why}", file.display());
        Failure::new(what, "run this as the user that the gate runs as")
    })?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem);
    let certificates =
        certificates.map_err(|why| Failure::new(why.to_string(), "give `admin.tls` certificates in PEM"))?;
    let name = config.admin.hosts.first().map_or("localhost", String::as_str);
    let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
    Ok((name.to_owned(), certificates))
}

/// What a running gate has left in `file`, if it has.
fn text(file: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(
            format!("`{}` cannot be read: {error}", file.display()),
            "run this as the user that the gate runs as",
        )),
    }
}

/// An address that listens everywhere is reached here.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}
