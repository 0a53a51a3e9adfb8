//! The closed table of methods: which revision has which, and what each is.

use super::{ListKind, Notification, TaskVerb, Version};

/// What a method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// `initialize`.
    Initialize,
    /// `server/discover`.
    Discover,
    /// `ping`.
    Ping,
    /// A list.
    List(ListKind),
    /// `tools/call`.
    CallTool,
    /// `resources/read`.
    ReadResource,
    /// `resources/subscribe`.
    Subscribe,
    /// `resources/unsubscribe`.
    Unsubscribe,
    /// `prompts/get`.
    GetPrompt,
    /// `completion/complete`.
    Complete,
    /// `logging/setLevel`.
    SetLevel,
    /// `subscriptions/listen`.
    Listen,
    /// A request about a task.
    Task(TaskVerb),
    /// A notification.
    Notify(Notification),
}

/// One method of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name, compared exactly.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) what: What,
    since: Version,
    until: Version,
}

impl Row {
    const fn new(name: &'static str, what: What, since: Version, until: Version) -> Self {
        Self { name, what, since, until }
    }
}

const FIRST: Version = Version::V2024_11_05;
const TASKS: Version = Version::V2025_11_25;
const LAST_LEGACY: Version = Version::V2025_11_25;
const MODERN: Version = Version::V2026_07_28;

/// Schemas 2024-11-05 … 2026-07-28 and the tasks extension; what clients call most comes first.
const TABLE: &[Row] = &[
    Row::new("tools/call", What::CallTool, FIRST, MODERN),
    Row::new("tools/list", What::List(ListKind::Tools), FIRST, MODERN),
    Row::new("resources/read", What::ReadResource, FIRST, MODERN),
    Row::new("resources/list", What::List(ListKind::Resources), FIRST, MODERN),
    Row::new("resources/templates/list", What::List(ListKind::Templates), FIRST, MODERN),
    Row::new("prompts/get", What::GetPrompt, FIRST, MODERN),
    Row::new("prompts/list", What::List(ListKind::Prompts), FIRST, MODERN),
    Row::new("completion/complete", What::Complete, FIRST, MODERN),
    Row::new("initialize", What::Initialize, FIRST, LAST_LEGACY),
    Row::new("ping", What::Ping, FIRST, LAST_LEGACY),
    Row::new("logging/setLevel", What::SetLevel, FIRST, LAST_LEGACY),
    Row::new("resources/subscribe", What::Subscribe, FIRST, LAST_LEGACY),
    Row::new("resources/unsubscribe", What::Unsubscribe, FIRST, LAST_LEGACY),
    Row::new("server/discover", What::Discover, MODERN, MODERN),
    Row::new("subscriptions/listen", What::Listen, MODERN, MODERN),
    Row::new("tasks/get", What::Task(TaskVerb::Get), TASKS, MODERN),
    Row::new("tasks/cancel", What::Task(TaskVerb::Cancel), TASKS, MODERN),
    Row::new("tasks/result", What::Task(TaskVerb::Result), TASKS, LAST_LEGACY),
    Row::new("tasks/list", What::List(ListKind::Tasks), TASKS, LAST_LEGACY),
    Row::new("tasks/update", What::Task(TaskVerb::Update), MODERN, MODERN),
    Row::new("notifications/initialized", What::Notify(Notification::Initialized), FIRST, LAST_LEGACY),
    Row::new("notifications/cancelled", What::Notify(Notification::Cancelled), FIRST, MODERN),
    Row::new("notifications/progress", What::Notify(Notification::Progress), FIRST, LAST_LEGACY),
    Row::new(
        "notifications/roots/list_changed",
        What::Notify(Notification::RootsListChanged),
        FIRST,
        LAST_LEGACY,
    ),
    Row::new("notifications/tasks/status", What::Notify(Notification::TaskStatus), TASKS, LAST_LEGACY),
];

/// The method of that name in that revision.
pub(super) fn find(name: &str, version: Version) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name && row.since <= version && version <= row.until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modern(name: &str) -> bool {
        find(name, Version::V2026_07_28).is_some()
    }

    #[test]
    fn what_the_modern_revision_removed_is_no_method_there() {
        for name in [
            "initialize",
            "ping",
            "logging/setLevel",
            "resources/subscribe",
            "resources/unsubscribe",
            "tasks/list",
            "tasks/result",
            "notifications/initialized",
            "notifications/progress",
            "notifications/roots/list_changed",
        ] {
            assert!(!modern(name), "{name}");
            assert!(find(name, Version::V2025_11_25).is_some(), "{name}");
        }
    }

    #[test]
    fn what_the_modern_revision_added_is_no_method_before() {
        for name in ["server/discover", "subscriptions/listen", "tasks/update"] {
            assert!(modern(name), "{name}");
            assert!(
                Version::ALL.into_iter().filter(|v| *v < MODERN).all(|v| find(name, v).is_none()),
                "{name}"
            );
        }
    }

    #[test]
    fn tasks_came_with_2025_11_25() {
        assert!(find("tasks/get", Version::V2025_06_18).is_none());
        assert!(find("tasks/get", Version::V2025_11_25).is_some());
        assert!(modern("tasks/get"));
    }

    #[test]
    fn names_are_compared_exactly() {
        for name in ["Tools/Call", "tools/call ", "tools/call\0", "tools\u{2215}call", "admin/reset", ""] {
            assert!(Version::ALL.into_iter().all(|v| find(name, v).is_none()), "{name:?}");
        }
    }
}
