//! A revision's tree: paths and objects, and the links between them.

use std::collections::BTreeMap;

use crate::review::git::BadRevision;

/// How many links may lead to links.
const DEPTH: usize = 16;

/// How many links a directory may have, counted wherever they are met: a circle ends here.
const MOST_LINKS: usize = 64;

/// Every path of a revision.
#[derive(Debug)]
pub(in crate::review::git) struct Tree(BTreeMap<String, (Kind, String)>);

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::review::git) enum Kind {
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// Another repository.
    Submodule,
}

/// Where links lead, by their path.
pub(in crate::review::git) type Targets = BTreeMap<String, Vec<u8>>;

impl Tree {
    /// Reads `git ls-tree -r -z`: `<mode> <type> <object>\t<path>`, with a null after each.
    pub(in crate::review::git) fn parse(listed: &[u8]) -> Result<Self, BadRevision> {
        let mut tree = BTreeMap::new();
        for line in String::from_utf8_lossy(listed).split_terminator('\0') {
            let broken = || BadRevision::Failed(format!("its list of files has {line:?}"));
            let (about, path) = line.split_once('\t').ok_or_else(broken)?;
            let mut about = about.split(' ');
            let (mode, object) = (about.next().ok_or_else(broken)?, about.nth(1).ok_or_else(broken)?);
            let kind = match mode {
                "120000" => Kind::Link,
                "160000" => Kind::Submodule,
                _ => Kind::File,
            };
            if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(broken());
            }
            tree.insert(path.to_owned(), (kind, object.to_owned()));
        }
        Ok(Self(tree))
    }

    /// The paths of one kind, each with its object.
    pub(in crate::review::git) fn of_kind(&self, kind: Kind) -> Vec<(&str, &str)> {
        let fitting = self.0.iter().filter(|(_, (own, _))| *own == kind);
        fitting.map(|(path, (_, object))| (path.as_str(), object.as_str())).collect()
    }

    /// The files below a directory, named from there, with links followed.
    pub(in crate::review::git) fn below(
        &self,
        directory: &str,
        targets: &Targets,
    ) -> Result<Vec<(String, String)>, BadRevision> {
        let mut files = Vec::new();
        let directory = self.follow(directory, targets, DEPTH)?;
        let mut links = MOST_LINKS;
        self.collect(&directory, "", targets, &mut links, &mut files)?;
        Ok(files)
    }

    fn collect(
        &self,
        directory: &str,
        name: &str,
        targets: &Targets,
        links: &mut usize,
        files: &mut Vec<(String, String)>,
    ) -> Result<(), BadRevision> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let inside = self.0.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        for (path, (kind, object)) in inside {
            let inner = path.strip_prefix(&prefix).unwrap_or(path);
            let name = if name.is_empty() { inner.to_owned() } else { format!("{name}/{inner}") };
            match kind {
                Kind::File => files.push((name, object.clone())),
                Kind::Submodule => return Err(BadRevision::Submodule(path.clone())),
                Kind::Link => {
                    *links = links.checked_sub(1).ok_or_else(|| BadRevision::Astray(path.clone()))?;
                    let target = self.follow(path, targets, DEPTH)?;
                    match self.0.get(&target) {
                        Some((Kind::File, object)) => files.push((name, object.clone())),
                        Some((Kind::Link | Kind::Submodule, _)) => {
                            return Err(BadRevision::Submodule(target));
                        }
                        None if self.has(&target) => self.collect(&target, &name, targets, links, files)?,
                        None => return Err(BadRevision::Astray(path.clone())),
                    }
                }
            }
        }
        Ok(())
    }

    fn has(&self, directory: &str) -> bool {
        let prefix = format!("{directory}/");
        self.0.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }

    /// A path without links on its way.
    fn follow(&self, path: &str, targets: &Targets, depth: usize) -> Result<String, BadRevision> {
        let astray = || BadRevision::Astray(path.to_owned());
        let mut done: Vec<&str> = Vec::new();
        let parts: Vec<&str> = path.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            match *part {
                "" | "." => continue,
                ".." => {
                    done.pop().ok_or_else(astray)?;
                    continue;
                }
                part => done.push(part),
            }
            let Some(target) = targets.get(&done.join("/")) else { continue };
            let target = std::str::from_utf8(target).map_err(|_| astray())?;
            if depth == 0 || target.starts_with('/') {
                return Err(astray());
            }
            done.pop();
            let rest = parts.get(index + 1..).unwrap_or_default();
            let whole: Vec<&str> = done.into_iter().chain([target]).chain(rest.iter().copied()).collect();
            return self.follow(&whole.join("/"), targets, depth - 1);
        }
        Ok(done.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let entries =
            ["100644 blob a\tpolicies/authz.rego", "120000 blob l\tours/stock", "120000 blob x\tours/out"];
        Tree::parse(entries.join("\0").as_bytes()).unwrap()
    }

    #[test]
    fn a_link_is_followed_within_the_tree() {
        let mut targets = Targets::from([("ours/stock".to_owned(), b"../policies".to_vec())]);
        targets.insert("ours/out".to_owned(), b"stock/authz.rego".to_vec());
        let mut files = tree().below("ours", &targets).unwrap();
        files.sort();
        let of = |name: &str| (name.to_owned(), "a".to_owned());
        assert_eq!(files, [of("out"), of("stock/authz.rego")]);
    }

    #[test]
    fn a_link_that_leads_out_or_round_is_refused() {
        for target in ["../../etc/passwd", "/etc/passwd", "out", "../ours", "nothing"] {
            let mut targets = Targets::from([("ours/stock".to_owned(), b"../policies".to_vec())]);
            targets.insert("ours/out".to_owned(), target.as_bytes().to_vec());
            let found = tree().below("ours", &targets);
            assert!(matches!(found, Err(BadRevision::Astray(_))), "{target}: {found:?}");
        }
    }
}
