use super::*;

/// What the stream holds, when it arrives in pieces of `size` bytes.
fn events(stream: &[u8], size: usize) -> Vec<Event> {
    let mut splitter = Events::new(1000);
    let mut found = Vec::new();
    for piece in stream.chunks(size) {
        splitter.push(piece);
        while let Some(event) = splitter.next_event().unwrap() {
            found.push(event);
        }
    }
    found
}

fn data(stream: &[u8], size: usize) -> Vec<String> {
    let seen = events(stream, size).into_iter().filter_map(|event| event.data);
    seen.map(|data| String::from_utf8(data.to_vec()).unwrap()).collect()
}

#[test]
fn events_are_found_whatever_ends_the_lines_and_however_they_arrive() {
    let lf = "\u{feff}: hello\n\nid: 1\nevent: message\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\nretry: 5\n\n";
    for ending in ["\n", "\r\n", "\r"] {
        let stream = lf.replace('\n', ending);
        for size in 1..=stream.len() {
            assert_eq!(data(stream.as_bytes(), size), ["{\"a\":\n1}", "x"], "{ending:?} by {size}");
            let bytes: Vec<u8> =
                events(stream.as_bytes(), size).iter().flat_map(|e| e.bytes.to_vec()).collect();
            assert!(
                stream.as_bytes().starts_with(&bytes) && stream.len() - bytes.len() <= 1,
                "byte for byte"
            );
        }
    }
}

#[test]
fn mixed_line_endings_give_the_same_events_in_pieces_of_any_size() {
    let stream = b"data: a\r\ndata: b\n\rdata: c\r\rdata: d\n\ndata: e\r\n\r\n";
    for size in 1..=stream.len() {
        assert_eq!(data(stream, size), ["a\nb", "c", "d", "e"], "by {size}");
    }
}

#[test]
fn an_event_of_bare_crs_does_not_wait_for_the_next_byte() {
    assert_eq!(data(b"data: a\r\r", 100), ["a"]);
    let mut splitter = Events::new(100);
    splitter.push(b"data: a\r\n\r");
    assert_eq!(splitter.next_event(), Ok(None), "the LF is to come");
    splitter.push(b"\n");
    assert_eq!(&splitter.next_event().unwrap().unwrap().bytes[..], b"data: a\r\n\r\n");
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let stream = b"event: message\nid: 7\ndata\n\nid\ndata:  two spaces\nData: no\n\nid: a\0b\n\ndata:x";
    let found = events(stream, 7);
    assert_eq!(found.len(), 3, "what has no blank line behind it is no event");
    assert_eq!((found[0].data.as_deref(), found[0].id.as_deref()), (Some(&b""[..]), Some(&b"7"[..])));
    assert_eq!(found[0].kind.as_deref(), Some(&b"message"[..]));
    assert_eq!(
        (found[1].data.as_deref(), found[1].id.as_deref()),
        (Some(&b" two spaces"[..]), Some(&b""[..]))
    );
    assert_eq!((found[2].data.as_deref(), found[2].id.as_deref()), (None, None));
}

#[test]
fn an_event_over_the_limit_ends_the_stream() {
    for stream in [&b"data: 0123456789"[..], b"data: 0123456789\n\n"] {
        let mut splitter = Events::new(15);
        splitter.push(b"data: ok\n\n");
        assert!(splitter.next_event().unwrap().is_some());
        splitter.push(stream);
        assert_eq!(splitter.next_event(), Err(EventTooLarge(15)));
        splitter.push(b"data: ok\n\n");
        assert_eq!(splitter.next_event(), Err(EventTooLarge(15)));
    }
}

#[test]
fn many_small_events_at_once_are_not_one_large_one() {
    let mut splitter = Events::new(15);
    splitter.push(&b"data: ok\n\n".repeat(100));
    let mut count = 0;
    while splitter.next_event().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 100);
    assert!(splitter.rest().is_empty());
}

#[test]
fn new_data_keeps_the_other_lines_and_cannot_become_a_field() {
    let event = &events(b": note\nid: 7\ndata: old\ndata: older\nretry: 5\n\n", 50)[0];
    assert_eq!(&event.with_data(b"{}")[..], b": note\nid: 7\nretry: 5\ndata: {}\n\n");
    let forged = event.with_data(b"a\nevent: x\rid: 9\r\n\r\ndata: y");
    let seen = events(&forged, 3);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].data.as_deref(), Some(&b"a\nevent: x\nid: 9\n\ndata: y"[..]));
    assert_eq!((seen[0].id.as_deref(), seen[0].kind.as_deref()), (Some(&b"7"[..]), None));
}

#[test]
fn a_message_of_the_gate_is_one_event() {
    assert_eq!(&message(b"{}")[..], b"event: message\ndata: {}\n\n");
    assert_eq!(events(&message(b"a\r\n\r\nid: 1"), 5).len(), 1);
}

#[test]
fn a_bare_cr_never_goes_out() {
    let event = &events(b"id: \rdata: {\"forged\":1}\ndata: x\n\n", 50)[0];
    assert_eq!(event.data.as_deref(), Some(&b"{\"forged\":1}\nx"[..]), "the filter sees what clients see");
    assert_eq!(&event.passed()[..], b"id: \ndata: {\"forged\":1}\ndata: x\n\n");
    let plain = &events(b"id: 1\r\ndata: x\r\n\r\n", 50)[0];
    assert_eq!(plain.passed(), plain.bytes);
}

#[test]
fn only_the_first_event_may_have_a_byte_order_mark() {
    let found = events("data: a\n\n\u{feff}id: 3\n\u{feff}data: b\n\n".as_bytes(), 4);
    assert_eq!((found[1].data.as_deref(), found[1].id.as_deref()), (None, None));
    assert!(found[1].with_data(b"x").starts_with("\u{feff}id: 3\n".as_bytes()));
}
