//! Servers asked what they offer: by the gate that runs, or by one that is opened for it.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Whom;
use crate::admin::{OfferOf, Offers};
use crate::catalogue::{Definition, Pinned, Thing, distinct};
use crate::cli::admin::{Admin, Asked as Answered};
use crate::cli::run::runtime;
use crate::cli::{Console, Exit, Failure};
use crate::config::Config;
use crate::name::{ServerName, TenantId};
use crate::run::offers::OfferDesk;

/// The lists of an offer, and by which member their items are told apart.
const LISTS: [(&str, &str); 4] =
    [("tools", "name"), ("resources", "uri"), ("templates", "uriTemplate"), ("prompts", "name")];

type Account = (TenantId, ServerName);

/// What came of asking.
pub(super) struct Asked {
    offers: Vec<(ServerName, Value)>,
    seen: BTreeMap<ServerName, Pinned>,
    /// Servers of which an account was left out, or did not answer.
    partly: BTreeSet<ServerName>,
    /// Lists that an account could not be told.
    unasked: BTreeSet<(ServerName, Thing)>,
    failed: bool,
}

impl Asked {
    /// Asks the servers that are wanted; none named: every one.
    pub(super) fn of(
        console: &mut Console<'_>,
        config: &Config,
        whom: &Whom,
        servers: &[String],
    ) -> Result<Self, Failure> {
        let wanted = accounts(config, whom, servers)?;
        let answers = answers(console, config, whom, &wanted)?;
        let mut asked = Self {
            offers: Vec::new(),
            seen: BTreeMap::new(),
            partly: BTreeSet::new(),
            unasked: BTreeSet::new(),
            failed: false,
        };
        for ((tenant, server), answer) in wanted.iter().zip(answers) {
            match answer {
                Ok(offer) => asked.takes(console, tenant, server, offer),
                Err(why) => {
                    console.note(format_args!("error: `{server}` with the account of `{tenant}`: {why}"));
                    asked.failed = true;
                    asked.partly.insert(server.clone());
                }
            }
        }
        let left_out = config.accounts.keys().filter(|account| !wanted.contains(account));
        asked.partly.extend(left_out.map(|(_, server)| server.clone()));
        Ok(asked)
    }

    fn takes(&mut self, console: &mut Console<'_>, tenant: &TenantId, server: &ServerName, offer: Value) {
        let list =
            |key: &str| offer.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for note in list("notes") {
            let note = note.as_str().unwrap_or_default();
            console.note(format_args!("warning: `{server}` with the account of `{tenant}`: {note}"));
        }
        let unasked = list("unasked").iter().filter_map(|list| Thing::of_plural(list.as_str()?));
        self.unasked.extend(unasked.map(|thing| (server.clone(), thing)));
        let before = self.seen.remove(server).unwrap_or_default();
        let of = |thing: Thing| {
            let items = list(thing.plural()).iter();
            items.filter_map(move |item| Definition::of(thing, item)).collect::<Vec<_>>()
        };
        let now = Thing::ALL.into_iter().flat_map(of);
        let seen = distinct(before.into_values().flatten().chain(now));
        self.seen.insert(server.clone(), seen);
        self.offers.push((server.clone(), offer));
    }

    /// What every server that answered offers; several texts where accounts are shown several.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&ServerName, &Pinned)> {
        self.seen.iter()
    }

    /// Whether every account at a server was asked and told this list, so that what was not seen is gone.
    pub(super) fn is_whole(&self, server: &ServerName, thing: Thing) -> bool {
        !self.partly.contains(server) && !self.unasked.contains(&(server.clone(), thing))
    }

    /// Done, or failed where a server did not answer.
    pub(super) fn exit(&self) -> Exit {
        if self.failed { Exit::Failed } else { Exit::Done }
    }

    /// Everything by server; what several accounts are shown under one name is there once, as the first was shown it.
    pub(super) fn pulled(&self) -> Value {
        let mut servers = Map::new();
        for (server, offer) in &self.offers {
            let known = servers
                .entry(server.to_string())
                .or_insert_with(|| json!({"tools": [], "resources": [], "templates": [], "prompts": []}));
            for (list, key) in LISTS {
                let items = offer.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                if let Some(known) = known.get_mut(list).and_then(Value::as_array_mut) {
                    for item in items {
                        if !known.iter().any(|other| other.get(key) == item.get(key)) {
                            known.push(item.clone());
                        }
                    }
                }
            }
        }
        json!({"servers": servers})
    }
}

/// The accounts that are wanted, in order.
fn accounts<'c>(config: &'c Config, whom: &Whom, servers: &[String]) -> Result<Vec<&'c Account>, Failure> {
    for name in servers {
        if !config.servers.keys().any(|server| server.as_str() == name) {
            let known: Vec<&str> = config.servers.keys().map(ServerName::as_str).collect();
            let hint = format!("configured are: {}", known.join(", "));
            return Err(Failure::new(format!("there is no server `{name}`"), hint));
        }
    }
    let fits = |(tenant, server): &&Account| {
        whom.tenant.as_ref().is_none_or(|wanted| wanted == tenant.as_str())
            && (servers.is_empty() || servers.iter().any(|wanted| wanted == server.as_str()))
    };
    let wanted: Vec<&Account> = config.accounts.keys().filter(fits).collect();
    if wanted.is_empty() {
        let hint = "see `portcullis account list`: a server is asked with a tenant's account";
        return Err(Failure::new("there is no account to ask with", hint));
    }
    Ok(wanted)
}

type Answer = Result<Value, String>;

/// Asks with each account: the running gate, which has the store; where none runs, a gate of this command's own.
fn answers(
    console: &Console<'_>,
    config: &Config,
    whom: &Whom,
    wanted: &[&Account],
) -> Result<Vec<Answer>, Failure> {
    if let Some(admin) = Admin::of(config)? {
        let mut answers = Vec::new();
        for (tenant, server) in wanted {
            let path = format!("/v1/catalogue?tenant={}&server={server}", encoded(tenant.as_str()));
            answers.push(match admin.ask(Method::GET, &path, None) {
                Ok(Answered::Answer(offer)) => Ok(offer),
                Ok(Answered::NotRunning) => return alone(console, whom, wanted),
                Err(Failure::Failed { what, .. }) => Err(what),
                Err(other) => return Err(other),
            });
        }
        return Ok(answers);
    }
    alone(console, whom, wanted)
}

fn alone(console: &Console<'_>, whom: &Whom, wanted: &[&Account]) -> Result<Vec<Answer>, Failure> {
    let (config, _) = Config::open(&whom.file.config, console.env).map_err(Failure::Config)?;
    let failed = |errors: Vec<crate::gateway::BuildError>| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(lines.join("\n"), crate::cli::admin::BUSY)
    };
    runtime(1)?.block_on(async {
        let desk = OfferDesk::open(config).await.map_err(failed)?;
        let mut answers = Vec::new();
        for (tenant, server) in wanted {
            let asked = OfferOf { tenant: tenant.to_string(), server: server.to_string() };
            answers.push(desk.offer(asked).await.map_err(|why| why.to_string()));
        }
        desk.close();
        Ok(answers)
    })
}

/// A text as a value of a query (RFC 3986 section 2.1).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
