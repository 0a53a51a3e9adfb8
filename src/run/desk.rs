//! Tenants, accounts, keys, scoped URLs and sealed secrets as the operator handles them: by the same rules on a gate that runs and on the store of
//! one that does not.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admin::{NewSecret, NewUrl, SecretError, Secrets, Tenancy, UrlError, Urls};
use crate::catalogue::Tool;
use crate::config::{Config, Static};
use crate::credential::Vault;
use crate::credential::seal::Sealer;
use crate::gateway::{Gate, Gateway, Survey, same_keys};
use crate::identify::url::{NewUrl as Wanted, ScopedUrls, UrlProblem, UrlRecord};
use crate::identify::{Records, Revocations};
use crate::name::{AgentId, BadName, ServerName, TenantId, UrlId, UserId};
use crate::store::{self, StoreError};
use crate::tenancy::{Office, Problem};

/// Where tenants, accounts, keys and scoped URLs are looked after.
pub enum Desk {
    /// In a gate that runs.
    Gate(Arc<Gate>),
    /// In the store of one that does not.
    Store(Arc<Office>),
}

impl Desk {
    /// The desk of a gate that does not run. An embedded store is taken, so that it cannot start meanwhile.
    ///
    /// # Errors
    /// In words: the store, the sealing key or the gate's key cannot be used, or an account cannot work as it is configured.
    pub async fn open(config: Config) -> Result<Self, String> {
        let store = store::open(&config.state).await.map_err(|error| error.to_string())?;
        let sealer =
            Sealer::open(&config.state, Arc::clone(&store)).await.map_err(|error| error.to_string())?;
        same_keys(&config, &store, &sealer).await.map_err(|error| error.to_string())?;
        let sealer = Arc::new(sealer);
        let vault = Vault::new(&config, Arc::clone(&store), Arc::clone(&sealer));
        let vault =
            vault.map_err(|bad| bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let urls =
            ScopedUrls::new(Arc::clone(&store), &config.identity.gate_key, config.identity.second_factor);
        let urls = urls.map_err(|_| "the gate key cannot be used".to_owned())?;
        let revocations = Revocations::unread(Arc::clone(&store));
        let records = Records::new(&config, &store, Arc::default(), revocations);
        let (config, vault, urls) = (Arc::new(config), Arc::new(vault), Arc::new(urls));
        Ok(Self::Store(Arc::new(Office { config, store, vault, sealer, urls, records })))
    }

    /// What the admin API asks of it.
    #[must_use]
    pub fn tenancy(self) -> Tenancy {
        let desk = Arc::new(self);
        let of = Arc::clone(&desk);
        Tenancy { office: Arc::new(move || of.office()), urls: Arc::clone(&desk) as _, secrets: desk }
    }

    /// The office as it is now.
    #[must_use]
    pub fn office(&self) -> Arc<Office> {
        match self {
            Self::Gate(gate) => Arc::clone(gate.current().office()),
            Self::Store(office) => Arc::clone(office),
        }
    }

    /// The tools of a tenant at a server, where the gate has seen the whole list.
    fn tools(&self, tenant: &TenantId, server: &ServerName) -> Option<Vec<Tool>> {
        match self {
            Self::Gate(gate) => gate.current().known_tools(tenant, server),
            Self::Store(_) => None,
        }
    }

    /// Refuses a URL whose holder would find no tool. The server is asked as that holder; where it does not answer, or no
    /// gate runs, nothing is known against the URL.
    async fn leads_somewhere(&self, wanted: &Wanted) -> Result<(), UrlError> {
        match self {
            Self::Gate(gate) => leads_somewhere(&gate.current(), wanted).await,
            Self::Store(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Urls for Desk {
    async fn create(&self, wanted: NewUrl) -> Result<Value, UrlError> {
        let office = self.office();
        let wanted = fitting(wanted, &office).await?;
        self.leads_somewhere(&wanted).await?;
        let tools = self.tools(&wanted.who.tenant, &wanted.server);
        let made = office.urls.create(wanted, tools.as_deref()).await;
        let (record, token) = made.map_err(why_not)?;
        let mut shown = shown(&record);
        if let Value::Object(shown) = &mut shown {
            let public = &office.config.listen.public_url;
            shown.insert("url".to_owned(), json!(format!("{public}/mcp/{}", token.expose())));
        }
        Ok(shown)
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<Value>, UrlError> {
        let failed = |error: StoreError| UrlError::Failed(error.to_string());
        let office = self.office();
        let uses = office.records.uses.of(office.store.as_ref(), tenant).await.map_err(failed)?;
        let listed = office.urls.list(tenant).await.map_err(failed)?;
        let with_use = |record: &UrlRecord| {
            let mut shown = shown(record);
            if let (Some(members), Some(used)) = (shown.as_object_mut(), uses.get(record.id.as_str())) {
                members.insert("last_used_at".to_owned(), json!(used.to_string()));
            }
            shown
        };
        Ok(listed.iter().map(with_use).collect())
    }

    async fn revoke(&self, tenant: &TenantId, id: &UrlId) -> Result<bool, UrlError> {
        let office = self.office();
        let revoked = office.urls.revoke(tenant, id).await;
        let revoked = revoked.map_err(|error| UrlError::Failed(error.to_string()))?;
        if let Err(error) = office.records.uses.forget(office.store.as_ref(), tenant, id.as_str()).await {
            tracing::warn!(%error, "When a revoked URL was last used is still in the store");
        }
        Ok(revoked)
    }
}

#[async_trait]
impl Secrets for Desk {
    async fn seal(&self, new: NewSecret) -> Result<(), SecretError> {
        let tenant = TenantId::parse(&new.tenant).map_err(|why| no_account(&new, &why))?;
        let server = ServerName::parse(&new.server).map_err(|why| no_account(&new, &why))?;
        let sealed = self.office().seal_secret(&tenant, &server, &new.secret).await;
        sealed.map_err(|problem| match problem {
            Problem::Failed(why) => SecretError::Failed(why),
            Problem::Unfit(faults) => SecretError::Unfit(
                faults.iter().map(|fault| fault.what.clone()).collect::<Vec<_>>().join("; "),
            ),
            Problem::Unknown(_)
            | Problem::Exists(_)
            | Problem::Configured(_)
            | Problem::Changed
            | Problem::Conflict(_) => SecretError::Unfit(problem.to_string()),
        })
    }
}

fn no_account(new: &NewSecret, why: &BadName) -> SecretError {
    SecretError::Unfit(format!("there is no account of `{}` at `{}`: {why}", new.tenant, new.server))
}

/// What is wanted, in names: its server and its account must be there, so that the URL leads somewhere.
async fn fitting(new: NewUrl, office: &Office) -> Result<Wanted, UrlError> {
    let config = &office.config;
    let tenant = TenantId::parse(&new.tenant).map_err(|why| no_name("tenant", &new.tenant, &why))?;
    let server = ServerName::parse(&new.server).map_err(|why| no_name("server", &new.server, &why))?;
    if !config.servers.contains_key(&server) {
        return Err(UrlError::Unfit(format!(
            "there is no server `{server}`; configured are: {}",
            joined(config.servers.keys())
        )));
    }
    let has = office.has_account(&tenant, &server).await;
    if !has.map_err(|error| UrlError::Failed(error.to_string()))? {
        let has = config.accounts.keys().filter(|(_, at)| *at == server).map(|(tenant, _)| tenant);
        return Err(UrlError::Unfit(format!(
            "tenant `{tenant}` has no account at `{server}`, so that the URL would lead nowhere; accounts there have: {}",
            joined(has)
        )));
    }
    let user = new.user.as_deref().map(UserId::parse).transpose();
    let agent = new.agent.as_deref().map(AgentId::parse).transpose();
    let texts = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
    let who = Static {
        tenant,
        user: user.map_err(|why| no_name("user", new.user.as_deref().unwrap_or_default(), &why))?,
        agent: agent.map_err(|why| no_name("agent", new.agent.as_deref().unwrap_or_default(), &why))?,
        roles: texts(new.roles),
        groups: texts(new.groups),
        attributes: new.attributes,
    };
    Ok(Wanted {
        who,
        server,
        methods: new.methods.map(texts),
        tags: new.tags.map(texts),
        expires_at: new.expires_at,
        second_factor: new.second_factor,
        note: new.note,
    })
}

/// What a survey of the server as the URL's holder says against it.
async fn leads_somewhere(gateway: &Arc<Gateway>, new: &Wanted) -> Result<(), UrlError> {
    let Some(holder) = gateway.urls().holder(new) else { return Ok(()) };
    let named = new.who.roles.join(", ");
    let roles = if named.is_empty() { "scoped-url" } else { named.as_str() };
    match gateway.survey(holder).await {
        Survey::Tools(0) if new.methods.is_none() && new.tags.is_none() => Err(UrlError::Unfit(format!(
            "the URL would lead to no tool: policy shows its holder (roles: {roles}) none of `{}`; name a role that has some",
            new.server
        ))),
        Survey::Tools(0) => {
            let tools = gateway.known_tools(&new.who.tenant, &new.server);
            let why = new.narrows(tools.as_deref()).err().map(|problem| problem.to_string());
            Err(UrlError::Unfit(why.unwrap_or_else(|| {
                format!("the URL would lead to no tool: policy, methods and tags together leave its holder (roles: {roles}) none")
            })))
        }
        Survey::Refused => Err(UrlError::Unfit(format!(
            "the URL would lead to no tool: policy lets its holder (roles: {roles}) not list the tools of `{}`",
            new.server
        ))),
        Survey::Tools(_) | Survey::Unknown => Ok(()),
    }
}

fn no_name(what: &str, text: &str, why: &BadName) -> UrlError {
    UrlError::Unfit(format!("`{text}` cannot be the name of a {what}: {why}"))
}

fn joined(names: impl Iterator<Item = impl ToString>) -> String {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn why_not(problem: UrlProblem) -> UrlError {
    match problem {
        UrlProblem::EmptyList(_) | UrlProblem::AlreadyExpired(_) | UrlProblem::NothingLeft(_) => {
            UrlError::Unfit(problem.to_string())
        }
        UrlProblem::Store(_) | UrlProblem::NoRandom => UrlError::Failed(problem.to_string()),
    }
}

fn shown(record: &UrlRecord) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}
