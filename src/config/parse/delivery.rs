//! From where policies are delivered.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::super::delivery::{
    BundleSource, Delivery, GitLogin, GitReference, GitSource, Signing, SigningKey,
};
use super::super::leaf::FilePath;
use super::super::problem::{At, listed};
use super::super::raw::{RawBundle, RawBundleAlgorithm, RawGit, RawPolicyLimits};
use super::super::report::Report;
use super::unused;

/// A pull more often than this is an attack on the source.
const OFTENEST: Duration = Duration::from_secs(1);
/// A request is held no longer.
const LONGEST_POLL: Duration = Duration::from_secs(300);

/// The one source that `limits` names besides a directory; `None`: it is a directory.
pub(super) fn delivery(limits: &RawPolicyLimits, at: &At, report: &mut Report<'_>) -> Option<Delivery> {
    let named = [
        ("directory", limits.directory.is_some()),
        ("git", limits.git.is_some()),
        ("bundle", limits.bundle.is_some()),
    ];
    let named: Vec<&str> = named.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    if named.len() > 1 {
        let what = format!("policies come from one source, and here are {}", listed(named.iter().copied()));
        report.error(at, what, "keep one of them");
    }
    match (&limits.git, &limits.bundle) {
        (Some(raw), _) => Some(Delivery::Git(git(raw, &at.key("git"), report))),
        (None, Some(raw)) => Some(Delivery::Bundle(bundle(raw, &at.key("bundle"), report))),
        (None, None) => None,
    }
}

fn git(raw: &RawGit, at: &At, report: &mut Report<'_>) -> GitSource {
    let url = match raw.url.0.starts_with('/') {
        true => format!("file://{}", raw.url.0),
        false => raw.url.0.clone(),
    };
    check_git_url(&url, &at.key("url"), report);
    if raw.branch.is_some() && raw.tag.is_some() {
        report.error(&at.key("tag"), "is given beside `branch`", "keep one of the two");
    }
    often(raw.every.0, &at.key("every"), report);
    let reference = match (&raw.branch, &raw.tag) {
        (_, Some(tag)) => GitReference::Tag(reference(&tag.0, &at.key("tag"), report)),
        (Some(branch), None) => GitReference::Branch(reference(&branch.0, &at.key("branch"), report)),
        (None, None) => GitReference::Branch("main".to_owned()),
    };
    let signers = raw.signers.as_ref().map(|file| readable(file, &at.key("signers"), report));
    if signers.is_none() {
        let what = "whoever may push to the repository may change the policy";
        report.warn(at, what, "name the `signers` whose signature a revision needs");
    }
    let login = login(raw, at, report);
    GitSource { path: inside(raw, at, report), url, reference, every: raw.every.0, signers, login }
}

