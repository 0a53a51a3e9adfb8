//! The lines of a chain, to be read by people: nothing is proved here, see [`crate::record::verify`].

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::record::{RecordError, segment};

/// Hands every whole line in `directory` to `each`, oldest first.
///
/// # Errors
/// A file cannot be read.
pub fn lines(directory: &Path, mut each: impl FnMut(&str)) -> Result<(), RecordError> {
    let failed = |path: &Path, error: &std::io::Error| RecordError::io("cannot read the audit", path, error);
    for found in segment::list(directory).map_err(|e| failed(directory, &e))? {
        let file = File::open(&found.path).map_err(|e| failed(&found.path, &e))?;
        for line in BufReader::with_capacity(1 << 16, file).split(b'\n') {
            let line = line.map_err(|e| failed(&found.path, &e))?;
            each(&String::from_utf8_lossy(&line));
        }
    }
    Ok(())
}
