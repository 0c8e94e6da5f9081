//! Reads server-sent events out of bytes that arrive in pieces (WHATWG HTML, "Server-sent events").
//!
//! Only `event` and `data` are read: what a connection resumes from is the revision inside the data.

/// A line this long is no event of ours; without a bound a broken server would fill the memory.
const LONGEST_EVENT: usize = 1024 * 1024;

/// An event too long to be one of ours.
#[derive(Debug, thiserror::Error)]
#[error("the event stream sent an event of more than {LONGEST_EVENT} bytes")]
pub(super) struct TooLong;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; `message` if none is given.
    pub name: String,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// What has arrived of the next event.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    name: String,
    data: Vec<String>,
    size: usize,
    /// The last byte was a carriage return: a line feed after it belongs to the same line end.
    after_return: bool,
}

impl Parser {
    /// Takes in more bytes and gives the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends_line = match byte {
                b'\n' if self.after_return => false,
                b'\n' | b'\r' => true,
                _ => {
                    self.size += 1;
                    self.line.push(byte);
                    false
                }
            };
            self.after_return = byte == b'\r';
            if ends_line {
                events.extend(self.end_line());
            }
            if self.size > LONGEST_EVENT {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{feff}') {
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push(value.to_owned()),
            // A comment, which keeps the line alive, or a field that is of no use here.
            _ => {}
        }
        None
    }

    /// An empty line ends an event; one without data is none.
    fn dispatch(&mut self) -> Option<Event> {
        self.size = 0;
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let name = if name.is_empty() { "message".to_owned() } else { name };
        (!data.is_empty()).then(|| Event { name, data: data.join("\n") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_come_out_the_same_however_their_bytes_are_cut() {
        let text = "\u{feff}: hello\n\nid: 7\nevent: status\ndata: {\"a\":\ndata:  é}\n\nretry: 5\r\n\r\ndata\r\rdata:x\r\n\r\n";
        let expected = [event("status", "{\"a\":\n é}"), event("message", ""), event("message", "x")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size);
            let events: Vec<_> = pieces.flat_map(|piece| parser.push(piece).unwrap()).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_that_is_cut_off_is_not_one() {
        let mut parser = Parser::default();
        assert!(parser.push(b"event: status\ndata: {}\n").unwrap().is_empty());
        assert_eq!(parser.push(b"\n").unwrap(), [event("status", "{}")]);
    }

    #[test]
    fn an_event_without_an_end_is_refused_before_it_fills_the_memory() {
        let mut parser = Parser::default();
        let piece = [b'x'; 4096];
        let refused = (0..1_000).find(|_| parser.push(&piece).is_err());
        assert_eq!(refused, Some(LONGEST_EVENT / 4096));
    }

    #[test]
    fn comments_without_end_are_no_event_that_grows() {
        let mut parser = Parser::default();
        for _ in 0..200_000 {
            assert!(parser.push(b": still here\n\n").unwrap().is_empty());
        }
    }
}
