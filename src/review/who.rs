//! Who is asked about: the roles of every tenant, or callers that a file names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Config, Static};
use crate::decide::{Names, PolicyProblem, Written};
use crate::name::{AgentId, BadName, TenantId, UserId};
use crate::review::{Questions, What, Who};

/// What the caller without any role is called.
const NO_ROLE: &str = "(no role)";

/// A caller as a file names them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    tenant: String,
    user: Option<String>,
    agent: Option<String>,
    #[serde(default)]
    roles: Vec<Arc<str>>,
    #[serde(default)]
    groups: Vec<Arc<str>>,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

impl Who {
    /// Every role of every tenant, as the policies' data and the configuration name them; and, for each tenant, whoever
    /// has no role at all.
    #[must_use]
    pub fn roles(config: &Config, names: &Names) -> Vec<Self> {
        let mut roles: BTreeMap<TenantId, BTreeSet<Arc<str>>> = names.roles.clone();
        for (tenant, _) in config.accounts.keys() {
            roles.entry(tenant.clone()).or_default();
        }
        for who in configured(config) {
            roles.entry(who.tenant.clone()).or_default().extend(who.roles.iter().cloned());
        }
        let attributes: BTreeMap<String, Value> =
            names.attributes.iter().map(|name| (name.clone(), stand_in(name).into())).collect();
        let of_tenant = |(tenant, roles): (TenantId, BTreeSet<Arc<str>>)| {
            let named = roles.into_iter().map(|role| (Arc::clone(&role), vec![role]));
            let all: Vec<_> = named.chain([(NO_ROLE.into(), Vec::new())]).collect();
            let attributes = attributes.clone();
            all.into_iter().map(move |(name, roles)| Self {
                name: format!("{tenant}/{name}").into(),
                caller: Static {
                    tenant: tenant.clone(),
                    user: UserId::parse(&stand_in("user")).ok(),
                    agent: AgentId::parse(&stand_in("agent")).ok(),
                    roles,
                    groups: Vec::new(),
                    attributes: attributes.clone(),
                },
            })
        };
        roles.into_iter().flat_map(of_tenant).collect()
    }

    /// The callers of a file: a list of `{name, tenant, user, agent, roles, groups, attributes}`.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn named(file: &Written) -> Result<Vec<Self>, Vec<PolicyProblem>> {
        let (mut all, mut problems) = (Vec::<Self>::new(), Vec::new());
        for (index, named) in file.items::<Named>()?.into_iter().enumerate() {
            match named.who() {
                Ok(who) if all.iter().any(|other| other.name == who.name) => {
                    problems.push(file.problem(index, format!("there is a caller `{}` already", who.name)));
                }
                Ok(who) => all.push(who),
                Err(why) => problems.push(file.problem(index, why)),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }
}

impl Named {
    fn who(self) -> Result<Who, String> {
        let bad = |what: &str, text: &str, why: &BadName| format!("`{text}` is no name of a {what}: {why}");
        let user =
            self.user.as_deref().map(|user| UserId::parse(user).map_err(|why| bad("user", user, &why)));
        let agent = self.agent.as_deref();
        let agent = agent.map(|agent| AgentId::parse(agent).map_err(|why| bad("agent", agent, &why)));
        let caller = Static {
            tenant: TenantId::parse(&self.tenant).map_err(|why| bad("tenant", &self.tenant, &why))?,
            user: user.transpose()?,
            agent: agent.transpose()?,
            roles: self.roles,
            groups: self.groups,
            attributes: self.attributes,
        };
        Ok(Who { name: self.name.into(), caller })
    }
}

impl Questions {
    /// Everybody of `who` (of `tenant`, where one is given) about everything of `what`; who has no account at any
    /// server is left out, and named in what is returned besides.
    #[must_use]
    pub fn new(
        config: &Config,
        who: Vec<Who>,
        what: Vec<What>,
        tenant: Option<&TenantId>,
    ) -> (Self, BTreeSet<TenantId>) {
        let servers = config
            .accounts
            .keys()
            .filter_map(|(tenant, server)| Some((tenant.clone(), Arc::clone(config.servers.get(server)?))));
        let mut questions = Self { who: Vec::new(), what, accounts: servers.collect() };
        questions.what.sort_by(|a, b| a.key().cmp(&b.key()));
        questions.what.dedup_by(|a, b| a.key() == b.key());
        let mut without = BTreeSet::new();
        for who in who.into_iter().filter(|who| tenant.is_none_or(|tenant| who.caller.tenant == *tenant)) {
            if config.accounts.keys().any(|(tenant, _)| *tenant == who.caller.tenant) {
                questions.who.push(who);
            } else {
                without.insert(who.caller.tenant);
            }
        }
        (questions, without)
    }
}

impl Who {
    /// Whether constraints ask for what only stands in for an attribute.
    pub(in crate::review) fn stands_in(&self, constraints: &Map<String, Value>) -> bool {
        let is_role = self.caller.user.as_ref().is_some_and(|user| user.as_str() == stand_in("user"));
        is_role && constraints.values().any(|schema| schema.to_string().contains("{caller."))
    }
}

/// Whom the configuration itself names.
fn configured(config: &Config) -> impl Iterator<Item = &Static> {
    let identity = &config.identity;
    let certificates = identity.certificates.iter().flat_map(|all| all.rules.iter().map(|rule| &rule.who));
    identity.api_keys.iter().map(|key| &key.who).chain(certificates).chain(&identity.anonymous)
}

/// What stands where a role's caller would have something of their own.
fn stand_in(name: &str) -> String {
    format!("{{caller.{name}}}")
}
