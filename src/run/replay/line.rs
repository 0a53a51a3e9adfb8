//! A line of the audit, as far as a replay reads it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::Span;
use crate::config::Server;
use crate::identify::Scope;
use crate::name::UrlId;

/// A line of any kind.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(deserialize_with = "time")]
    pub(super) time: jiff::Timestamp,
    #[serde(borrow)]
    pub(super) invocation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) tenant: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) agent: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) roles: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) authn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) scope: Option<Cow<'a, str>>,
    pub(super) narrowed: Option<Narrowed>,
    #[serde(borrow)]
    unkept: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(super) source_ip: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) server: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) tool: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) prompt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) protocol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) workflow: Option<Cow<'a, str>>,
    #[serde(borrow)]
    args: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) rules: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) revision: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

fn time<'de, D: serde::Deserializer<'de>>(from: D) -> Result<jiff::Timestamp, D::Error> {
    Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

/// What a scoped URL narrowed its holder to.
#[derive(Debug, Deserialize)]
pub(super) struct Narrowed {
    methods: Vec<String>,
    tags: Vec<String>,
    expires_at: Option<String>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was<'a> {
    /// Policy allowed it.
    Allowed,
    /// Policy refused it, whatever its arguments.
    Refused,
    /// Its arguments were outside what policy allows.
    Constrained,
    /// Something else than policy refused it, for this reason.
    Undecided(&'a str),
}

impl Line<'_> {
    pub(super) fn is_in(&self, span: &Span) -> bool {
        let tenant =
            span.tenant.as_ref().is_none_or(|tenant| self.tenant.as_deref() == Some(tenant.as_str()));
        tenant
            && span.since.is_none_or(|since| self.time >= since)
            && span.until.is_none_or(|until| self.time < until)
    }

    /// What was decided of a message; `None`: the line is about something else.
    pub(super) fn was(&self) -> Option<Was<'_>> {
        match (&*self.kind, self.authn.as_deref(), self.reason.as_deref()) {
            // What the gate itself asks a server, no policy decides.
            ("intent" | "refused", Some("operator"), _) => None,
            ("intent", _, _) if self.rules.iter().any(|rule| rule == "portcullis.decline") => None,
            ("intent", _, _) => Some(Was::Allowed),
            ("refused", _, reason) => Some(match (self.revision.is_some(), reason) {
                (true, Some("constrained")) => Was::Constrained,
                (true, _) => Was::Refused,
                (false, reason) => Was::Undecided(reason.unwrap_or("no reason")),
            }),
            (_, _, _) => None,
        }
    }

    /// Whether something of this kind was known of the caller and is not kept. A line that does not say may lack it.
    pub(super) fn lacks(&self, what: &str) -> bool {
        self.unkept.as_ref().is_none_or(|unkept| unkept.iter().any(|part| part == what))
    }

    /// The scoped URL by which it came, as far as the line holds it.
    pub(super) fn scope(&self, server: &Server) -> Option<Scope> {
        let narrowed = self.narrowed.as_ref()?;
        let texts = |texts: &[String]| texts.iter().map(|text| Arc::from(text.as_str())).collect();
        Some(Scope {
            id: UrlId::parse(self.scope.as_deref()?).ok()?,
            server: server.name.clone(),
            methods: texts(&narrowed.methods),
            tags: texts(&narrowed.tags),
            expires_at: narrowed.expires_at.as_ref().and_then(|time| time.parse().ok()),
        })
    }

    /// Whether the call is known to have had no arguments. Of a refused prompt they are not noted.
    pub(super) fn had_no_arguments(&self) -> bool {
        self.args.is_none() && (&*self.kind == "intent" || self.method.as_deref() == Some("tools/call"))
    }

    /// Who it was, as far as a report names them.
    pub(super) fn who(&self) -> String {
        let who = [self.tenant.as_deref(), self.user.as_deref(), self.agent.as_deref()];
        who.into_iter().flatten().collect::<Vec<_>>().join("/")
    }

    /// The names by which a list of expectations may mean them: `acme/alice`, and `acme/clerk` for each role.
    pub(super) fn names(&self) -> Vec<String> {
        let tenant = self.tenant.as_deref().unwrap_or_default();
        let one = [self.user.as_deref(), self.agent.as_deref()].into_iter().flatten();
        let names = one.chain(self.roles.iter().map(|role| &**role));
        names.map(|name| format!("{tenant}/{name}")).chain([self.who()]).collect()
    }

    /// The kind and the name of the thing that it was about; `None`: it was about the server itself.
    pub(super) fn thing(&self) -> Option<(&'static str, &str)> {
        let things = [("tool", &self.tool), ("resource", &self.resource), ("prompt", &self.prompt)];
        things.into_iter().find_map(|(kind, name)| Some((kind, name.as_deref()?)))
    }

    /// What it was about: a tool, a resource, a prompt or a method, at a server.
    pub(super) fn what(&self) -> (String, String) {
        let about = [&self.tool, &self.resource, &self.prompt, &self.method];
        let about = about.into_iter().flatten().next().map(ToString::to_string);
        (self.server.as_deref().unwrap_or("?").to_owned(), about.unwrap_or_else(|| "the session".to_owned()))
    }
}
