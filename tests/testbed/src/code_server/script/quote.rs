//! ANSI-C quoting, the one form of text that bash, busybox and ksh all read alike.

use std::fmt::Write as _;

/// The text as one shell word: as it stands if nothing in it is special, else as `$'…'`.
pub fn quote(text: &str) -> String {
    if text.is_empty() {
        return "''".to_owned();
    }
    let mut quoted = String::with_capacity(text.len() * 2);
    let mut is_plain = true;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b',' | b'-' | b'.' | b'/' | b'@' | b'_' => {
                quoted.push(char::from(byte));
            }
            other => {
                is_plain = false;
                push_special(&mut quoted, other);
            }
        }
    }
    if is_plain {
        quoted
    } else {
        format!("$'{quoted}'")
    }
}

fn push_special(quoted: &mut String, byte: u8) {
    let named = match byte {
        0x07 => 'a',
        0x08 => 'b',
        b'\t' => 't',
        b'\n' => 'n',
        0x0b => 'v',
        0x0c => 'f',
        b'\r' => 'r',
        b'\'' => '\'',
        b'\\' => '\\',
        b' '..=b'~' => return quoted.push(char::from(byte)),
        other => {
            // Writing to a string cannot fail.
            let _ = write!(quoted, "\\x{other:02x}");
            return;
        }
    };
    quoted.push('\\');
    quoted.push(named);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::quote;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(quote(text), expected);
    }

    #[test]
    fn only_what_needs_quotes_is_quoted() {
        check("", "''");
        check("job-token-1001", "job-token-1001");
        check(
            "/builds/copublic/test_server1",
            "/builds/copublic/test_server1",
        );
        check("alpine:latest", "$'alpine:latest'");
        check("it's", r"$'it\'s'");
        check("a\nb\x1b", r"$'a\nb\x1b'");
        check("版", r"$'\xe7\x89\x88'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_shell_reads_back_what_was_quoted(text in "[^\\x00]{0,40}") {
            for shell in [&["bash"][..], &["busybox", "ash"]] {
                let script = format!("printf %s {}", quote(&text));
                let output =
                    Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(script).output();
                let Ok(output) = output else { continue };
                prop_assert_eq!(String::from_utf8_lossy(&output.stdout), text.as_str());
            }
        }
    }
}
