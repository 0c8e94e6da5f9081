//! All that the operator's commands print. People get tables and sentences, machines one JSON document on stdout.
//!
//! Texts that come from outside (contact names, messages, error details) may hold control characters that would steer a
//! terminal; nothing is printed to people before those are taken out.

mod json;
mod table;

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

pub(crate) use self::table::{Table, record};

/// The sign for "nothing here".
pub(crate) const NOTHING: &str = "-";

/// Prints lines for people on stdout.
pub(crate) fn lines(text: &str) -> io::Result<()> {
    let mut safe = plain(text);
    safe.push('\n');
    write(&mut stdout(), &safe)
}

/// Prints a JSON text on stdout as it came, indented.
pub(crate) fn document(json: &str) -> io::Result<()> {
    let mut text = json::indent(json);
    text.push('\n');
    write(&mut stdout(), &text)
}

/// Prints a JSON value on stdout in one line. Here a closed pipe is an error: there is no sense in going on.
pub(crate) fn json_line(value: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    let mut stdout = stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Tells people something beside the result, on stderr.
pub(crate) fn note(text: &str) {
    let mut safe = plain(text);
    safe.push('\n');
    // Whoever closed stderr does not want to know.
    let _ = write(&mut stderr(), &safe);
}

/// Tells why nothing came of a command, on stderr.
pub(crate) fn failure(error: &anyhow::Error) {
    // Our own HTTP errors already say their cause in one sentence.
    let text = match error.downcast_ref::<crate::client::Error>() {
        Some(error) => error.to_string(),
        None => format!("{error:#}"),
    };
    note(&format!("error: {text}"));
}

/// `text` without characters that would steer a terminal; lines stay lines.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_steering(c) { '\u{fffd}' } else { c }).collect()
}

/// The same for a text that must stay within one line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect()
}

/// A JSON value as people write it: no quotes, lists separated by commas.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A reader that has read enough (`| head`) closes the pipe; that is no failure of ours.
fn write(to: &mut impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(not(test))]
fn stdout() -> impl Write {
    io::stdout().lock()
}

#[cfg(not(test))]
fn stderr() -> impl Write {
    io::stderr().lock()
}

/// Nobody reads what commands print under test.
#[cfg(test)]
fn stdout() -> impl Write {
    io::sink()
}

#[cfg(test)]
fn stderr() -> impl Write {
    io::sink()
}

fn is_steering(c: char) -> bool {
    // Beside the control characters: marks that turn the direction of the text around them.
    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_contact_cannot_steer_the_terminal_with_its_name() {
        assert_eq!(plain("Ana\u{1b}[2J\u{7}\nBeto \u{202e}x"), "Ana\u{fffd}[2J\u{fffd}\nBeto \u{fffd}x");
        assert_eq!(one_line("a\nb\tc"), "a b c");
        assert_eq!(plain("José 日本 😀"), "José 日本 😀");
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_other_failures_are_not() {
        struct Fails(ErrorKind);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(write(&mut Fails(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write(&mut Fails(ErrorKind::StorageFull), "x").is_err());
    }

    #[test]
    fn values_are_shown_without_the_punctuation_of_json() {
        for (value, expected) in
            [(json!(null), "-"), (json!("a"), "a"), (json!(["a", 1]), "a, 1"), (json!([]), "-"), (json!(2.5), "2.5")]
        {
            assert_eq!(shown(&value), expected);
        }
    }
}
