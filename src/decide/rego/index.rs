//! What the stock policies' index comes to, worked out without the engine: `policies/index.rego`, said a second time.
//!
//! # Why a second time
//! The engine takes 0.1 ms for each grant, so that one changed line among ten thousand grants would take a second to serve.
//! Only the very text that ships is taken over, and only data of the shape that it was written for; with all else the
//! engine is asked. Tests hold this against what the engine makes of the same data.

use regorus::Value;

/// The text that is said here a second time.
pub(super) const TEXT: &str = include_str!("../../../policies/index.rego");

/// What a grant may say.
const WORDS: [&str; 8] = ["methods", "prompts", "redact", "resources", "servers", "tags", "tools", "when"];

/// `data.mcp.index`; `None`: the data have another shape.
pub(super) fn of(data: &Value) -> Option<Value> {
    let mut index = Index::default();
    if let Some(tenants) = data.as_object().ok()?.get(&"tenants".into()) {
        for (tenant, entry) in tenants.as_object().ok()?.iter() {
            index.tenant(tenant, entry)?;
        }
    }
    Some(index.value())
}

/// What the rules of the package make, each an object.
struct Index {
    sound: Value,
    rests: Value,
    tenants: Value,
    /// What a grant is that says nothing else.
    nothing: Value,
    books: Books,
}

/// Where grants stand, made once: a text of its own for each place would cost more than the place.
struct Books {
    plain: Value,
    named: Value,
    beginnings: Value,
    patterns: Value,
    tasks: Value,
    resources: Value,
    prompts: Value,
    server: Value,
    roles: Value,
    deny: Value,
}

impl Default for Index {
    fn default() -> Self {
        let [sound, rests, tenants, nothing] = std::array::from_fn(|_| Value::new_object());
        let books = Books {
            plain: "plain".into(),
            named: "named".into(),
            beginnings: "beginnings".into(),
            patterns: "patterns".into(),
            tasks: "tasks".into(),
            resources: "resources".into(),
            prompts: "prompts".into(),
            server: "server".into(),
            roles: "roles".into(),
            deny: "deny".into(),
        };
        Self { sound, rests, tenants, nothing, books }
    }
}

impl Index {
    fn tenant(&mut self, tenant: &Value, entry: &Value) -> Option<()> {
        let entry = entry.as_object().ok()?;
        if let Some(rules) = entry.get(&self.books.deny) {
            put(&mut self.tenants, &[tenant, &self.books.deny], rules.clone());
        }
        let Some(roles) = entry.get(&self.books.roles) else { return Some(()) };
        for (role, grants) in roles.as_object().ok()?.iter() {
            let mut shelves = Value::new_object();
            for (position, grant) in grants.as_array().ok()?.iter().enumerate() {
                self.grant(tenant, role, position, grant, &mut shelves)?;
            }
            if shelves != self.nothing {
                put(&mut self.tenants, &[tenant, &self.books.roles, role], shelves);
            }
        }
        Some(())
    }

    /// Puts a grant on the shelves of its role, which are one for each server.
    fn grant(
        &mut self,
        tenant: &Value,
        role: &Value,
        position: usize,
        grant: &Value,
        shelves: &mut Value,
    ) -> Option<()> {
        let Some(says) = Says::read(grant)? else { return Some(()) };
        let name = format!("{}/{}/{position}", tenant.as_string().ok()?, role.as_string().ok()?);
        let (name, rest) = (Value::from(name), says.rest(&self.nothing));
        let origin = Value::from(vec![tenant.clone(), role.clone(), grant.clone()]);
        // Two grants of one name: the engine knows what to say of that.
        let another = self.sound.as_object_mut().ok()?.insert(name.clone(), origin);
        if another.is_some() {
            return None;
        }
        put(&mut self.rests, &[&name], rest.clone());
        for server in items(says.servers) {
            let shelves = shelves.as_object_mut().ok()?;
            let shelf = shelves.get_or_insert_with(server.clone(), Value::new_object);
            says.shelve(&self.books, &rest, &self.nothing, &mut |book, rest| {
                let path: Vec<&Value> = book.iter().copied().chain([&name]).collect();
                put(shelf, &path, rest.clone());
            });
        }
        Some(())
    }

