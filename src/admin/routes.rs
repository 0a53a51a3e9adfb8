//! Every path of the admin API, in one table: the router and the OpenAPI document are both made from it, so that neither
//! can have what the other has not.

use axum::extract::FromRef;
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use serde_json::Value;

use crate::admin::openapi::{ANY, Schema};
use crate::admin::who::{Needs, operator};
use crate::admin::{
    AdminState, Tenancy, accounts, catalogue, connect, explain, keys, policy, revocations, secrets, tenants,
    urls, vault,
};

/// One path and method.
pub(super) struct Operation<S = ()> {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Its `operationId`, the name of a function in clients that are made from the document.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) needs: Needs,
    /// Parameters of the query: name, what for, and whether it must be there.
    pub(super) query: &'static [(&'static str, &'static str, bool)],
    pub(super) body: Option<Schema>,
    /// The status where it is done, and what comes with it.
    pub(super) done: (u16, Schema),
    handler: MethodRouter<S>,
}

const TENANT: (&str, &str, bool) = ("tenant", "Of which tenant; a tenant's admin need not say", false);
const OF_TENANT: (&str, &str, bool) = ("tenant", "Of which tenant", true);
const LIMIT: (&str, &str, bool) = ("limit", "How many at most, 1 to 1000; 100 where nothing is said", false);
const AFTER: (&str, &str, bool) = ("after", "The `next` of the page before", false);
const LIST: &[(&str, &str, bool)] = &[TENANT, LIMIT, AFTER];

impl<S: Clone + Send + Sync + 'static> Operation<S> {
    fn new(
        method: Method,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
        handler: MethodRouter<S>,
    ) -> Self {
        let (query, done): (&[_], _) = (&[], (200, ANY));
        Self { method, path, id, summary, needs: Needs::TenantAdmin, query, body: None, done, handler }
    }

    fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    fn query(mut self, query: &'static [(&'static str, &'static str, bool)]) -> Self {
        self.query = query;
        self
    }

    fn takes(mut self, body: Schema) -> Self {
        self.body = Some(body);
        self
    }

    fn gives(mut self, status: u16, schema: Schema) -> Self {
        self.done = (status, schema);
        self
    }

    /// Its handler, which lets through who may.
    pub(super) fn handler(self) -> (&'static str, MethodRouter<S>) {
        let handler = match self.needs {
            Needs::Operator => self.handler.layer(middleware::from_fn(operator)),
            Needs::Nothing | Needs::TenantAdmin => self.handler,
        };
        (self.path, handler)
    }
}

/// What concerns tenants: of a gate that runs, and of the store of one that does not.
pub(super) fn tenancy<S>() -> Vec<Operation<S>>
where
    S: Clone + Send + Sync + 'static,
    Tenancy: FromRef<S>,
{
    use Needs::Operator as Op;
    let of = Operation::new;
    let account = "/v1/accounts/{tenant}/{server}";
    let secret = "/v1/accounts/{tenant}/{server}/secret";
    vec![
        of(Method::GET, "/v1/tenants", ("listTenants", "Tenants by name"), get(tenants::list))
            .query(&[LIMIT, AFTER])
            .gives(200, Schema::Page("tenants", "Tenant")),
        of(Method::POST, "/v1/tenants", ("createTenant", "Make a tenant"), post(tenants::create))
            .needs(Op)
            .takes(Schema::Named("NewTenant"))
            .gives(201, Schema::Named("Tenant")),
        of(
            Method::GET,
            "/v1/tenants/{tenant}",
            ("getTenant", "A tenant, and how much it has"),
            get(tenants::show),
        )
        .gives(200, Schema::Named("Tenant")),
        of(
            Method::PATCH,
            "/v1/tenants/{tenant}",
            ("changeTenant", "Change, suspend or resume a tenant"),
            patch(tenants::patch),
        )
        .needs(Op)
        .takes(Schema::Named("TenantPatch"))
        .gives(200, Schema::Named("Tenant")),
        of(
            Method::DELETE,
            "/v1/tenants/{tenant}",
            ("deleteTenant", "Delete a tenant with its accounts, secrets, scoped URLs and API keys"),
            delete(tenants::delete),
        )
        .needs(Op),
        of(
            Method::GET,
            "/v1/accounts",
            ("listAccounts", "Accounts by tenant and server"),
            get(accounts::list),
        )
        .query(LIST)
        .gives(200, Schema::Page("accounts", "Account")),
        of(Method::POST, "/v1/accounts", ("createAccount", "Make an account"), post(accounts::create))
            .takes(Schema::Named("NewAccount"))
            .gives(201, Schema::Named("Account")),
        of(Method::GET, account, ("getAccount", "An account"), get(accounts::show))
            .gives(200, Schema::Named("Account")),
        of(
            Method::PUT,
            account,
            ("replaceAccount", "Put another account in its place"),
            put(accounts::replace),
        )
        .takes(Schema::Named("NewAccount"))
        .gives(200, Schema::Named("Account")),
        of(
            Method::DELETE,
            account,
            ("deleteAccount", "Remove an account with its secrets"),
            delete(accounts::delete),
        ),
        of(Method::PUT, secret, ("sealSecret", "Seal a secret for an account"), put(accounts::seal))
            .takes(Schema::Named("Secret")),
        of(Method::DELETE, secret, ("forgetSecret", "Remove the sealed secret"), delete(accounts::forget)),
        of(
            Method::POST,
            "/v1/secrets",
            ("sealSecretOf", "Seal a secret for an account that the body names"),
            post(secrets::seal),
        )
        .takes(Schema::Named("NewSecret")),
        of(Method::GET, "/v1/urls", ("listUrls", "A tenant's scoped URLs, oldest first"), get(urls::list))
            .query(LIST)
            .gives(200, Schema::Page("urls", "Url")),
        of(
            Method::POST,
            "/v1/urls",
            ("createUrl", "Make a scoped URL; it is shown this once"),
            post(urls::create),
        )
        .takes(Schema::Named("NewUrl"))
        .gives(201, Schema::Named("Url")),
        of(
            Method::DELETE,
            "/v1/urls/{id}",
            ("revokeUrl", "Take a scoped URL back at once"),
            delete(urls::revoke),
        )
        .query(&[TENANT]),
        of(Method::GET, "/v1/keys", ("listKeys", "A tenant's API keys"), get(keys::list))
            .query(LIST)
            .gives(200, Schema::Page("keys", "Key")),
        of(
            Method::POST,
            "/v1/keys",
            ("createKey", "Make an API key; it is shown this once"),
            post(keys::create),
        )
        .takes(Schema::Named("NewKey"))
        .gives(201, Schema::Named("Key")),
        of(
            Method::DELETE,
            "/v1/keys/{id}",
            ("revokeKey", "Take an API key back at once"),
            delete(keys::revoke),
        )
        .query(&[TENANT]),
        of(
            Method::GET,
            "/v1/revocations",
            ("listRevocations", "Tokens that are refused in a tenant before they end"),
            get(revocations::list),
        )
        .query(LIST)
        .gives(200, Schema::Page("revocations", "Revocation")),
        of(
            Method::POST,
            "/v1/revocations",
            ("createRevocation", "Refuse an issuer's tokens from now on, by id, subject, client or session"),
            post(revocations::create),
        )
        .takes(Schema::Named("NewRevocation"))
        .gives(201, Schema::Named("Revocation")),
        of(
            Method::DELETE,
            "/v1/revocations/{id}",
            ("deleteRevocation", "Take a revocation back"),
            delete(revocations::remove),
        )
        .query(&[TENANT]),
    ]
}

