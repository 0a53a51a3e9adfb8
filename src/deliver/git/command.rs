//! The `git` command, with an environment and a configuration of its own: no hooks, no prompts, no helpers, one protocol,
//! a deadline, and an end when it takes too much of the disk.

use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

use crate::config::{GitLogin, GitSource};
use crate::deliver::{Setback, files, git};

/// Our copy of a repository, in bytes.
const LARGEST: u64 = 512 << 20;
/// What a command may say.
const LONGEST_OUTPUT: u64 = files::LARGEST + (16 << 20);
const LONGEST_COMPLAINT: u64 = 64 << 10;
/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often the size of the copy is looked at while it is fetched.
const MEASURE: Duration = Duration::from_millis(250);

/// What of the environment a command gets: where programs are, and what an operator says of the network.
const PASSED_ON: [&str; 7] =
    ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/// The command over one repository.
#[derive(Debug)]
pub(in crate::deliver::git) struct Git {
    pub(in crate::deliver::git) source: GitSource,
    pub(in crate::deliver::git) directory: PathBuf,
    /// Held while the repository is asked.
    pub(in crate::deliver::git) pulling: Mutex<()>,
    /// Whether whatever runs is to end.
    pub(in crate::deliver::git) given_up: AtomicBool,
}

/// How a command ended.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    complaint: String,
}

impl Ended {
    /// What it complained of, in one line.
    fn told(&self) -> String {
        let lines = self.complaint.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("; ")
    }
}

impl Git {
    /// What is missing on this machine.
    pub(in crate::deliver::git) fn unready(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if Command::new("git").arg("--version").output().is_err() {
            missing.push("`git` is not installed; the gate pulls policies with it".to_owned());
        }
        if let Some(signers) = &self.source.signers {
            // Without arguments that make sense it only says how it is used.
            let keygen =
                Command::new("ssh-keygen").args(["-Y", "check-novalidate"]).stdin(Stdio::null()).output();
            if keygen.is_err() {
                missing.push("`ssh-keygen` is not installed; signatures are verified with it".to_owned());
            }
            let named = std::fs::read_to_string(signers).map(|text| text.lines().any(is_signer));
            if !named.unwrap_or(false) {
                missing.push(format!("`{}` names no signer: nothing would be accepted", signers.display()));
            }
        }
        missing
    }

    pub(in crate::deliver::git) fn exists(&self) -> bool {
        self.directory.join("HEAD").is_file()
    }

