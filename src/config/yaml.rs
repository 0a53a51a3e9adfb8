//! YAML text → [`Node`]: one document, without aliases, anchors, tags, merge keys, duplicate keys and empty values.

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use serde_json::Number;

use super::problem::{At, Misfit, Place};
use super::source::{Data, Entry, Item, Node, Slip};

/// No configuration is nested deeper.
const DEEPEST: usize = 32;

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
