//! Refuses a query whose brackets are nested too deeply, before the parser sees it. The parser calls itself once for each
//! bracket, so such a query could use up its stack.

/// A query of depth 10 has 11 braces inside each other. Inline fragments add some.
const DEEPEST: usize = 32;

/// Which brackets are nested too deeply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooNested {
    /// Braces: selections, or objects in arguments.
    Braces,
    /// Lists in arguments or types.
    Lists,
}

/// Reads the text once. Brackets in strings and comments do not count.
pub(super) fn check(query: &str) -> Result<(), TooNested> {
    let (mut braces, mut lists) = (0_usize, 0_usize);
    let mut rest = query.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'{' => braces += 1,
            b'}' => braces = braces.saturating_sub(1),
            b'[' | b'(' => lists += 1,
            b']' | b')' => lists = lists.saturating_sub(1),
            b'#' => rest = after_comment(after),
            b'"' => rest = after_string(after),
            _ => {}
        }
        if braces > DEEPEST {
            return Err(TooNested::Braces);
        }
        if lists > DEEPEST {
            return Err(TooNested::Lists);
        }
    }
    Ok(())
}

fn after_comment(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
    &text[end..]
}

/// `text` begins after the first quote. A string that does not end hides no bracket: the rest is read as if it had ended at
/// its line, and the parser refuses it.
fn after_string(text: &[u8]) -> &[u8] {
    if let [b'"', b'"', block @ ..] = text {
        return after_block(block);
    }
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        match byte {
            b'"' => return after,
            b'\n' | b'\r' => return rest,
            b'\\' => rest = after.get(1..).unwrap_or_default(),
            _ => rest = after,
        }
    }
    rest
}

fn after_block(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while !rest.is_empty() {
        match rest {
            [b'\\', b'"', b'"', b'"', after @ ..] | [_, after @ ..] if !rest.starts_with(b"\"\"\"") => rest = after,
            [_, _, _, after @ ..] => return after,
            _ => return &[],
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_brackets_count() {
        let deep = |open: &str, close: &str, count: usize| format!("{}{}", open.repeat(count), close.repeat(count));
        for (query, answer) in [
            (deep("{a", "}", 32), Ok(())),
            (deep("{a", "}", 33), Err(TooNested::Braces)),
            (deep("{a", "", 8000), Err(TooNested::Braces)),
            (format!("{{a(b: {})}}", deep("[", "]", 31)), Ok(())),
            (format!("{{a(b: {})}}", deep("[", "]", 32)), Err(TooNested::Lists)),
            (format!("{{a(b: \"{}\")}}", deep("[", "]", 100)), Ok(())),
            (format!("{{a(b: \"\\\"{}\")}}", deep("{", "}", 100)), Ok(())),
            (format!("{{a(b: \"\"\"\n{} \\\"\"\" \" {}\"\"\")}}", deep("{", "", 40), deep("[", "", 40)), Ok(())),
            (format!("# {}\n{{a}}", deep("{", "", 100)), Ok(())),
            (format!("# {{\r{}", deep("{", "", 100)), Err(TooNested::Braces)),
            (format!("\"open {}\n{}", deep("[", "", 40), deep("{", "", 40)), Err(TooNested::Braces)),
            ("}}}}]]])))".repeat(100), Ok(())),
            ("\"\\".to_owned(), Ok(())),
            ("\"\"\"\\\"\"".to_owned(), Ok(())),
        ] {
            assert_eq!(check(&query), answer, "{query:.60}");
        }
    }
}