    /// Makes our copy, where there is none.
    pub(in crate::deliver::git) fn begin(&self) -> Result<(), Setback> {
        let unable = |error| Setback::disk("the copy of the repository cannot be made", &error);
        if !self.exists() {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&self.directory).map_err(unable)?;
            self.ask(&["init", "--quiet", "--bare", "--template="], git::LOCAL)?;
        }
        std::fs::write(self.config(), self.trusted()).map_err(unable)
    }

    /// What a command says that needs no network. [`Setback::Refused`]: it ended with an error.
    pub(in crate::deliver::git) fn ask(&self, arguments: &[&str], time: Duration) -> Result<String, Setback> {
        Ok(String::from_utf8_lossy(&self.ask_bytes(arguments, &[], time)?).into_owned())
    }

    /// The same in bytes, with something to read.
    pub(in crate::deliver::git) fn ask_bytes(
        &self,
        arguments: &[&str],
        input: &[u8],
        time: Duration,
    ) -> Result<Vec<u8>, Setback> {
        let ended = self.run(self.command(arguments), input, time)?;
        match ended.status.success() {
            true => Ok(ended.output),
            false => Err(Setback::refused(format!("git {}: {}", name(arguments), ended.told()))),
        }
    }

    /// A command that asks the repository.
    pub(in crate::deliver::git) fn pull(&self, arguments: &[&str], time: Duration) -> Result<(), Setback> {
        let mut command = self.command(arguments);
        self.log_in(&mut command)?;
        let ended = self.run(command, &[], time)?;
        match ended.status.success() {
            true => Ok(()),
            false => Err(Setback::unreachable(format!("git {}: {}", name(arguments), ended.told()))),
        }
    }

    /// What git says of a signature that holds; both streams.
    pub(in crate::deliver::git) fn verify(
        &self,
        how: &str,
        object: &str,
        signers: &Path,
    ) -> Result<String, Setback> {
        let mut command = Command::new("git");
        command.arg("-c").arg(format!("gpg.ssh.allowedSignersFile={}", signers.display()));
        // Git chooses the program by the form of the signature; only ssh's is one that the signers are for.
        for option in
            ["gpg.format=ssh", "gpg.minTrustLevel=fully", "gpg.program=false", "gpg.x509.program=false"]
        {
            command.args(["-c", option]);
        }
        self.settle(&mut command, &[how, "--raw", object]);
        let ended = self.run(command, &[], git::LOCAL)?;
        let said = format!("{}{}", String::from_utf8_lossy(&ended.output), ended.complaint);
        match ended.status.success() {
            true => Ok(said),
            false => Err(git::unsigned(object, &said)),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        self.settle(&mut command, arguments);
        command
    }

    /// Everything about a command that does not depend on what it is for.
    fn settle(&self, command: &mut Command, arguments: &[&str]) {
        let scheme = self.source.url.split("://").next().unwrap_or_default();
        let options = [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.alternateRefsCommand=false",
            "credential.helper=",
            "http.followRedirects=false",
            "fetch.fsckObjects=true",
            "submodule.recurse=false",
            "gc.auto=0",
            "protocol.allow=never",
        ];
        for option in options {
            command.args(["-c", option]);
        }
        command.arg("-c").arg(format!("protocol.{scheme}.allow=always"));
        command.arg("--git-dir").arg(&self.directory).args(arguments).current_dir(&self.directory);
        command.env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", &self.directory).env("LC_ALL", "C").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_CONFIG_GLOBAL", self.config()).env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "false").env("SSH_ASKPASS", "false");
        command.env("GIT_ALLOW_PROTOCOL", scheme);
        command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_NO_LAZY_FETCH", "1");
    }

    fn log_in(&self, command: &mut Command) -> Result<(), Setback> {
        if let Some((user, file)) = git::password(&self.source.login) {
            let unread = |error| Setback::disk(&format!("`{}` cannot be read", file.display()), &error);
            let password = Zeroizing::new(std::fs::read_to_string(file).map_err(unread)?);
            let pair = Zeroizing::new(format!("{user}:{}", password.trim_end()));
            let header = Zeroizing::new(format!("Authorization: Basic {}", STANDARD.encode(pair.as_bytes())));
            // In the environment, which other users of the machine cannot read, and not among the arguments.
            command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
            command.env("GIT_CONFIG_VALUE_0", header.as_str());
        }
        if let GitLogin::Ssh { key, known_hosts } = &self.source.login {
            let options = "-F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes";
            let (key, hosts) = (quoted(key), quoted(known_hosts));
            let ssh = format!(
                "ssh {options} -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={hosts} -i {key}"
            );
            command.env("GIT_SSH_COMMAND", ssh).env("GIT_SSH_VARIANT", "ssh");
        }
        Ok(())
    }

    fn config(&self) -> PathBuf {
        self.directory.with_extension("gitconfig")
    }

    /// A local repository may be another user's: the operator who names it trusts it to be read.
    fn trusted(&self) -> String {
        let Some(path) = self.source.url.strip_prefix("file://") else { return String::new() };
        let path = path.trim_end_matches('/').replace('\\', "\\\\").replace('"', "\\\"");
        format!("[safe]\n\tdirectory = \"{path}\"\n\tdirectory = \"{path}/.git\"\n")
    }

    fn run(&self, mut command: Command, input: &[u8], time: Duration) -> Result<Ended, Setback> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| Setback::disk("git cannot be run", &error))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            let output = scope.spawn(move || read(stdout, LONGEST_OUTPUT));
            let complaint = scope.spawn(move || read(stderr, LONGEST_COMPLAINT));
            let status = self.watch(&mut child, time);
            let broken = || Setback::Unable("git's output cannot be read".to_owned());
            let output = output.join().map_err(|_| broken())?;
            let complaint = complaint.join().map_err(|_| broken())?;
            let complaint = String::from_utf8_lossy(&complaint).into_owned();
            Ok(Ended { status: status?, output, complaint })
        })
    }

    /// Waits for a command's end, or brings it about, with everything that it started.
    fn watch(&self, child: &mut Child, time: Duration) -> Result<ExitStatus, Setback> {
        let (began, mut measured) = (Instant::now(), Instant::now());
        let why = loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(error) => break Setback::disk("git cannot be waited for", &error),
            }
            if self.given_up.load(Ordering::Relaxed) {
                break Setback::unreachable("nobody wants the answer any more");
            }
            if began.elapsed() > time {
                break Setback::unreachable(format!("git did not end within {time:?}"));
            }
            if measured.elapsed() > MEASURE {
                measured = Instant::now();
                if size(&self.directory) > LARGEST {
                    break Setback::refused(format!("the repository is larger than {} MiB", LARGEST >> 20));
                }
            }
            std::thread::sleep(LOOK);
        };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
        Err(why)
    }
}

fn name<'a>(arguments: &[&'a str]) -> &'a str {
    arguments.first().copied().unwrap_or_default()
}

/// Reads to the end, and keeps so much of it.
fn read(stream: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.by_ref().take(most).read_to_end(&mut kept);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    kept
}

fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// For the shell that git gives its ssh command to.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn is_signer(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}
