//! The files of the chain: `audit-<first seq>-<time>.jsonl`, appended to and never rewritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<File>,
    path: PathBuf,
    name: String,
    length: u64,
    lines: u64,
}

impl Segment {
    /// Makes the segment whose first line will be `first`.
    pub(super) fn create(directory: &Path, first: u64, time: jiff::Timestamp) -> io::Result<Self> {
        let name = format!("audit-{first:012}-{}.jsonl", time.strftime("%Y%m%dT%H%M%SZ"));
        let path = directory.join(&name);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self { file: Arc::new(file), path, name, length: 0, lines: 0 })
    }

    /// Goes on with a segment that holds `lines` good lines in its first `length` bytes; cuts off the rest.
    pub(super) fn resume(path: &Path, length: u64, lines: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { file: Arc::new(file), path: path.to_owned(), name, length, lines })
    }

    /// Appends whole lines, or nothing: what was written of a failed attempt is cut off again.
    pub(super) fn append(&mut self, bytes: &[u8], lines: u64) -> io::Result<()> {
        let present = self.file.metadata()?;
        if present.nlink() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the segment was removed while it was written",
            ));
        }
        if present.len() != self.length {
            self.file.set_len(self.length)?;
        }
        if let Err(error) = self.write(bytes) {
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.lines = self.lines.saturating_add(lines);
        Ok(())
    }

    /// Takes back the last `bytes` bytes, which hold `lines` lines.
    pub(super) fn take_back(&mut self, bytes: usize, lines: u64) {
        self.length = self.length.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.lines = self.lines.saturating_sub(lines);
        let _ = self.file.set_len(self.length);
    }

    /// Forces what was appended to the disk.
    #[cfg(not(test))]
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// As in a build that is shipped, but a test may say how the disk takes it.
    #[cfg(test)]
    pub(super) fn sync(&self) -> io::Result<()> {
        disk::forced(&self.path)?;
        self.file.sync_data()
    }

    /// Whether its file still has a name.
    pub(super) fn is_there(&self) -> bool {
        fs::metadata(&self.path)
            .and_then(|named| Ok(named.ino() == self.file.metadata()?.ino()))
            .unwrap_or(false)
    }

    /// The open file.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many lines it holds.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    #[cfg(not(test))]
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.file).write_all(bytes)
    }

    /// As in a build that is shipped, but a test may say how much room the disk has.
    #[cfg(test)]
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let room = disk::room(&self.path).unwrap_or(bytes.len());
        (&*self.file).write_all(bytes.get(..room).unwrap_or(bytes))?;
        if room < bytes.len() { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

/// A segment that lies in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of its first line, as its name says.
    pub(super) first: u64,
    /// Its file.
    pub(super) path: PathBuf,
    /// Its file's name.
    pub(super) name: String,
}

/// The segments in `directory` in order; a directory that is not there has none.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Found>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(first) = first_of(&name) {
            found.push(Found { first, path, name });
        }
    }
    found.sort_by(|a, b| (a.first, &a.name).cmp(&(b.first, &b.name)));
    Ok(found)
}

fn first_of(name: &str) -> Option<u64> {
    let middle = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    middle.split_once('-')?.0.parse().ok()
}

/// A disk with as little room as a test wants.
#[cfg(test)]
pub(super) mod disk {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Condvar, Mutex};

    static ROOM: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());
    static MOOD: Mutex<BTreeMap<PathBuf, Mood>> = Mutex::new(BTreeMap::new());
    static CHANGED: Condvar = Condvar::new();

    /// How a disk takes it to be forced.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Mood {
        /// It refuses.
        Fails,
        /// It says nothing until its mood is another one.
        Hangs,
    }

    /// The disk under `directory` is of this mood; `None`: of the best.
    pub(crate) fn mood(directory: &Path, mood: Option<Mood>) {
        let mut moods = MOOD.lock().unwrap();
        match mood {
            Some(mood) => moods.insert(directory.to_owned(), mood),
            None => moods.remove(directory),
        };
        CHANGED.notify_all();
    }

    pub(super) fn forced(segment: &Path) -> io::Result<()> {
        let directory = segment.parent().unwrap();
        let hangs = |moods: &mut BTreeMap<PathBuf, Mood>| moods.get(directory) == Some(&Mood::Hangs);
        let moods = CHANGED.wait_while(MOOD.lock().unwrap(), hangs).unwrap();
        match moods.get(directory) {
            Some(Mood::Fails) => Err(io::Error::other("the disk does not take it")),
            Some(Mood::Hangs) | None => Ok(()),
        }
    }

    /// Each write under `directory` stops after `bytes`; `None`: there is room again.
    pub(crate) fn limit(directory: &Path, bytes: Option<usize>) {
        let mut room = ROOM.lock().unwrap();
        match bytes {
            Some(bytes) => room.insert(directory.to_owned(), bytes),
            None => room.remove(directory),
        };
    }

    pub(super) fn room(segment: &Path) -> Option<usize> {
        ROOM.lock().unwrap().get(segment.parent().unwrap()).copied()
    }
}
