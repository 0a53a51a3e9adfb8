//! The path of a message, from the socket to the server and back. Start reading here.
//!
//! Nothing is forwarded unrecorded: the entry opens before the server is reached and closes on every way out.

mod access;
mod approved;
mod batch;
mod belongs;
mod beside;
mod build;
mod call;
mod changed;
mod connect;
mod decline;
mod gate;
mod look;
mod looks;
mod narrow;
mod next;
mod open;
mod own;
mod pages;
mod pull;
mod question;
mod refuse;
mod relay;
mod reply;
mod resume;
mod rounds;
mod route;
mod same;
mod sight;
mod spending;
mod standing;
mod subject;
mod tasks;
mod tell;
mod upstream;

pub use build::{BuildError, Policies, Shared};
pub use gate::{Gate, Source};
pub use look::Survey;
pub use pull::Offer;
pub use relay::Relay;
pub use route::Route;
pub use same::{GATE_KEY, same_keys};
pub use standing::{Promoted, Said, Standing, kept_copy};

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::catalogue::Pins;
use crate::config::Config;
use crate::credential::Vault;
use crate::decide::{Circumstances, Comparison, Denied, Permit, Rollout, Subject};
use crate::decode::{Decoded, Era, Message, decode};
use crate::forward::{Endpoint, Passage};
use crate::gateway::call::{Call, Eyes, Way};
use crate::gateway::open::Open;
use crate::gateway::pages::Pages;
use crate::govern::{Quotas, Slot};
use crate::identify::session::Sessions;
use crate::identify::state::States;
use crate::identify::{Caller, Identify};
use crate::inbound::{Head, Inbound, Target};
use crate::name::{ServerName, TenantId};
use crate::record::metrics::{Asked, Lasting};
use crate::record::{About, Intent};
use crate::refusal::Refusal;
use crate::respond::Answer;
use crate::tenancy::{Directory, Office};

/// One generation of the gate: what one configuration and one policy make. A message runs start to finish on the
/// generation that it began with.
pub struct Gateway {
    config: Arc<Config>,
    identify: Arc<Identify>,
    sessions: Sessions,
    states: Arc<States>,
    rollout: Arc<Rollout>,
    vault: Arc<Vault>,
    directory: Arc<Directory>,
    office: Arc<Office>,
    quotas: HashMap<TenantId, Quotas>,
    default_quotas: Quotas,
    endpoints: HashMap<ServerName, Arc<Endpoint>>,
    pins: Arc<Pins>,
    pages: Arc<Pages>,
    shared: Arc<Shared>,
}

impl Gateway {
    /// Answers one request. Every way out is on the record.
    pub async fn answer<I: Inbound>(self: &Arc<Self>, inbound: &mut I) -> Answer<Relay> {
        if let Target::Access(form, _) = inbound.head().target {
            return self.access(inbound, form).await;
        }
        let mut call = Call::begin(inbound.head().peer);
        match self.pass(inbound, &mut call).await {
            Ok(answer) => answer,
            Err(refusal) => self.refuse(&refusal, call, Some(&inbound.head().target)),
        }
    }

    /// Answers a request that `listen` does not let in.
    pub async fn turn_away(&self, refusal: &Refusal, peer: SocketAddr) -> Answer<Relay> {
        self.refuse(refusal, Call::begin(peer), None)
    }

    async fn pass<I: Inbound>(
        self: &Arc<Self>,
        inbound: &mut I,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        let caller = self.identify.caller(inbound.head()).await?;
        call.caller = Some(Arc::clone(&caller));
        let way = self.way(inbound.head(), caller, call).await?;
        let body = inbound.body().await?;
        let depth = self.config.listen.limits.json_depth;
        match decode(inbound.head(), body, way.version(), depth)
            .map_err(|rejected| call.rejected(*rejected))?
        {
            Decoded::One(message) => self.message(inbound, &way, message, call).await,
            Decoded::Batch(messages) => Ok(self.batch(inbound, &way, messages).await),
        }
    }

