//! Prompts and resources that are asked for, against their pins: what is not as it was approved does not exist.
//!
//! # Why the gate looks in its own name
//! What a caller may list is policy's to say. Whether a prompt is still the one that was approved must not depend on it.

use std::pin::Pin;
use std::sync::Arc;

use crate::catalogue::{Stand, Thing};
use crate::config::PinMode;
use crate::decode::{Action, ListKind, Reference};
use crate::gateway::Gateway;
use crate::gateway::call::{Eyes, Way};
use crate::refusal::Refusal;

impl Gateway {
    /// Refuses a prompt or a resource that is not what was pinned, where pins are enforced.
    pub(in crate::gateway) async fn approved(
        self: &Arc<Self>,
        way: &Way,
        action: &Action,
    ) -> Result<(), Refusal> {
        if way.eyes == Eyes::Operator || self.pins.mode(&way.server) != PinMode::Enforce {
            return Ok(());
        }
        match action {
            Action::ReadResource { uri } | Action::Subscribe { uri } => {
                self.stands(way, &[(Thing::Resource, uri.as_str())]).await
            }
            // What is completed may be named by its template or by itself.
            Action::Complete(Reference::Resource(uri)) => {
                self.stands(way, &[(Thing::Template, uri.as_str()), (Thing::Resource, uri.as_str())]).await
            }
            Action::GetPrompt { name, .. } | Action::Complete(Reference::Prompt(name)) => {
                self.stands(way, &[(Thing::Prompt, name.as_str())]).await
            }
            Action::List(ListKind::Resources) => {
                // Which resources are shown depends on the templates that they may come of.
                if self.has_unseen_templates(way) {
                    self.look_at_pinned(way).await;
                }
                Ok(())
            }
            Action::CallTool(_)
            | Action::Unsubscribe { .. }
            | Action::Initialize { .. }
            | Action::Discover
            | Action::Ping
            | Action::List(ListKind::Tools | ListKind::Prompts | ListKind::Templates | ListKind::Tasks)
            | Action::SetLevel
            | Action::Listen(_)
            | Action::Task { .. }
            | Action::Notify(_)
            | Action::Respond
            | Action::OpenStream
            | Action::EndSession => Ok(()),
        }
    }

    /// Whether one of the names is what was pinned under it; at first that may take a look at the server.
    async fn stands(self: &Arc<Self>, way: &Way, names: &[(Thing, &str)]) -> Result<(), Refusal> {
        let mut stand = self.best(way, names);
        if stand == Stand::Unseen || (stand == Stand::Fits && self.is_stale(way)) {
            self.look_at_pinned(way).await;
            stand = self.best(way, names);
        }
        let how = match stand {
            Stand::Fits => return Ok(()),
            Stand::Drifted(drift) => drift.as_str(),
            Stand::Unseen => "unseen",
        };
        let what = match names.first() {
            Some((Thing::Prompt, _)) => "prompt",
            Some(_) | None => "resource",
        };
        Err(Refusal::NotApproved { what, how })
    }

    fn best(&self, way: &Way, names: &[(Thing, &str)]) -> Stand {
        let tenant = way.caller.tenant();
        let stand = |(thing, name): &(Thing, &str)| {
            self.shared.catalogue.stand(tenant, &way.server, &self.pins, *thing, name)
        };
        let stands: Vec<Stand> = names.iter().map(stand).collect();
        let fitting = stands.iter().find(|stand| **stand == Stand::Fits);
        let unseen = || stands.iter().find(|stand| **stand == Stand::Unseen);
        fitting.or_else(unseen).or(stands.first()).copied().unwrap_or(Stand::Unseen)
    }

    fn is_stale(&self, way: &Way) -> bool {
        let (tenant, server) = (way.caller.tenant(), &way.server.name);
        self.listed_kinds().any(|thing| self.shared.catalogue.is_stale(tenant, server, thing))
    }

    fn has_unseen_templates(&self, way: &Way) -> bool {
        let tenant = way.caller.tenant();
        let unseen = |name: &str| {
            let stand = self.shared.catalogue.stand(tenant, &way.server, &self.pins, Thing::Template, name);
            stand == Stand::Unseen
        };
        self.pins.compares(Thing::Resource)
            && self.pins.compares(Thing::Template)
            && self.pins.names(&way.server.name, Thing::Template).any(|name| unseen(name.as_str()))
    }

    /// The kinds beside tools that are compared.
    fn listed_kinds(&self) -> impl Iterator<Item = Thing> {
        let kinds = Thing::ALL.into_iter().filter(|thing| *thing != Thing::Tool);
        kinds.filter(|thing| self.pins.compares(*thing))
    }

    /// Looks at the server's lists of all that is compared. One look at a time, and none too soon after another.
    fn look_at_pinned<'a>(
        self: &'a Arc<Self>,
        way: &'a Way,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let (tenant, server) = (way.caller.tenant(), &way.server.name);
            let Some(_turn) = self.shared.listings.turn(tenant, server).await else { return };
            let kinds: Vec<Thing> = self.listed_kinds().collect();
            let offer = self.pull(tenant, server, &kinds).await;
            self.shared.metrics.pulled(&offer);
            match offer {
                Ok(_) => kinds.iter().for_each(|thing| self.shared.catalogue.seen(tenant, server, *thing)),
                Err(why) => {
                    tracing::info!(%server, why, "The server's prompts and resources could not be listed")
                }
            }
        })
    }
}
