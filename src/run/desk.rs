//! Scoped URLs and sealed secrets as the operator handles them: by the same rules on a gate that runs and on the store of
//! one that does not.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admin::{NewSecret, NewUrl, SecretError, Secrets, UrlError, Urls};
use crate::catalogue::Tool;
use crate::config::{Config, Static};
use crate::credential::seal::Sealer;
use crate::credential::{Vault, VaultError};
use crate::gateway::{Gate, Gateway, Survey};
use crate::identify::url::{NewUrl as Wanted, ScopedUrls, UrlProblem, UrlRecord};
use crate::name::{AgentId, BadName, ServerName, TenantId, UrlId, UserId};
use crate::store;

/// Scoped URLs.
pub enum UrlDesk {
    /// Of a gate that runs.
    Gate(Arc<Gate>),
    /// In the store of one that does not.
    Store(Arc<Config>, Arc<ScopedUrls>),
}

/// Sealed secrets.
pub enum SecretDesk {
    /// Of a gate that runs.
    Gate(Arc<Gate>),
    /// In the store of one that does not.
    Store(Vault),
}

impl UrlDesk {
    /// The desk of a gate that does not run. An embedded store is taken, so that it cannot start meanwhile.
    ///
    /// # Errors
    /// The store cannot be opened, or the gate's key cannot be used.
    pub async fn open(config: Config) -> Result<Self, UrlError> {
        let failed = |why: String| UrlError::Failed(why);
        let store = store::open(&config.state).await.map_err(|error| failed(error.to_string()))?;
        let urls = ScopedUrls::new(store, &config.identity.gate_key, config.identity.second_factor);
        let urls = urls.map_err(|_| failed("the gate key cannot be used".to_owned()))?;
        Ok(Self::Store(Arc::new(config), Arc::new(urls)))
    }

    fn urls(&self) -> Arc<ScopedUrls> {
        match self {
            Self::Gate(gate) => Arc::clone(gate.current().urls()),
            Self::Store(_, urls) => Arc::clone(urls),
        }
    }

    fn with_config<T>(&self, ask: impl FnOnce(&Config) -> T) -> T {
        match self {
            Self::Gate(gate) => ask(gate.current().config()),
            Self::Store(config, _) => ask(config),
        }
    }

    /// The tools of a tenant at a server, where the gate has seen the whole list.
    fn tools(&self, tenant: &TenantId, server: &ServerName) -> Option<Vec<Tool>> {
        match self {
            Self::Gate(gate) => gate.current().known_tools(tenant, server),
            Self::Store(..) => None,
        }
    }

    /// Refuses a URL whose holder would find no tool. The server is asked as that holder; where it does not answer, or no
    /// gate runs, nothing is known against the URL.
    async fn leads_somewhere(&self, wanted: &Wanted) -> Result<(), UrlError> {
        match self {
            Self::Gate(gate) => leads_somewhere(&gate.current(), wanted).await,
            Self::Store(..) => Ok(()),
        }
    }
}

impl SecretDesk {
    /// The desk of a gate that does not run. An embedded store is taken, so that it cannot start meanwhile.
    ///
    /// # Errors
    /// The store or the sealing key cannot be opened, or an account cannot work as it is configured.
    pub async fn open(config: &Config) -> Result<Self, SecretError> {
        let failed = |why: String| SecretError::Failed(why);
        let store = store::open(&config.state).await.map_err(|error| failed(error.to_string()))?;
        let sealer = Sealer::open(&config.state, Arc::clone(&store)).await;
        let sealer = sealer.map_err(|error| failed(error.to_string()))?;
        let vault = Vault::new(config, store, Arc::new(sealer));
        let vault = vault.map_err(|bad| {
            SecretError::Unfit(bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        Ok(Self::Store(vault))
    }
}

#[async_trait]
impl Urls for UrlDesk {
    async fn create(&self, wanted: NewUrl) -> Result<Value, UrlError> {
        let wanted = self.with_config(|config| fitting(wanted, config))?;
        self.leads_somewhere(&wanted).await?;
        let tools = self.tools(&wanted.who.tenant, &wanted.server);
        let made = self.urls().create(wanted, tools.as_deref()).await;
        let (record, token) = made.map_err(why_not)?;
        let public = self.with_config(|config| config.listen.public_url.clone());
        let mut shown = shown(&record);
        if let Value::Object(shown) = &mut shown {
            shown.insert("url".to_owned(), json!(format!("{public}/mcp/{}", token.expose())));
        }
        Ok(shown)
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<Value>, UrlError> {
        let listed = self.urls().list(tenant).await;
        Ok(listed.map_err(|error| UrlError::Failed(error.to_string()))?.iter().map(shown).collect())
    }

    async fn revoke(&self, tenant: &TenantId, id: &UrlId) -> Result<bool, UrlError> {
        self.urls().revoke(tenant, id).await.map_err(|error| UrlError::Failed(error.to_string()))
    }
}

#[async_trait]
impl Secrets for SecretDesk {
    async fn seal(&self, new: NewSecret) -> Result<(), SecretError> {
        let tenant = TenantId::parse(&new.tenant).map_err(|why| no_account(&new, &why))?;
        let server = ServerName::parse(&new.server).map_err(|why| no_account(&new, &why))?;
        let sealed = match self {
            Self::Gate(gate) => {
                let gateway = gate.current();
                gateway.vault().put_secret(&tenant, &server, new.secret).await
            }
            Self::Store(vault) => vault.put_secret(&tenant, &server, new.secret).await,
        };
        sealed.map_err(|error| match error {
            VaultError::NoAccount(..) | VaultError::NotSealed(..) | VaultError::Unusable(_) => {
                SecretError::Unfit(error.to_string())
            }
            VaultError::Seal(_) | VaultError::Store(_) => SecretError::Failed(error.to_string()),
        })
    }
}

fn no_account(new: &NewSecret, why: &BadName) -> SecretError {
    SecretError::Unfit(format!("there is no account of `{}` at `{}`: {why}", new.tenant, new.server))
}

/// What is wanted, in names: its server and its account must be configured, so that the URL leads somewhere.
fn fitting(new: NewUrl, config: &Config) -> Result<Wanted, UrlError> {
    let tenant = TenantId::parse(&new.tenant).map_err(|why| no_name("tenant", &new.tenant, &why))?;
    let server = ServerName::parse(&new.server).map_err(|why| no_name("server", &new.server, &why))?;
    if !config.servers.contains_key(&server) {
        return Err(UrlError::Unfit(format!(
            "there is no server `{server}`; configured are: {}",
            joined(config.servers.keys())
        )));
    }
    if !config.accounts.contains_key(&(tenant.clone(), server.clone())) {
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
