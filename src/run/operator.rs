//! What the admin listener shows and does, from the gate that runs.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admin::{self, AdminState, Reason, UrlError};
use crate::config::Static;
use crate::gateway::{Gate, Gateway, Source, Survey};
use crate::identify::url::{NewUrl, UrlProblem, UrlRecord};
use crate::listen::Drain;
use crate::name::{AgentId, BadName, ServerName, TenantId, UrlId, UserId};
use crate::secret::Secret;

/// The admin listener's view of a gate.
pub(in crate::run) fn state(gate: &Arc<Gate>, drain: &Arc<Drain>, token: Secret) -> AdminState {
    let (ready, drained) = (Arc::clone(gate), Arc::clone(drain));
    let (kept, counted, shown) = (Arc::clone(gate), Arc::clone(gate), Arc::clone(gate));
    AdminState {
        reasons: Arc::new(move || reasons(&ready, &drained)),
        notes: Arc::new(move || notes(&kept)),
        metrics: Arc::new(move || {
            let gateway = counted.current();
            gateway.shared().metrics().render(gateway.shared().record())
        }),
        config: Arc::new(move || shown.current().config().masked()),
        urls: Arc::new(Urls(Arc::clone(gate))),
        token: Arc::new(token),
        hosts: Arc::new([]),
    }
}

/// Why the gate should not get traffic.
fn reasons(gate: &Gate, drain: &Drain) -> Vec<Reason> {
    let gateway = gate.current();
    let shared = gateway.shared();
    let mut reasons = Vec::new();
    if let Err(why) = shared.record().health() {
        reasons.push(Reason { what: "audit", why });
    }
    if !shared.voucher().is_ready() {
        reasons.push(Reason {
            what: "vouch",
            why: "there is no key to sign with: the sealing key is not here".into(),
        });
    }
    if !gateway.vault().is_unlocked() {
        reasons.push(Reason { what: "credential", why: "sealed credentials cannot be opened yet".into() });
    }
    if drain.is_draining() {
        reasons.push(Reason { what: "drain", why: "the gate is stopping".into() });
    }
    reasons
}

/// What the operator should know although the gate serves.
fn notes(gate: &Gate) -> Vec<Reason> {
    let note = |what, source| gate.kept_because(source).map(|why| Reason { what, why: why.to_string() });
    [note("policy", Source::Policy), note("configuration", Source::Config)].into_iter().flatten().collect()
}

/// Scoped URLs, on the generation that serves.
struct Urls(Arc<Gate>);

#[async_trait]
impl admin::Urls for Urls {
    async fn create(&self, wanted: admin::NewUrl) -> Result<Value, UrlError> {
        let gateway = self.0.current();
        let new = parsed(wanted)?;
        if !gateway.config().servers.contains_key(&new.server) {
            return Err(UrlError::Unfit(format!("there is no server `{}` in the configuration", new.server)));
        }
        leads_somewhere(&gateway, &new).await?;
        let tools = gateway.known_tools(&new.who.tenant, &new.server);
        let (record, token) = gateway.urls().create(new, tools.as_deref()).await.map_err(unfit)?;
        let url = format!("{}/mcp/{}", gateway.config().listen.public_url, token.expose());
        Ok(json!({ "id": record.id, "url": url, "expires_at": record.expires_at.map(|end| end.to_string()) }))
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<Value>, UrlError> {
        let records = self
            .0
            .current()
            .urls()
            .list(tenant)
            .await
            .map_err(|error| UrlError::Failed(error.to_string()))?;
        Ok(records.iter().map(shown).collect())
    }

    async fn revoke(&self, tenant: &TenantId, id: &UrlId) -> Result<bool, UrlError> {
        self.0.current().urls().revoke(tenant, id).await.map_err(|error| UrlError::Failed(error.to_string()))
    }
}

/// Refuses a URL whose holder would find no tool. The server is asked as that holder; where it does not answer, nothing is
/// known against the URL. What methods and tags alone remove is said by name when it is made.
async fn leads_somewhere(gateway: &Arc<Gateway>, new: &NewUrl) -> Result<(), UrlError> {
    let Some(holder) = gateway.urls().holder(new) else { return Ok(()) };
    let roles = new.who.roles.join(", ");
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

fn shown(record: &UrlRecord) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}

fn unfit(problem: UrlProblem) -> UrlError {
    match problem {
        UrlProblem::Store(error) => UrlError::Failed(error.to_string()),
        problem => UrlError::Unfit(problem.to_string()),
    }
}

fn parsed(wanted: admin::NewUrl) -> Result<NewUrl, UrlError> {
    let bad = |key: &str| {
        let key = key.to_owned();
        move |why: BadName| UrlError::Unfit(format!("`{key}`: {why}"))
    };
    let texts = |list: Vec<String>| list.into_iter().map(Into::into).collect();
    Ok(NewUrl {
        who: Static {
            tenant: TenantId::parse(&wanted.tenant).map_err(bad("tenant"))?,
            user: wanted.user.as_deref().map(UserId::parse).transpose().map_err(bad("user"))?,
            agent: wanted.agent.as_deref().map(AgentId::parse).transpose().map_err(bad("agent"))?,
            roles: texts(wanted.roles),
            groups: texts(wanted.groups),
            attributes: wanted.attributes,
        },
        server: ServerName::parse(&wanted.server).map_err(bad("server"))?,
        methods: wanted.methods.map(texts),
        tags: wanted.tags.map(texts),
        expires_at: wanted.expires_at,
        second_factor: wanted.second_factor,
        note: wanted.note,
    })
}
