//! A few characters of somebody else's text, fit for a log line and a status page.

/// How much of an answer is shown.
pub(crate) const BODY: usize = 120;
/// How much is kept of an answer that nobody understands, and of one that says no more than that an order was taken: whoever wants to know
/// why reads it.
pub(crate) const KEPT: usize = 2_000;
/// How much of an error text is shown.
pub(crate) const CAUSE: usize = 200;

/// The beginning of a text in one line: at most `most` characters, runs of blanks and control characters made one space.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    // Blanks may run long; what lies behind them is not worth the search.
    let window = text.char_indices().nth(most * 8).map_or(text, |(end, _)| &text[..end]);
    let mut line = window.split(is_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let shortened = window.len() < text.len();
    if let Some((end, _)) = line.char_indices().nth(most) {
        line.truncate(end);
    } else if !shortened {
        return line;
    }
    // The mark takes the place of the last character, so that the bound holds.
    if line.chars().count() == most {
        line.pop();
    }
    line.push('…');
    line
}

/// Blanks, control characters, and the invisible ones that turn a line around.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line_without_control_characters() {
        assert_eq!(excerpt("<html>\r\n\t<h1>502\u{1b}[31m\0Bad</h1>", 80), "<html> <h1>502 [31m Bad</h1>");
        let long = excerpt(&"é".repeat(500), BODY);
        assert_eq!(long.chars().count(), BODY);
        assert!(long.ends_with('…'));
        assert_eq!(excerpt(&"x".repeat(BODY), BODY), "x".repeat(BODY));
        assert_eq!(excerpt("", BODY), "");
        assert_eq!(excerpt(&" ".repeat(10_000), BODY), "…");
    }
}
