//! A tree of values that knows where each of its values stands in the file.
//!
//! # Why a tree of our own
//! Every mistake is to be named with its line and column, duplicate keys are mistakes, and a wrong part is cut out so
//! that the rest can still be checked: none of it survives a plain value. The tree is built from the parser's events, without
//! aliases: what is written is what there is, and nothing can multiply itself.

use serde_json::{Map, Number, Value};

use super::problem::{At, Misfit, Place, Step};

/// No configuration is larger; in bytes.
pub(super) const LARGEST: usize = 4 * 1024 * 1024;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) data: Data,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Item>),
    Map(Vec<Entry>),
}

/// One element of a list, with the index under which it was written.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) index: usize,
    pub(super) value: Node,
}

/// One key of a map.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

/// A mistake in the text.
#[derive(Debug)]
pub(super) struct Slip {
    pub(super) place: Place,
    pub(super) at: At,
    pub(super) misfit: Misfit,
}

impl Node {
    /// The value without its places.
    pub(super) fn value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(is) => Value::Bool(*is),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => items.iter().map(|item| item.value.value()).collect(),
            Data::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The keys of a map, as written and in order; none for anything else.
    pub(super) fn keys(&self) -> Vec<&str> {
        match &self.data {
            Data::Map(entries) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => Vec::new(),
        }
    }

    /// What stands under `at`.
    pub(super) fn find(&self, at: &At) -> Option<&Self> {
        at.steps().iter().try_fold(self, |node, step| node.child(step).map(|(_, child)| child))
    }

    /// Where `at` stands, or its nearest ancestor that is written; and `at` with indices as written.
    pub(super) fn locate(&self, at: &At) -> (Place, At) {
        let (mut node, mut place, mut written) = (Some(self), self.place, At::default());
        for step in at.steps() {
            let child = node.and_then(|node| node.child(step).map(|(key, child)| (node, key, child)));
            if let Some((_, key, child)) = child {
                place = if child.is_collection() { key } else { child.place };
            }
            written = match (step, node.and_then(|node| node.written_index(step))) {
                (Step::Key(key), _) => written.key(key),
                (Step::Item(item), index) => written.item(index.unwrap_or(*item)),
            };
            node = child.map(|(_, _, child)| child);
        }
        (place, written)
    }

    /// Where the key of `at` stands.
    pub(super) fn key_place(&self, at: &At) -> Option<Place> {
        let (last, parents) = at.steps().split_last()?;
        let parent = parents.iter().try_fold(self, |node, step| node.child(step).map(|(_, child)| child))?;
        parent.child(last).map(|(place, _)| place)
    }

    /// The way that a JSON Pointer goes through this tree.
    pub(super) fn walk(&self, pointer: &str) -> At {
        let (mut node, mut at) = (Some(self), At::default());
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let is_list = matches!(node, Some(Self { data: Data::List(_), .. }));
            let step = match token.parse() {
                Ok(index) if is_list => Step::Item(index),
                Ok(_) | Err(_) => Step::Key(token),
            };
            at = match &step {
                Step::Key(key) => at.key(key),
                Step::Item(index) => at.item(*index),
            };
            node = node.and_then(|node| node.child(&step)).map(|(_, child)| child);
        }
        at
    }

    /// Cuts out what stands under `at`; false where it is the root, or nothing.
    pub(super) fn cut(&mut self, at: &At) -> bool {
        let Some((last, parents)) = at.steps().split_last() else { return false };
        let mut node = self;
        for step in parents {
            let Some(child) = node.child_mut(step) else { return false };
            node = child;
        }
        match (&mut node.data, last) {
            (Data::Map(entries), Step::Key(key)) => {
                let before = entries.len();
                entries.retain(|entry| entry.key != *key);
                entries.len() < before
            }
            (Data::List(items), Step::Item(index)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }

    /// Cuts out what has no value: it is as if it were not written.
    pub(super) fn cut_nulls(&mut self) {
        let is_null = |node: &Self| matches!(node.data, Data::Null);
        match &mut self.data {
            Data::List(items) => {
                items.retain(|item| !is_null(&item.value));
                items.iter_mut().for_each(|item| item.value.cut_nulls());
            }
            Data::Map(entries) => {
                entries.retain(|entry| !is_null(&entry.value));
                entries.iter_mut().for_each(|entry| entry.value.cut_nulls());
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
        }
    }

    /// Calls `change` on every text in the tree.
    pub(super) fn each_text(&mut self, at: &At, change: &mut dyn FnMut(&At, &mut String)) {
        match &mut self.data {
            Data::Text(text) => change(at, text),
            Data::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.value.each_text(&at.item(index), change);
                }
            }
            Data::Map(entries) => {
                for entry in entries {
                    entry.value.each_text(&at.key(&entry.key), change);
                }
            }
            Data::Null | Data::Bool(_) | Data::Number(_) => {}
        }
    }

    fn child(&self, step: &Step) -> Option<(Place, &Self)> {
        match (&self.data, step) {
            (Data::Map(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| (entry.place, &entry.value))
            }
            (Data::List(items), Step::Item(index)) => {
                items.get(*index).map(|item| (item.value.place, &item.value))
            }
            _ => None,
        }
    }

    fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.data, step) {
            (Data::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
            }
            (Data::List(items), Step::Item(index)) => items.get_mut(*index).map(|item| &mut item.value),
            _ => None,
        }
    }

    fn written_index(&self, step: &Step) -> Option<usize> {
        match (&self.data, step) {
            (Data::List(items), Step::Item(index)) => items.get(*index).map(|item| item.index),
            _ => None,
        }
    }

    fn is_collection(&self) -> bool {
        matches!(self.data, Data::List(_) | Data::Map(_))
    }
}
