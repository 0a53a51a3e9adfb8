//! A git repository with policies, and people who sign what they commit with keys of ssh.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use tempfile::TempDir;

/// A repository with a work tree.
pub struct Repository {
    directory: TempDir,
}

/// Somebody with a key of their own.
pub struct Person {
    keys: TempDir,
    name: String,
}

impl Person {
    /// A fresh Ed25519 key.
    #[must_use]
    pub fn new(name: &str) -> Self {
        set_up();
        let keys = TempDir::new().expect("a directory");
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(keys.path().join("key"));
        run(command);
        Self { keys, name: name.into() }
    }

    /// Their line in a file of allowed signers.
    #[must_use]
    pub fn allowed(&self) -> String {
        let public = std::fs::read_to_string(self.key().with_extension("pub")).expect("a public key");
        format!("{} namespaces=\"git\" {public}", self.name)
    }

    fn key(&self) -> PathBuf {
        self.keys.path().join("key")
    }
}

impl Repository {
    /// An empty one with the branch `main`.
    #[must_use]
    pub fn new() -> Self {
        set_up();
        let repository = Self { directory: TempDir::new().expect("a directory") };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// One with the stock policies in `policies/` and these data of tenants `a` and `b`, not committed yet.
    #[must_use]
    pub fn stock(data: &str) -> Self {
        let repository = Self::new();
        let policies = repository.path().join("policies");
        std::fs::create_dir(&policies).expect("a directory");
        for entry in std::fs::read_dir(crate::repository().join("policies")).expect("policies").flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), policies.join(entry.file_name())).expect("a copy");
            }
        }
        repository.tenant("a", data);
        repository.tenant("b", data);
        repository
    }

    /// Its work tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Writes a tenant's data.
    pub fn tenant(&self, tenant: &str, data: &str) {
        self.write(&format!("policies/tenants/{tenant}/data.yaml"), data);
    }

    /// Commits everything, signed by `person` or by nobody; the commit.
    pub fn commit(&self, person: Option<&Person>) -> String {
        self.git(&["add", "--all"]);
        self.signed(person, "commit.gpgSign", &["commit", "--quiet", "--allow-empty", "--message", "policy"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Tags the newest commit with an annotated tag, signed by `person` or by nobody.
    pub fn tag(&self, name: &str, person: Option<&Person>) {
        self.signed(person, "tag.gpgSign", &["tag", "--annotate", "--message", "policy", name]);
    }

    fn signed(&self, person: Option<&Person>, what: &str, arguments: &[&str]) {
        let key = person.map(|person| format!("user.signingKey={}", person.key().display()));
        let sign = format!("{what}={}", person.is_some());
        let options =
            ["-c", "gpg.format=ssh", "-c", &sign, "-c", key.as_deref().unwrap_or("user.signingKey=")];
        self.git(&[&options, arguments].concat());
    }

    /// Runs git in it.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.path()).args(["-c", "user.name=Test", "-c", "user.email=test@a.example"]);
        command.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        run(command)
    }
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

fn run(mut command: Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// git and ssh-keygen, brought where they are missing.
fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let script = crate::repository().join("integration/setup.sh");
        let done = Command::new("sh").arg(script).arg("signing").status().expect("a shell");
        assert!(done.success(), "integration/setup.sh signing");
    });
}
