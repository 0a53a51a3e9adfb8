//! Users and groups (RFC 7643 section 4) → who has which roles.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Stamp, stamp};
use crate::config;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// A file in bytes: some hundred thousand users.
const LARGEST: usize = 512 << 20;

/// What one file says.
#[derive(Debug, Clone)]
pub(in crate::identify::people) struct Index {
    people: Arc<HashMap<String, Person>>,
    groups: Arc<HashMap<String, Group>>,
    folds_case: bool,
    pub(in crate::identify::people) stamp: Stamp,
}

/// A user.
#[derive(Debug)]
pub(in crate::identify::people) struct Person {
    pub(in crate::identify::people) active: bool,
    pub(in crate::identify::people) roles: Vec<Arc<str>>,
    pub(in crate::identify::people) groups: Vec<Arc<str>>,
    pub(in crate::identify::people) attributes: BTreeMap<String, Value>,
}

/// A group.
#[derive(Debug, Clone)]
pub(in crate::identify::people) struct Group {
    pub(in crate::identify::people) name: Arc<str>,
    pub(in crate::identify::people) roles: Vec<Arc<str>>,
}

/// Why a file says nothing, for the operator.
#[derive(Debug, thiserror::Error)]
pub(in crate::identify::people) enum NoIndex {
    #[error("`{0}` cannot be read: {1}")]
    File(String, std::io::Error),
    #[error("`{0}` is larger than {LARGEST} bytes")]
    TooLarge(String),
    #[error("`{0}` is no list of resources: {1}")]
    NotAList(String, serde_json::Error),
    #[error("two users are `{0}`")]
    Twice(String),
    #[error("resource {0} has no {1}")]
    Lacks(usize, &'static str),
}

/// A list of resources: an answer to a query (RFC 7644 section 3.4.2), or the resources alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Answer {
        #[serde(rename = "Resources")]
        resources: Vec<Map<String, Value>>,
    },
    Resources(Vec<Map<String, Value>>),
}

/// The groups while they are read, by id.
#[derive(Default)]
struct Groups {
    known: HashMap<String, Group>,
    /// In which groups something is, by its id.
    over: HashMap<String, Vec<String>>,
}

impl Index {
    pub(in crate::identify::people) fn read(of: &config::Directory) -> Result<Self, NoIndex> {
        let stamp = stamp(&of.file);
        let file = of.file.display().to_string();
        let bytes = std::fs::read(&of.file).map_err(|error| NoIndex::File(file.clone(), error))?;
        if bytes.len() > LARGEST {
            return Err(NoIndex::TooLarge(file));
        }
        let written = serde_json::from_slice(&bytes).map_err(|error| NoIndex::NotAList(file, error))?;
        let (Written::Answer { resources } | Written::Resources(resources)) = written;
        let groups = Groups::of(&resources, of)?;
        // RFC 7643 section 4.1.1: a user name is the same in upper and lower case.
        let folds_case = of.user.eq_ignore_ascii_case("/userName");
        let mut people = HashMap::new();
        for (at, user) in resources.into_iter().enumerate().filter(|(_, it)| is(it, USER)) {
            let user = Value::Object(user);
            let name = user.pointer(&of.user).and_then(Value::as_str);
            let name = folded(name.ok_or(NoIndex::Lacks(at, "text where `user` looks"))?, folds_case);
            if people.insert(name.clone(), groups.person(&user, of)).is_some() {
                return Err(NoIndex::Twice(name));
            }
        }
        let by_name = groups.known.values().map(|group| (group.name.to_string(), group.clone()));
        let groups = by_name.chain(groups.known.clone()).collect();
        Ok(Self { people: Arc::new(people), groups: Arc::new(groups), folds_case, stamp })
    }

    /// The same for another state of the file.
    pub(in crate::identify::people) fn stamped(&self, stamp: Stamp) -> Self {
        Self { stamp, ..self.clone() }
    }

    pub(in crate::identify::people) fn len(&self) -> usize {
        self.people.len()
    }

    pub(in crate::identify::people) fn person(&self, user: &str) -> Option<&Person> {
        self.people.get(&folded(user, self.folds_case))
    }

    /// A group by its id or its name.
    pub(in crate::identify::people) fn group(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }
}

impl Groups {
    fn of(resources: &[Map<String, Value>], of: &config::Directory) -> Result<Self, NoIndex> {
        let mut groups = Self::default();
        for (at, group) in resources.iter().enumerate().filter(|(_, it)| is(it, GROUP)) {
            let text = |name: &str| group.get(name).and_then(Value::as_str);
            let id = text("id").ok_or(NoIndex::Lacks(at, "`id`"))?;
            let name = text("displayName").ok_or(NoIndex::Lacks(at, "`displayName`"))?;
            let roles = of.roles.get(name).cloned().unwrap_or_default();
            groups.known.insert(id.to_owned(), Group { name: Arc::from(name), roles });
            for member in values(group.get("members")) {
                groups.over.entry(member.to_owned()).or_default().push(id.to_owned());
            }
        }
        Ok(groups)
    }

    /// The ids of the groups that something is in, directly or by another group.
    fn around(&self, id: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut next = vec![id];
        while let Some(inner) = next.pop() {
            for outer in self.over.get(inner).into_iter().flatten() {
                if found.insert(outer.as_str()) {
                    next.push(outer);
                }
            }
        }
        found
    }

    fn person(&self, user: &Value, of: &config::Directory) -> Person {
        let mut ids = user.get("id").and_then(Value::as_str).map(|id| self.around(id)).unwrap_or_default();
        for direct in values(user.get("groups")) {
            ids.insert(direct);
            ids.extend(self.around(direct));
        }
        let groups: Vec<&Group> = ids.into_iter().filter_map(|id| self.known.get(id)).collect();
        let own = values(user.get("roles")).map(Arc::from);
        let attribute = |(name, pointer): (&String, &String)| {
            user.pointer(pointer).filter(|value| !value.is_null()).map(|value| (name.clone(), value.clone()))
        };
        Person {
            // RFC 7643 leaves it out where it is of no use; a directory that says nothing takes nobody away.
            active: user.get("active").is_none_or(|active| *active == Value::Bool(true)),
            roles: own.chain(groups.iter().flat_map(|group| group.roles.iter().cloned())).collect(),
            groups: groups.iter().map(|group| Arc::clone(&group.name)).collect(),
            attributes: of.attributes.iter().filter_map(attribute).collect(),
        }
    }
}

/// The values of a multi-valued attribute (RFC 7643 section 2.4).
fn values(attribute: Option<&Value>) -> impl Iterator<Item = &str> {
    let all = attribute.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|one| one.as_str().or_else(|| one.get("value")?.as_str()))
}

fn is(resource: &Map<String, Value>, schema: &str) -> bool {
    let schemas = resource.get("schemas").and_then(Value::as_array);
    schemas.is_some_and(|schemas| schemas.iter().any(|one| *one == *schema))
}

fn folded(name: &str, folds_case: bool) -> String {
    if folds_case { name.to_lowercase() } else { name.to_owned() }
}
