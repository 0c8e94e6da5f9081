//! Indents a JSON text without reading it into values: the order of its fields and its numbers stay as they came.

/// `json` over several lines, two spaces per level. A text that is no JSON comes out readable, not refused.
pub(super) fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json.trim().chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                out.push(c);
                copy_string(&mut rest, &mut out);
            }
            '{' | '[' => {
                out.push(c);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn copy_string(rest: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(c) = rest.next() {
        out.push(c);
        match c {
            '"' => return,
            '\\' => out.extend(rest.next()),
            _ => {}
        }
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_and_strings_stay_as_they_came() {
        let json = r#" {"z":1.10,"a" : [ ] ,"b":{},"s":"{\"x\": [1,2]}\\","n":[{"k":null},12345678901234567890]} "#;
        let indented = indent(json);
        assert_eq!(
            indented,
            "{\n  \"z\": 1.10,\n  \"a\": [],\n  \"b\": {},\n  \"s\": \"{\\\"x\\\": [1,2]}\\\\\",\n  \"n\": [\n    {\n      \
             \"k\": null\n    },\n    12345678901234567890\n  ]\n}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&indented).unwrap(),
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        assert_eq!(indent(""), "");
        assert_eq!(indent("}]"), "\n}\n]");
        assert_eq!(indent("\"open"), "\"open");
    }
}
