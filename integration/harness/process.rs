//! A process that belongs to one test: its output is kept, and it is stopped when the test is over.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait::DEADLINE;

/// A running process and everything that it has printed, line by line.
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Lines {
    /// The lines, also after a failed wait has panicked with them in hand.
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts it; its standard input stays open as long as it is wanted.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {command:?}: {e}"));
        let lines = Arc::new(Lines::default());
        let readers = vec![
            collect(child.stdout.take().expect("piped"), lines.clone()),
            collect(child.stderr.take().expect("piped"), lines.clone()),
        ];
        Self { name: name.into(), child, lines, readers }
    }

    /// Waits until the lines printed so far have what is looked for.
    pub fn until<T>(&mut self, what: &str, look: impl Fn(&[String]) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            let over = self.child.try_wait().expect("own child");
            let seen = self.lines.lock();
            if let Some(found) = look(&seen) {
                return found;
            }
            assert!(over.is_none(), "{} ended ({over:?}) before {what}:\n{}", self.name, seen.join("\n"));
            assert!(Instant::now() < end, "{}: no {what} in {DEADLINE:?}:\n{}", self.name, seen.join("\n"));
            drop(self.lines.grown.wait_timeout(seen, Duration::from_millis(50)));
        }
    }

    /// Everything that it has printed.
    pub fn output(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(sent.expect("kill runs").success(), "{} cannot be signalled", self.name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("own child") {
                self.readers.drain(..).for_each(|r| drop(r.join()));
                return status;
            }
            assert!(Instant::now() < end, "{} does not end:\n{}", self.name, self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.output());
        }
    }
}

fn collect(from: impl Read + Send + 'static, lines: Arc<Lines>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            lines.lock().push(plain(&line));
            lines.grown.notify_all();
        }
    })
}

/// The line without the colours of a terminal.
fn plain(line: &[u8]) -> String {
    let mut text = String::new();
    let mut escape = false;
    for c in String::from_utf8_lossy(line).chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (false, _) => text.push(c),
            (true, c) => escape = !c.is_ascii_alphabetic(),
        }
    }
    text
}