fn check_git_url(url: &str, at: &At, report: &mut Report<'_>) {
    let fix = "write `https://host/…`, `ssh://git@host/…` or a path from the root";
    let Some((scheme, rest)) = url.split_once("://") else {
        report.error(at, "is not a URL with a scheme", fix);
        return;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let has_password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    match scheme {
        "https" if authority.contains('@') => {
            report.error(at, "has user information in it", "give it as `basic`, with the password in a file");
        }
        "ssh" if has_password => report.error(at, "has a password in it", "give a key as `ssh`"),
        "https" | "ssh" if authority.is_empty() => report.error(at, "names no host", fix),
        "https" | "ssh" | "file" => {}
        _ => report.error(at, "has a scheme that is not pulled from", fix),
    }
}

/// A name of a branch or tag (`git check-ref-format`, and nothing that could be a pattern or an option).
fn reference(name: &str, at: &At, report: &mut Report<'_>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '@' | '#');
    let parts_are_right =
        name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"));
    let right = name.chars().all(plain)
        && parts_are_right
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && name != "@";
    if !right {
        let what = format!("`{}` is not a name that git takes", name.escape_debug());
        report.error(at, what, "write the short name, such as `main` or `v1.4.0`");
    }
    name.to_owned()
}

fn inside(raw: &RawGit, at: &At, report: &mut Report<'_>) -> String {
    let path = raw.path.as_ref().map_or("", |path| path.0.trim_matches('/'));
    let right = path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !right {
        report.error(&at.key("path"), "does not stay inside the repository", "write it as `folder/folder`");
    }
    path.to_owned()
}

fn login(raw: &RawGit, at: &At, report: &mut Report<'_>) -> GitLogin {
    let (is_https, is_ssh) = (raw.url.0.starts_with("https://"), raw.url.0.starts_with("ssh://"));
    if raw.basic.is_some() && !is_https {
        unused(report, &at.key("basic"), "the URL is not `https`");
    }
    if raw.ssh.is_some() && !is_ssh {
        unused(report, &at.key("ssh"), "the URL is not `ssh`");
    }
    match (&raw.basic, &raw.ssh) {
        (Some(basic), _) => {
            let password =
                readable(&basic.password.file, &at.key("basic").key("password").key("file"), report);
            GitLogin::Basic { user: basic.user.0.clone(), password }
        }
        (None, Some(ssh)) => GitLogin::Ssh {
            key: readable(&ssh.key, &at.key("ssh").key("key"), report),
            known_hosts: readable(&ssh.known_hosts, &at.key("ssh").key("known_hosts"), report),
        },
        (None, None) if is_ssh => {
            report.error(&at.key("ssh"), "is missing", "give the key and the known hosts for `ssh`");
            GitLogin::None
        }
        (None, None) => GitLogin::None,
    }
}

fn bundle(raw: &RawBundle, at: &At, report: &mut Report<'_>) -> BundleSource {
    often(raw.every.0, &at.key("every"), report);
    let long_poll = raw.long_poll.as_ref().map(|poll| poll.0);
    if long_poll.is_some_and(|poll| poll < OFTENEST || poll > LONGEST_POLL) {
        report.error(&at.key("long_poll"), "is not between 1 s and 5 minutes", "give a time such as `30s`");
    }
    let signing = raw.keys.as_ref().map(|keys| {
        let keys = keys.iter().map(|(id, key)| {
            let file = readable(&key.file, &at.key("keys").key(id).key("file"), report);
            (id.clone(), SigningKey { algorithm: algorithm(key.algorithm), file })
        });
        Signing { keys: keys.collect(), scope: raw.scope.as_ref().map(|scope| scope.0.clone()) }
    });
    if signing.is_none() {
        if raw.scope.is_some() {
            unused(report, &at.key("scope"), "there are no `keys` that a signature is checked with");
        }
        let what = "whoever answers at the URL may change the policy";
        report.warn(at, what, "name the `keys` that a bundle must be signed with");
    }
    let bearer = raw.bearer.as_ref().map(|it| readable(&it.file, &at.key("bearer").key("file"), report));
    BundleSource { url: raw.url.0.text.clone(), every: raw.every.0, long_poll, bearer, signing }
}

fn often(every: Duration, at: &At, report: &mut Report<'_>) {
    if every < OFTENEST {
        report.error(at, "is less than 1 s", "give a time such as `60s`");
    }
}

/// A file that can be read now; it is read again each time that it is needed.
fn readable(file: &FilePath, at: &At, report: &mut Report<'_>) -> PathBuf {
    let path = report.path(&file.0);
    if let Err(error) = std::fs::read(&path) {
        report.error(at, format!("`{}` cannot be read: {error}", path.display()), "name a readable file");
    }
    // Other programs are given it, in directories of their own.
    std::path::absolute(&path).unwrap_or(path)
}

fn algorithm(raw: RawBundleAlgorithm) -> Algorithm {
    match raw {
        RawBundleAlgorithm::RS256 => Algorithm::RS256,
        RawBundleAlgorithm::RS384 => Algorithm::RS384,
        RawBundleAlgorithm::RS512 => Algorithm::RS512,
        RawBundleAlgorithm::PS256 => Algorithm::PS256,
        RawBundleAlgorithm::PS384 => Algorithm::PS384,
        RawBundleAlgorithm::PS512 => Algorithm::PS512,
        RawBundleAlgorithm::ES256 => Algorithm::ES256,
        RawBundleAlgorithm::ES384 => Algorithm::ES384,
        RawBundleAlgorithm::EdDSA => Algorithm::EdDSA,
        RawBundleAlgorithm::HS256 => Algorithm::HS256,
        RawBundleAlgorithm::HS384 => Algorithm::HS384,
        RawBundleAlgorithm::HS512 => Algorithm::HS512,
    }
}
