//! What a policy speaks of by name: tenants and their roles, exact tools, attributes of callers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::decide::bundle::Bundle;
use crate::decide::paths::{Module, Step};
use crate::decide::{Decide, PolicyProblem, reads, rego};
use crate::name::{TenantId, ToolName};

/// What is no attribute in `caller.NAME`, though it is written as one.
const OWN: [&str; 3] = ["user", "agent", "tenant"];

/// The names that a policy and its data write out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The roles of each tenant: the keys of `data.tenants.<tenant>.roles`.
    pub roles: BTreeMap<TenantId, BTreeSet<Arc<str>>>,
    /// Tools that grants name exactly, each with the servers that it stands under: a name, `tag:erp` or `*`.
    pub tools: BTreeSet<(Arc<str>, ToolName)>,
    /// Attributes that modules read by name, and that data names as `caller.NAME`.
    pub attributes: BTreeSet<String>,
}

impl Decide {
    /// The names in a policy directory. It is only read: whether it answers, [`Decide::load`] says.
    ///
    /// # Errors
    /// What cannot be read in it.
    pub fn names(directory: &Path) -> Result<Names, Vec<PolicyProblem>> {
        let (bundle, mut problems) = Bundle::read(directory);
        let modules = rego::parse(&bundle.modules, &mut problems);
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        let mut names = Names { attributes: modules.iter().flat_map(read).collect(), ..Names::default() };
        for (tenant, said) in members(bundle.data.get("tenants")) {
            let Ok(tenant) = TenantId::parse(tenant) else { continue };
            names.tenant(tenant, said);
        }
        Ok(names)
    }
}

impl Names {
    /// These and those of another policy.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (tenant, roles) in other.roles {
            self.roles.entry(tenant).or_default().extend(roles);
        }
        self.tools.extend(other.tools);
        self.attributes.extend(other.attributes);
        self
    }

    fn tenant(&mut self, tenant: TenantId, said: &Value) {
        let mut roles = BTreeSet::new();
        for (role, grants) in members(said.get("roles")) {
            roles.insert(Arc::from(role.as_str()));
            for grant in grants.as_array().into_iter().flatten() {
                self.grant(grant);
            }
        }
        self.mentioned(said);
        self.roles.insert(tenant, roles);
    }

    fn grant(&mut self, grant: &Value) {
        for server in texts(grant.get("servers")) {
            let exact = texts(grant.get("tools")).filter(|tool| !tool.contains('*'));
            let named = exact.filter_map(|tool| ToolName::parse(tool).ok());
            self.tools.extend(named.map(|tool| (Arc::from(server), tool)));
        }
    }

    /// Takes every `caller.NAME` below a value.
    fn mentioned(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let name = text.strip_prefix("caller.").filter(|name| !OWN.contains(name));
                self.attributes.extend(name.map(str::to_owned));
            }
            Value::Array(items) => items.iter().for_each(|item| self.mentioned(item)),
            Value::Object(members) => members.values().for_each(|member| self.mentioned(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The attributes that a module reads by name.
fn read(module: &Module) -> Vec<String> {
    let paths = module.rules.iter().flat_map(|rule| {
        rule.references.iter().map(move |reference| reads::expand(module, rule, &reference.steps))
    });
    let paths = paths.chain(module.imports.iter().map(|(_, path, _)| path.clone()));
    let named = |steps: Vec<Step>| {
        let mut names = steps.iter().map(Step::name);
        let place = ["input", "caller", "attributes"];
        let fits = place.iter().all(|part| names.next().flatten() == Some(part));
        fits.then(|| names.next().flatten().map(str::to_owned)).flatten()
    };
    paths.filter_map(named).collect()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_exact_tools_and_attributes_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "authz.rego",
            "package mcp.authz\nimport input.caller as who\n\
             allow if who.attributes.level == 1\nallow if input.caller.attributes.clearance\n",
        );
        write(
            "tenants/acme/data.yaml",
            "roles:\n  clerk:\n    - servers: [erp, \"tag:crm\"]\n      tools: [get_order, \"list_*\"]\n      \
             when: {region: caller.region, owner: caller.user}\n  idle: []\n",
        );
        let names = Decide::names(directory.path()).unwrap();
        let acme = names.roles.values().next().unwrap();
        assert_eq!(acme.iter().map(|role| &**role).collect::<Vec<_>>(), ["clerk", "idle"]);
        let tools: Vec<_> = names.tools.iter().map(|(server, tool)| (&**server, tool.as_str())).collect();
        assert_eq!(tools, [("erp", "get_order"), ("tag:crm", "get_order")]);
        assert_eq!(names.attributes.into_iter().collect::<Vec<_>>(), ["clearance", "level", "region"]);
    }
}
