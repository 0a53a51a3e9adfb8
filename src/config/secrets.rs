//! Services that keep secrets and keys for the gate: the meaning of `secrets`, and of the services under `state.sealing_key`.

use std::path::PathBuf;
use std::time::Duration;

/// A place that secrets are fetched from, and how long a fetched one serves.
#[derive(Debug)]
pub struct SecretService {
    /// Where secrets are.
    pub place: SecretPlace,
    /// How long a fetched secret serves before it is fetched again.
    pub keep: Duration,
    /// How much longer it serves where it cannot be fetched again.
    pub stale: Duration,
}

/// Where secrets are.
#[derive(Debug)]
pub enum SecretPlace {
    /// The KV engine, version 2, of HashiCorp Vault or OpenBao.
    Vault(VaultKv),
    /// AWS Secrets Manager.
    Aws(SecretsManager),
    /// A file of each account.
    File(Template),
    /// The standard output of a command, which is told the account.
    Command(Vec<String>),
}

/// A KV engine.
#[derive(Debug)]
pub struct VaultKv {
    /// The URL of the server. No trailing slash.
    pub url: String,
    /// The namespace, where there are some.
    pub namespace: Option<String>,
    /// The engine's mount.
    pub mount: String,
    /// The secret of an account, below the mount.
    pub path: Template,
    /// How the gate logs in.
    pub login: VaultLogin,
    /// Authorities instead of the system's, in PEM.
    pub authorities: Option<PathBuf>,
}

/// How the gate logs in to HashiCorp Vault or OpenBao.
#[derive(Debug)]
pub enum VaultLogin {
    /// By a token that somebody else renews, in a file.
    Token(PathBuf),
    /// By an AppRole.
    AppRole {
        /// The method's mount.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The file with its secret id.
        secret_id: PathBuf,
    },
    /// By the service account of a Kubernetes pod.
    Kubernetes {
        /// The method's mount.
        mount: String,
        /// The role.
        role: String,
        /// The file with the service account's token.
        token: PathBuf,
    },
}

/// AWS Secrets Manager.
#[derive(Debug)]
pub struct SecretsManager {
    /// The service.
    pub service: AwsService,
    /// The name or ARN of an account's secret.
    pub name: Template,
}

/// A service of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsService {
    /// The region.
    pub region: String,
    /// The endpoint. No trailing slash.
    pub url: String,
    /// With what requests are signed.
    pub identity: AwsIdentity,
}

/// With what the gate signs its own requests to AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsIdentity {
    /// An access key; the files are read at each request.
    Key {
        /// Its id.
        id: String,
        /// The file with the secret access key.
        secret: PathBuf,
        /// The file with the session token, where the key is a temporary one.
        session_token: Option<PathBuf>,
    },
    /// The standard output of a command, as `credential_process` of the AWS CLI has it.
    Process(Vec<String>),
}

/// A symmetric key of AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKey {
    /// The service.
    pub service: AwsService,
    /// The key's id, ARN or alias.
    pub key: String,
}

/// A symmetric key of Google Cloud KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleKey {
    /// The key's resource name.
    pub key: String,
    /// The endpoint. No trailing slash.
    pub url: String,
    /// With what the gate gets its access tokens.
    pub identity: GoogleIdentity,
}

/// With what the gate gets access tokens of Google Cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoogleIdentity {
    /// The metadata server of the machine or pod, at this URL.
    Metadata(String),
    /// The file with a service account's key, in JSON.
    ServiceAccount(PathBuf),
}

/// A text with `{tenant}` and `{server}` in it, as segments between slashes or parts of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// Why a text is no template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadTemplate {
    /// The tenant is not a segment of its own: two tenants could meet in one path.
    NoTenant,
    /// A brace that belongs to neither `{tenant}` nor `{server}`.
    Brace,
}

const TENANT: &str = "{tenant}";
const SERVER: &str = "{server}";

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, BadTemplate> {
        if text.replace(TENANT, "").replace(SERVER, "").contains(['{', '}']) {
            return Err(BadTemplate::Brace);
        }
        let is_own = text.split('/').any(|segment| segment == TENANT);
        let is_once = text.matches(TENANT).count() == 1;
        (is_own && is_once).then(|| Self(text.to_owned())).ok_or(BadTemplate::NoTenant)
    }

    /// The text as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of an account; `None` where the tenant's name would not be one segment of a path.
    pub(super) fn of(&self, tenant: &str, server: &str) -> Option<String> {
        let fits = |name: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@+=".contains(c);
            name.chars().all(is_plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        (fits(tenant) && fits(server)).then(|| self.0.replace(TENANT, tenant).replace(SERVER, server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_one_tenant_alone() {
        let template = Template::parse("mcp/{tenant}/{server}").unwrap();
        assert_eq!(template.of("acme", "crm").as_deref(), Some("mcp/acme/crm"));
        for name in ["acme/crm", "..", ".hidden", "-rf", "a b", "a%2fb", "ä", ""] {
            assert_eq!(template.of(name, "crm"), None, "{name}");
        }
    }

    #[test]
    fn a_template_that_two_tenants_could_share_is_none() {
        for text in ["mcp/all", "mcp/{tenant}-{server}", "x{tenant}/{server}", "{server}"] {
            assert_eq!(Template::parse(text), Err(BadTemplate::NoTenant), "{text}");
        }
        assert_eq!(Template::parse("{tenant}/{user}"), Err(BadTemplate::Brace));
    }
}
