//! An office and a directory over a store in a directory of its own. Tenant `fixed` has an account in the configuration.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::{Config, Env};
use crate::credential::Vault;
use crate::credential::seal::Sealer;
use crate::identify::url::ScopedUrls;
use crate::identify::{Records, Revocations};
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;
use crate::store::Store;
use crate::store::file::FileStore;
use crate::tenancy::office::{AccountBody, Part, Shown, TenantBody};
use crate::tenancy::{Directory, Office, Problem};

pub(super) struct House {
    pub(super) office: Office,
    pub(super) directory: Directory,
    _place: tempfile::TempDir,
}

struct Nothing;

impl Env for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

impl House {
    pub(super) async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("policies")).unwrap();
        let config = Arc::new(config(place.path()));
        let store: Arc<dyn Store> =
            Arc::new(FileStore::open(config.state.directory.join("store.redb")).unwrap());
        let sealer = Arc::new(Sealer::open(&config.state, Arc::clone(&store)).await.unwrap());
        let vault = Arc::new(Vault::new(&config, Arc::clone(&store), Arc::clone(&sealer)).unwrap());
        let urls = ScopedUrls::new(Arc::clone(&store), &config.identity.gate_key, false).unwrap();
        let revocations = Revocations::unread(Arc::clone(&store));
        let records = Records::new(&config, &store, Arc::default(), revocations);
        let (tenants, own) = (Arc::clone(&records.tenants), Arc::clone(&store));
        let directory = Directory::new(Arc::clone(&config), Arc::clone(&vault), tenants, own).unwrap();
        let office = Office { config, store, vault, sealer, urls: Arc::new(urls), records };
        Self { office, directory, _place: place }
    }

    pub(super) async fn tenant(&self, name: &str) -> Shown {
        let body = TenantBody { tenant: name.to_owned(), display_name: None, note: None };
        self.office.create_tenant(body).await.unwrap()
    }

    /// An account of this entry, with `tenant` and `server` in it.
    pub(super) async fn account(&self, entry: Value, secret: Option<&str>) -> Result<Shown, Problem> {
        self.office.create_account(body(entry, secret)).await
    }
}

pub(super) fn body(entry: Value, secret: Option<&str>) -> AccountBody {
    let account: Map<String, Value> = serde_json::from_value(entry).unwrap();
    AccountBody { account, secret: secret.map(|secret| Secret::new(secret.to_owned())) }
}

pub(super) fn named(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(super) fn erp() -> ServerName {
    ServerName::parse("erp").unwrap()
}

pub(super) fn first(limit: usize) -> Part {
    Part { after: None, limit }
}

fn config(place: &Path) -> Config {
    let file = place.join("portcullis.yaml");
    let written = json!({
        "servers": {"erp": {"url": "https://erp.example/mcp"}, "crm": {"url": "https://crm.example/mcp"}},
        "accounts": [{"tenant": "fixed", "server": "erp", "credential": {"bearer": "sealed"}}],
    });
    std::fs::write(&file, written.to_string()).unwrap();
    Config::open(&file, &Nothing).unwrap().0
}
