//! Short texts that people give and that are stored and shown as they are.

use crate::problem::{Code, Problem};

/// A text without space around it, of 1 to `longest` characters, none of them a control character.
pub(crate) fn line(field: &'static str, text: &str, longest: usize) -> Result<String, Problem> {
    let refused = |detail: String| Err(Problem::of(Code::InvalidValue, field, detail));
    let text = text.trim();
    if text.is_empty() {
        return refused("must not be empty".to_owned());
    }
    if text.chars().nth(longest).is_some() {
        return refused(format!("must have at most {longest} characters"));
    }
    if text.chars().any(char::is_control) {
        return refused("must not hold control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_trimmed_bounded_and_free_of_control_characters() {
        assert_eq!(line("name", "  Suporte é  ", 9).unwrap(), "Suporte é");
        for bad in ["", "   ", "0123456789", "a\u{0}b", "a\nb"] {
            let problem = line("name", bad, 9).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidValue, Some("name")), "{bad:?}");
        }
    }
}