/// What only a gate that runs can do.
pub(super) fn running() -> Vec<Operation<AdminState>> {
    use Needs::Operator as Op;
    let of = Operation::new;
    let catalogue = &[OF_TENANT, ("server", "Which server", true)];
    vec![
        of(
            Method::POST,
            "/v1/accounts/{tenant}/{server}/connect",
            ("connectAccount", "A URL for the person who connects the account"),
            post(connect::connect),
        )
        .gives(201, ANY),
        of(
            Method::GET,
            "/v1/grants",
            ("listGrants", "How the accounts stand that a person connects"),
            get(connect::grants),
        )
        .query(&[TENANT]),
        of(Method::GET, "/v1/webhooks", ("listNotices", "Notices not taken yet"), get(connect::notices))
            .needs(Op),
        of(
            Method::POST,
            "/v1/webhooks/{id}/replay",
            ("replayNotice", "Send a notice again"),
            post(connect::replay),
        )
        .needs(Op),
        of(
            Method::GET,
            "/v1/catalogue",
            ("listOffer", "What a server offers to an account"),
            get(catalogue::offer),
        )
        .needs(Op)
        .query(catalogue),
        of(
            Method::GET,
            "/v1/explain",
            ("explain", "Why a message was decided as it was"),
            get(explain::explain),
        )
        .needs(Op)
        .query(&[("invocation", "The id that the answer carried", true)]),
        of(Method::GET, "/v1/vault", ("getVault", "Which sealing keys are still needed"), get(vault::in_use))
            .needs(Op),
        of(
            Method::POST,
            "/v1/vault/rekey",
            ("rekey", "Wrap every data key under the current sealing key"),
            post(vault::rekey),
        )
        .needs(Op),
        of(Method::GET, "/v1/policy", ("getPolicy", "Which policies serve"), get(policy::status)).needs(Op),
        of(
            Method::GET,
            "/v1/policy/serving",
            ("getServingPolicy", "The policies' files"),
            get(policy::serving),
        )
        .needs(Op),
        of(
            Method::POST,
            "/v1/policy/canary",
            ("canary", "Let the candidate decide for some"),
            post(policy::canary),
        )
        .needs(Op)
        .takes(ANY),
        of(Method::POST, "/v1/policy/promote", ("promote", "Let the candidate serve"), post(policy::promote))
            .needs(Op)
            .takes(ANY),
        of(
            Method::POST,
            "/v1/policy/rollback",
            ("rollback", "Take the candidate back"),
            post(policy::rollback),
        )
        .needs(Op),
    ]
}

/// What anybody who reaches the listener is told.
pub(super) fn open() -> Vec<Operation<AdminState>> {
    use crate::admin::{config, live, metrics, ready};
    let of = |path, about, handler| Operation::new(Method::GET, path, about, handler).needs(Needs::Nothing);
    vec![
        of("/livez", ("isLive", "Whether the gate's process is there"), get(live)),
        of("/readyz", ("isReady", "Whether the gate should get traffic"), get(ready)),
        of("/metrics", ("getMetrics", "The metrics, in Prometheus' text format"), get(metrics))
            .gives(200, Schema::Text),
        of("/config", ("getConfig", "The effective configuration, its secrets masked"), get(config)),
        of("/v1/openapi.json", ("getDocument", "This document"), get(async || axum::Json(document()))),
    ]
}

/// The OpenAPI document.
pub(super) fn document() -> Value {
    let tenancy = tenancy::<AdminState>();
    let operations =
        tenancy.iter().chain(running().iter()).map(super::openapi::described).collect::<Vec<_>>();
    let open: Vec<_> = open().iter().map(super::openapi::described).collect();
    super::openapi::document(operations.into_iter().chain(open))
}
