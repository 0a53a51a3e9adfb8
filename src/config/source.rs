//! YAML text → a tree that knows where each of its values stands.
//!
//! # Why a tree of our own
//! Every mistake is to be named with its line and column, duplicate keys are mistakes, and a wrong part is cut out so
//! that the rest can still be checked: none of it survives a plain value. The tree is built from the parser's events, without
//! aliases: what is written is what there is, and nothing can multiply itself.

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

use super::problem::{At, Misfit, Place, Step};

/// No configuration is larger; in bytes.
pub(super) const LARGEST: usize = 4 * 1024 * 1024;
/// No configuration is nested deeper.
const DEEPEST: usize = 32;

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
    index: usize,
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

/// Reads one YAML document. Returns what could be read, and every slip.
pub(super) fn read(text: &str) -> (Option<Node>, Vec<Slip>) {
    let mut reader = Reader { parser: Parser::new_from_str(text), slips: Vec::new() };
    let root = match reader.document() {
        Ok(root) => Some(root),
        Err(slip) => {
            reader.slips.push(*slip);
            None
        }
    };
    (root, reader.slips)
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

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    slips: Vec<Slip>,
}

type Read<T> = Result<T, Box<Slip>>;

impl<'a> Reader<'a> {
    fn document(&mut self) -> Read<Node> {
        let root = loop {
            match self.next()? {
                (Event::StreamEnd, span) => {
                    return Err(stop(
                        span,
                        "the file is empty",
                        "describe at least one server under `servers`",
                    ));
                }
                (Event::Nothing | Event::StreamStart | Event::DocumentStart(_), _) => {}
                (event, span) => break self.node(event, span, &At::default())?,
            }
        };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), span) => {
                    return Err(stop(
                        span,
                        "a second document begins here",
                        "keep the configuration in one document, without `---` in between",
                    ));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, at: &At) -> Read<Node> {
        let place = place(span.start);
        if at.steps().len() > DEEPEST {
            return Err(stop(span, "it is nested too deep", format!("use at most {DEEPEST} levels")));
        }
        let data = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(span, at, anchor, tag.is_some());
                self.scalar(&text, style, span, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain(span, at, anchor, tag.is_some());
                self.list(at)?
            }
            Event::MappingStart(anchor, tag) => {
                self.plain(span, at, anchor, tag.is_some());
                self.map(at)?
            }
            Event::Alias(_) => {
                self.slip(place, at, "is a YAML alias, which is not supported", "write the value out");
                Data::Null
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Data::Null,
        };
        Ok(Node { place, data })
    }

    fn list(&mut self, at: &At) -> Read<Data> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Data::List(items)),
                (event, span) => {
                    let index = items.len();
                    let value = self.node(event, span, &at.item(index))?;
                    items.push(Item { index, value });
                }
            }
        }
    }

    fn map(&mut self, at: &At) -> Read<Data> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Data::Map(entries)),
                (Event::Scalar(key, ..), span) => (key.into_owned(), span),
                (_, span) => return Err(stop(span, "a key is not plain text", "write `key: value`")),
            };
            let (event, value_span) = self.next()?;
            let key_at = at.key(&key);
            let value = self.node(event, value_span, &key_at)?;
            let here = place(span.start);
            match entries.iter().find(|entry| entry.key == key) {
                _ if key == "<<" => {
                    self.slip(
                        here,
                        &key_at,
                        "is a YAML merge key, which is not supported",
                        "write the values out",
                    );
                }
                Some(first) => {
                    let what = format!("is written twice, first in line {}", first.place.line);
                    self.slip(here, &key_at, what, "remove one of the two");
                }
                None => entries.push(Entry { key, place: here, value }),
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span, at: &At) -> Data {
        match Scalar::parse_from_cow_and_metadata(text.into(), style, None) {
            Some(Scalar::Null) | None => {
                let fix = "give it one, or remove the key to take the default";
                self.slip(place(span.start), at, "has no value", fix);
                Data::Null
            }
            Some(Scalar::Boolean(is)) => Data::Bool(is),
            Some(Scalar::Integer(number)) => Data::Number(number.into()),
            Some(Scalar::FloatingPoint(number)) => Number::from_f64(number.into_inner())
                .map_or_else(|| Data::Text(text.to_owned()), Data::Number),
            Some(Scalar::String(text)) => Data::Text(text.into_owned()),
        }
    }

    /// An anchor without aliases and a tag without a meaning would have no effect.
    fn plain(&mut self, span: Span, at: &At, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.slip(
                place(span.start),
                at,
                "has a YAML anchor, which is not supported",
                "remove the `&name`",
            );
        }
        if tagged {
            self.slip(place(span.start), at, "has a YAML tag, which is not supported", "remove the `!tag`");
        }
    }

    fn slip(&mut self, place: Place, at: &At, what: impl Into<String>, fix: &str) {
        self.slips.push(Slip { place, at: at.clone(), misfit: Misfit::new(what, fix) });
    }

    fn next(&mut self) -> Read<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Box::new(Slip {
                place: place(*error.marker()),
                at: At::default(),
                misfit: Misfit::new(
                    format!("this is not YAML: {}", error.info()),
                    "mind indentation, quotes and brackets",
                ),
            })),
            None => Ok((Event::StreamEnd, Span::empty(self.end()))),
        }
    }

    fn end(&self) -> Marker {
        Marker::new(0, 1, 0)
    }
}

fn stop(span: Span, what: &str, fix: impl Into<String>) -> Box<Slip> {
    Box::new(Slip { place: place(span.start), at: At::default(), misfit: Misfit::new(what, fix) })
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}
