//! HTTP to authorization servers: no redirect is followed, no answer is larger than it needs to be, and what somebody else
//! names is reached at public addresses alone.
//!
//! # Why a host that the operator named is trusted
//! An authorization server inside a company has a private address, and the operator names it. What a server or its
//! metadata name beyond that host could be anything that only the gate can reach.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::tls::{Certificate, Identity};
use reqwest::{Client, ClientBuilder, Response, Url};
use zeroize::Zeroizing;

use crate::address::is_public;
use crate::config::UpstreamTls;

/// For the whole exchange with an endpoint.
pub(in crate::credential) const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 64 << 10;

/// The clients that every account uses, made when the first needs one: reading the system's authorities takes a while.
#[derive(Clone, Default)]
pub(in crate::credential) struct Clients(Arc<Shared>);

#[derive(Default)]
struct Shared {
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
    guarded: OnceLock<Result<Client, String>>,
}

/// The way of one account to its authorization server.
pub(in crate::credential) struct Http {
    clients: Clients,
    /// With the account's own TLS.
    own: Option<Client>,
    /// The hosts that the operator named.
    named: Vec<String>,
}

impl Http {
    /// The way of an account. `named`: the URLs in it that the operator wrote.
    ///
    /// # Errors
    /// A file of `tls` that cannot be used.
    pub(in crate::credential) fn new<'a>(
        clients: &Clients,
        tls: &UpstreamTls,
        named: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let host = |text: &str| Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
        Ok(Self {
            clients: clients.clone(),
            own: own(tls)?,
            named: named.into_iter().filter_map(host).collect(),
        })
    }

    /// The client for a URL.
    ///
    /// # Errors
    /// The URL is not `https` or its address is not public, and the operator did not name its host; or there is no client.
    pub(in crate::credential) fn of(&self, url: &Url) -> Result<Client, String> {
        let host = url.host_str().unwrap_or_default();
        if !self.named.iter().any(|named| named == host) {
            let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            return match literal {
                Ok(address) if !is_public(address) => Err("its address is not public".into()),
                Ok(_) | Err(_) if url.scheme() != "https" => Err("it is not https".into()),
                Ok(_) | Err(_) => self.clients.guarded(),
            };
        }
        match &self.own {
            Some(client) if url.scheme() == "https" => Ok(client.clone()),
            Some(_) | None => self.clients.of(url),
        }
    }
}

impl Clients {
    fn of(&self, url: &Url) -> Result<Client, String> {
        let made = if url.scheme() == "https" {
            self.0.secure.get_or_init(|| client(Client::builder()))
        } else {
            // Without the system's authorities, which a small image may not have.
            self.0.plain.get_or_init(|| client(Client::builder().tls_certs_only([])))
        };
        made.clone()
    }

    pub(in crate::credential) fn guarded(&self) -> Result<Client, String> {
        self.0.guarded.get_or_init(|| client(Client::builder().dns_resolver(Arc::new(PublicOnly)))).clone()
    }
}

/// No redirects (the secret would follow), no proxy from the environment, no idle connections between hourly requests.
fn client(builder: ClientBuilder) -> Result<Client, String> {
    builder
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(FETCH_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| format!("the HTTP client cannot be made: {}", reason(&error)))
}

fn own(tls: &UpstreamTls) -> Result<Option<Client>, String> {
    if tls.authorities.is_none() && tls.client.is_none() {
        return Ok(None);
    }
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
    };
    let mut builder = Client::builder();
    if let Some(path) = &tls.authorities {
        let roots = Certificate::from_pem_bundle(&read(path)?);
        let roots = roots.map_err(|error| format!("`{}`: {}", path.display(), reason(&error)))?;
        builder = builder.tls_certs_only(roots);
    }
    if let Some((certificate, key)) = &tls.client {
        let mut pem = Zeroizing::new(read(certificate)?);
        pem.push(b'\n');
        pem.extend_from_slice(&Zeroizing::new(read(key)?));
        let identity = Identity::from_pem(&pem);
        builder =
            builder.identity(identity.map_err(|error| format!("`{}`: {}", key.display(), reason(&error)))?);
    }
    client(builder).map(Some)
}

/// Names resolve to public addresses alone, and the connection goes to exactly these.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("none of its addresses is public".into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

/// The body of an answer, if it is not too large.
///
/// # Errors
/// Why it cannot be had, for the operator.
pub(in crate::credential) async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST_ANSWER));
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error.without_url()))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(format!("the answer is larger than {LARGEST_ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error and its causes in one line: reqwest's own text leaves out what went wrong.
pub(in crate::credential) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_did_not_name_is_reached_at_public_addresses_alone() {
        let http =
            Http::new(&Clients::default(), &UpstreamTls::default(), ["http://127.0.0.1:9/token"]).unwrap();
        let of = |url: &str| http.of(&Url::parse(url).unwrap()).is_ok();
        assert!(of("http://127.0.0.1:10/elsewhere"), "the host that the operator named");
        for url in
            ["http://127.0.0.2/", "http://[::1]/", "http://10.0.0.1/", "https://169.254.169.254/latest"]
        {
            assert!(!of(url), "{url}");
        }
        assert!(
            of("https://93.184.215.14/token") && !of("http://93.184.215.14/token"),
            "and not in the clear"
        );
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_not_reached() {
        let client = Clients::default().guarded().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = client.get(format!("http://localhost:{port}/")).send().await.unwrap_err();
        assert!(reason(&error).contains("none of its addresses is public"), "{}", reason(&error));
    }
}