    /// One message: may it, may it now, is it on the record, with whose key; then to the server and back.
    async fn message<I: Inbound>(
        self: &Arc<Self>,
        inbound: &mut I,
        way: &Way,
        message: Message,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        call.asks(&message);
        call.trace = self.shared.sampler.begin(&call.traced(&message));
        let circumstances = self.circumstances(way.caller.tenant(), call);
        if self.is_own(way, &message) {
            return self.answer_own(way, &message, &circumstances, call).await;
        }
        self.belongs(way, &message)?;
        let message = self.resume(way, self.narrow(way, message, &circumstances)?)?;
        let subject = self.subject(inbound, way, &message, call).await?;
        let (caller, server) = (Arc::clone(&way.caller), Arc::clone(&way.server));
        let permit = match way.eyes {
            Eyes::Caller => {
                let panel = self.rollout.panel(way.caller.tenant());
                panel.permit(caller, server, subject, message, &circumstances) // a tool call is authorised here
            }
            Eyes::Operator => self.rollout.live().inspect(caller, server, message, &circumstances),
            Eyes::Nobody => {
                self.rollout.live().decline(caller, server, message, &circumstances, call.declines)
            }
        };
        if let Some(comparison) = compared(&permit) {
            self.shared.metrics.candidate().compared(Asked::Message, comparison);
        }
        let permit = permit.map_err(|denied| call.denied(*denied))?;
        let slot = self.admit(way, &permit).await?;
        call.open = Some(self.open(&permit, &circumstances, call).await?);
        let lease = way.account()?.connection.lease_for(&permit).await?;
        let url = way.url();
        let token = self.shared.voucher.vouch(&permit, &call.vouched(url))?;
        let era = permit.message().era;
        let passage = Passage { permit, slot, lease };
        let request = self.request(inbound.head(), way, &passage, &token, call)?;
        let sent = self.send(way, request, passage, call);
        match era {
            // In the modern era a client that goes away cancels; in the legacy one it may come back for the answer.
            Era::Modern => tokio::select! {
                biased;
                answer = sent => answer,
                () = inbound.gone() => Err(Refusal::ClientGone),
            },
            Era::Legacy => sent.await,
        }
    }

    /// Whether it may happen now. What belongs to a call takes no place on the account, as that call has one: an answer
    /// that waited for the place of the call that asked, or a cancellation for the one that it cancels, would wait in vain.
    async fn admit(&self, way: &Way, permit: &Permit) -> Result<Slot, Refusal> {
        let (govern, action) = (&self.shared.govern, &permit.message().action);
        if way.eyes == Eyes::Nobody {
            return Ok(Slot::none());
        }
        let (quotas, wait) = (self.quotas(way.caller.tenant()), self.config.slot_wait);
        if action.is_standing() {
            let most = self.config.listen.limits.streams_per_tenant;
            return govern.admit_stream(permit, quotas, most).await;
        }
        let account = if action.is_word() { None } else { way.account.as_deref().map(|held| &*held.account) };
        govern.admit(permit, quotas, account, wait).await
    }

    /// Puts a permitted call on the record, and into metrics and traces.
    async fn open(
        &self,
        permit: &Permit,
        circumstances: &Circumstances,
        call: &mut Call,
    ) -> Result<Open, Refusal> {
        let message = permit.message();
        let tool = match permit.subject() {
            Subject::Tool(tool) => Some(&tool.name),
            Subject::Resource(_) | Subject::Prompt(_) | Subject::Server => None,
        };
        let entry = self.shared.record.open(Intent { permit, circumstances }).await?;
        call.trace.concerns(About::judged(permit.subject(), &message.action));
        Ok(Open {
            entry,
            series: self.shared.metrics.series(message.method, &permit.server().name, tool),
            trace: std::mem::take(&mut call.trace),
            upstream: None,
            begun: call.begun,
            sent: None,
            _held: self.shared.metrics.begin(Lasting::Call),
        })
    }

    /// Which server a request goes to, and the session that it says it belongs to.
    async fn way(&self, head: &Head, caller: Arc<Caller>, call: &mut Call) -> Result<Way, Refusal> {
        let name = match (&head.target, caller.scope()) {
            (Target::ScopedUrl(_), Some(scope)) => &scope.server,
            (Target::Server(name) | Target::OnlyServer(name), _) => name,
            (Target::ScopedUrl(_), None) => return Err(Refusal::UnknownUrl),
            (Target::Access(..), _) => return Err(Refusal::NoSuchPath),
        };
        let server = self.config.servers.get(name).ok_or(Refusal::NoSuchPath)?;
        call.server = Some(Arc::clone(server));
        let session = match head.header("mcp-session-id") {
            None if head.count("mcp-session-id") > 0 => return Err(Refusal::UnknownSession),
            None => None,
            // A modern request has no session; what it says of one is ignored.
            Some(_) if head.header("mcp-protocol-version") == Some("2026-07-28") => None,
            Some(sealed) => {
                Some(self.sessions.open(sealed, &server.name, &caller).ok_or(Refusal::UnknownSession)?)
            }
        };
        let account = self.directory.find(caller.tenant(), &server.name).await?;
        Ok(Way { caller, server: Arc::clone(server), account, session, eyes: Eyes::Caller })
    }

    fn quotas(&self, tenant: &TenantId) -> &Quotas {
        self.quotas.get(tenant).unwrap_or(&self.default_quotas)
    }

    fn endpoint<'w>(&'w self, way: &'w Way) -> Result<&'w Arc<Endpoint>, Refusal> {
        let own = way.account.as_ref().and_then(|held| held.endpoint.as_ref());
        own.or_else(|| self.endpoints.get(&way.server.name)).ok_or(Refusal::Internal)
    }

    /// The configuration of this generation.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// What a second policy made of a message, whatever the first did.
fn compared(judged: &Result<Permit, Box<Denied>>) -> Option<&Comparison> {
    match judged {
        Ok(permit) => permit.comparison(),
        Err(denied) => denied.comparison.as_ref(),
    }
}
