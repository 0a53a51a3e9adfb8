//! The policy directory of a commit: its files, byte for byte as they were signed.
//!
//! # Why not a checkout
//! A checkout runs filters and rewrites line ends as `.gitattributes` say, and follows what links say. Here every blob
//! is read as it is; a link or another repository in the directory is refused.

use crate::deliver::Setback;
use crate::deliver::files::{Files, LARGEST, MOST};
use crate::deliver::git::LOCAL;
use crate::deliver::git::command::Git;

/// A file as the tree lists it.
struct Listed {
    path: String,
    object: String,
    size: u64,
}

/// The files of the policy directory at `commit`. Names that begin with a dot are left alone, as in any policy directory.
pub(in crate::deliver::git) fn files(git: &Git, commit: &str) -> Result<Files, Setback> {
    let path = git.source.path.as_str();
    let tree = if path.is_empty() { commit.to_owned() } else { format!("{commit}:{path}") };
    let listed = git.ask_bytes(&["ls-tree", "-r", "-z", "-l", "--full-tree", &tree], &[], LOCAL);
    let listed = listed.map_err(|error| match error {
        Setback::Refused(_) => Setback::refused(format!("commit {commit} has no directory `{path}`")),
        other => other,
    })?;
    let listed = parse(&listed).map_err(Setback::Refused)?;
    read(git, &listed)
}

/// Reads `git ls-tree -r -z -l`: `<mode> <type> <object> <size>\t<path>`, with a null after each.
fn parse(listed: &[u8]) -> Result<Vec<Listed>, String> {
    let text = std::str::from_utf8(listed).map_err(|_| "the commit has a file whose name is not UTF-8")?;
    let (mut files, mut bytes) = (Vec::new(), 0_u64);
    for line in text.split_terminator('\0') {
        let broken = || format!("the commit's list of files has {line:?}");
        let (about, path) = line.split_once('\t').ok_or_else(broken)?;
        if path.split('/').any(|part| part.starts_with('.')) {
            continue;
        }
        let about: Vec<&str> = about.split_ascii_whitespace().collect();
        let &[mode, _, object, size] = about.as_slice() else { return Err(broken()) };
        match mode {
            "100644" | "100755" | "100664" => {}
            "120000" => return Err(format!("`{path}` is a link, which may lead anywhere")),
            "160000" => return Err(format!("`{path}` is a submodule, which no signature covers")),
            _ => return Err(broken()),
        }
        let size = size.parse().map_err(|_| broken())?;
        bytes = bytes.saturating_add(size);
        files.push(Listed { path: path.to_owned(), object: object.to_owned(), size });
        if files.len() > MOST || bytes > LARGEST {
            let limit = format!("{MOST} files or {} MiB", LARGEST >> 20);
            return Err(format!("the commit has more than {limit}: name the policies' directory as `path`"));
        }
    }
    Ok(files)
}

fn read(git: &Git, listed: &[Listed]) -> Result<Files, Setback> {
    let input: String = listed.iter().map(|file| format!("{}\n", file.object)).collect();
    let output = git.ask_bytes(&["cat-file", "--batch"], input.as_bytes(), LOCAL)?;
    let (mut rest, mut files) = (output.as_slice(), Files::default());
    for file in listed {
        let broken = || Setback::refused(format!("`{}` cannot be read from the commit", file.path));
        let size = usize::try_from(file.size).map_err(|_| broken())?;
        // A line `<object> blob <size>`, the content, and a newline.
        let head = format!("{} blob {size}\n", file.object);
        let body = rest.strip_prefix(head.as_bytes()).ok_or_else(broken)?;
        let (content, after) = body.split_at_checked(size).ok_or_else(broken)?;
        files.add(&file.path, content.to_vec()).map_err(Setback::Refused)?;
        rest = after.strip_prefix(b"\n").ok_or_else(broken)?;
    }
    if files.is_empty() {
        return Err(Setback::refused("the commit has no files there"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_are_taken_and_hidden_ones_are_left_alone() {
        let text = b"100644 blob aa      12\troles/data.yaml\x00120000 blob bb 3\t.github/link\0";
        let files = parse(text).unwrap();
        assert_eq!((files.len(), files[0].path.as_str(), files[0].size), (1, "roles/data.yaml", 12));
    }

    #[test]
    fn links_submodules_and_what_is_not_understood_are_refused() {
        for (line, why) in [
            ("120000 blob aa 3\tx.rego", "link"),
            ("160000 commit aa -\tours", "submodule"),
            ("040000 tree aa -\tx", "list of files"),
            ("100644 blob aa 1 no tab", "list of files"),
            ("100644 blob aa 999999999999\tx.rego", "more than"),
        ] {
            let said = parse(line.as_bytes()).err().unwrap_or_default();
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}