    fn value(self) -> Value {
        let words = WORDS.map(Value::from).into_iter().collect::<std::collections::BTreeSet<_>>();
        let mut value = Value::new_object();
        let rules = [("rests", self.rests), ("sound", self.sound), ("tenants", self.tenants)];
        for (name, made) in rules.into_iter().chain([("words", Value::from(words))]) {
            // As the engine has it: a rule whose name begins with a variable is undefined where nothing made it.
            if name != "tenants" || made != self.nothing {
                put(&mut value, &[&name.into()], made);
            }
        }
        value
    }
}

/// What a sound grant says.
struct Says<'a> {
    servers: &'a Value,
    tools: Option<&'a Value>,
    tags: Option<&'a Value>,
    methods: Option<&'a Value>,
    resources: Option<&'a Value>,
    prompts: Option<&'a Value>,
    limits: Vec<(&'a str, &'a Value)>,
}

impl<'a> Says<'a> {
    /// `Some(None)`: it says something unknown, and counts for nothing. `None`: it is no grant.
    fn read(grant: &'a Value) -> Option<Option<Self>> {
        let grant = grant.as_object().ok()?;
        for (word, value) in grant.iter() {
            let word = word.as_string().ok()?.as_ref();
            let good = if word == "when" { value.as_object().is_ok() } else { is_list(value) };
            if !WORDS.contains(&word) || !good {
                return Some(None);
            }
        }
        let says = |word: &str| grant.get(&word.into());
        let Some(servers) = says("servers") else { return Some(None) };
        let limits = ["when", "redact"].into_iter().filter_map(|word| Some((word, says(word)?))).collect();
        Some(Some(Self {
            servers,
            tools: says("tools"),
            tags: says("tags"),
            methods: says("methods"),
            resources: says("resources"),
            prompts: says("prompts"),
            limits,
        }))
    }

    /// What it says besides its servers and tools.
    fn rest(&self, nothing: &Value) -> Value {
        let mut rest = nothing.clone();
        let words = [
            ("methods", self.methods),
            ("tags", self.tags),
            ("resources", self.resources),
            ("prompts", self.prompts),
        ];
        for (word, value) in words {
            if let Some(value) = value {
                put(&mut rest, &[&word.into()], value.clone());
            }
        }
        for (word, value) in &self.limits {
            put(&mut rest, &[&"limits".into(), &(*word).into()], (*value).clone());
        }
        rest
    }

    /// Where the grant stands at each of its servers.
    fn shelve(
        &self,
        books: &Books,
        rest: &Value,
        nothing: &Value,
        shelve: &mut impl FnMut(&[&Value], &Value),
    ) {
        let plain = rest == nothing;
        for tool in self.tools.into_iter().flat_map(items) {
            let text = tool.as_string().map(AsRef::as_ref).unwrap_or_default();
            let book = if plain { &books.plain } else { &books.named };
            shelve(&[book, tool], if plain { nothing } else { rest });
            match text.strip_suffix('*') {
                Some(beginning) if !beginning.contains('*') => {
                    shelve(&[&books.beginnings, &beginning.into()], rest);
                }
                left => {
                    if left.unwrap_or(text).contains('*') {
                        shelve(&[&books.patterns, tool], rest);
                    }
                }
            }
        }
        let about_tools = (self.resources.is_none() && self.prompts.is_none())
            || self.tags.is_some()
            || self.methods.is_some();
        if self.tools.is_none() && about_tools {
            shelve(&[&books.beginnings, &"".into()], rest);
        }
        if self.tools.is_some() || about_tools {
            shelve(&[&books.tasks], rest);
        }
        for (book, there) in [
            (&books.resources, self.resources.is_some()),
            (&books.prompts, self.prompts.is_some()),
            (&books.server, true),
        ] {
            if there {
                shelve(&[book], rest);
            }
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flat_map(|items| items.iter())
}

fn is_list(value: &Value) -> bool {
    value.as_array().is_ok_and(|items| items.iter().all(|item| item.as_string().is_ok()))
}

/// Sets the member at a path, with the objects that lead there.
fn put(into: &mut Value, path: &[&Value], member: Value) {
    match (path.split_first(), into) {
        (None, into) => *into = member,
        (Some((name, rest)), into) => {
            if let Ok(object) = into.as_object_mut() {
                put(object.get_or_insert_with((*name).clone(), Value::new_object), rest, member);
            }
        }
    }
}
