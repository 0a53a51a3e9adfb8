//! What a person's browser does: it keeps cookies, and goes where it is sent.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, Url};

/// A browser with its cookies.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One without cookies, on this client, which must follow no redirect by itself.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, cookies: BTreeMap::new() }
    }

    /// Opens a URL; with a form it sends that.
    pub async fn opens(&mut self, url: &Url, form: Option<&[(&str, &str)]>) -> Response {
        let request = match form {
            Some(form) => self.client.post(url.clone()).form(form),
            None => self.client.get(url.clone()),
        };
        self.sends(request).await
    }

    async fn sends(&mut self, request: RequestBuilder) -> Response {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header(COOKIE, jar.join("; ")).send().await.expect("the provider answers");
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().expect("text").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}

/// Where an answer sends a browser that had opened `from`.
#[must_use]
pub fn redirected(answer: &Response, from: &Url) -> Option<Url> {
    let location = answer.headers().get(LOCATION)?.to_str().expect("text");
    Some(from.join(location).expect("a URL"))
}
