//! Whether methods and tags leave a new scoped URL anything, and if not, which of them took what.

use std::sync::Arc;

use crate::catalogue::Tool;
use crate::identify::url::{NewUrl, UrlProblem};

/// Tools named in one message.
const NAMED: usize = 10;

/// # Errors
/// An empty list; or, where the tools are known, filters that leave none of them.
pub(in crate::identify::url) fn check_narrowing(
    new: &NewUrl,
    tools: Option<&[Tool]>,
) -> Result<(), UrlProblem> {
    let filters = [
        new.methods.as_ref().map(|wanted| Filter { name: "methods", wanted, admits: by_method }),
        new.tags.as_ref().map(|wanted| Filter { name: "tags", wanted, admits: by_tag }),
    ];
    let filters: Vec<Filter<'_>> = filters.into_iter().flatten().collect();
    if let Some(empty) = filters.iter().find(|filter| filter.wanted.is_empty()) {
        return Err(UrlProblem::EmptyList(empty.name));
    }
    let Some(tools) = tools else { return Ok(()) };
    if filters.is_empty() || tools.iter().any(|tool| filters.iter().all(|filter| filter.admit(tool))) {
        return Ok(());
    }
    Err(UrlProblem::NothingLeft(explain(new, &filters, tools)))
}

struct Filter<'a> {
    name: &'static str,
    wanted: &'a [Arc<str>],
    admits: fn(&Tool, &str) -> bool,
}

impl Filter<'_> {
    fn admit(&self, tool: &Tool) -> bool {
        self.wanted.iter().any(|wanted| (self.admits)(tool, wanted))
    }

    fn explain(&self, tools: &[Tool]) -> String {
        let (kept, removed): (Vec<&Tool>, Vec<&Tool>) = tools.iter().partition(|tool| self.admit(tool));
        let wanted = self.wanted.join(", ");
        format!("`{}: [{wanted}]` keeps {} and removes {}", self.name, names(&kept), names(&removed))
    }
}

fn by_method(tool: &Tool, wanted: &str) -> bool {
    tool.class.as_str() == wanted || *tool.operation == *wanted
}

fn by_tag(tool: &Tool, wanted: &str) -> bool {
    tool.tags.iter().any(|tag| **tag == *wanted)
}

fn explain(new: &NewUrl, filters: &[Filter<'_>], tools: &[Tool]) -> String {
    if tools.is_empty() {
        return format!("`{}` offers no tool, so the URL would lead to none", new.server);
    }
    let each: Vec<String> = filters.iter().map(|filter| filter.explain(tools)).collect();
    format!("the URL would lead to no tool of `{}`: {}", new.server, each.join("; "))
}

fn names(tools: &[&Tool]) -> String {
    if tools.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<&str> = tools.iter().take(NAMED).map(|tool| tool.name.as_str()).collect();
    let more = tools.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}
