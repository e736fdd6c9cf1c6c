//! Hides what looks like a password in a line that somebody else wrote. Pure.
//!
//! A runner masks the variables it knows in a job's log; of what a container in production writes it
//! knows nothing, and a report is a file that no runner looks into.

const HIDDEN: &str = "[MASKED]";
/// What follows a name that holds one of these is hidden.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "credential",
];
/// What follows one of these words is hidden.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// The line without values of passwords, tokens, keys, and accounts in addresses.
pub(crate) fn masked(line: &str) -> String {
    without_assigned(&without_accounts(line))
}

/// `scheme://user:password@host` loses what stands before the `@`.
fn without_accounts(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        text.push_str(before);
        text.push_str("://");
        let is_end = |c: char| c.is_whitespace() || "/?#\"'<>".contains(c);
        let end = after.find(is_end).unwrap_or(after.len());
        let (authority, others) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => text.extend([HIDDEN, "@", host]),
            None => text.push_str(authority),
        }
        rest = others;
    }
    text + rest
}

/// A value after the name of a secret, or after the scheme of an authorization.
fn without_assigned(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    loop {
        let is_sign = |c: char| c.is_alphanumeric() || "_-".contains(c);
        let Some(start) = rest.find(is_sign) else {
            return text + rest;
        };
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_sign(c)).unwrap_or(from.len());
        let (name, after) = from.split_at(end);
        text.extend([before, name]);
        rest = after;
        if let Some(value) = value_behind(name, after) {
            text.push_str(&after[..value.start]);
            text.push_str(HIDDEN);
            rest = &after[value.end..];
        }
    }
}

/// Where in `after` the value of that name stands.
fn value_behind(name: &str, after: &str) -> Option<std::ops::Range<usize>> {
    let name = name.to_ascii_lowercase();
    let is_scheme = SCHEMES.contains(&name.as_str());
    let is_secret = NAMES.iter().any(|it| name.contains(it)) || name == "authorization";
    if !is_scheme && !is_secret {
        return None;
    }
    // `"password": "x"`, `password=x`, `Bearer x`.
    let gap = after.len() - after.trim_start_matches(|c: char| " \"'".contains(c)).len();
    let has_sign = after[gap..].starts_with([':', '=']);
    let is_spaced = is_scheme && gap > 0;
    if !(has_sign || is_spaced) {
        return None;
    }
    let begin = gap + usize::from(has_sign);
    let value = after[begin..].trim_start();
    let start = after.len() - value.len();
    let quote = value.chars().next().filter(|c| "\"'".contains(*c));
    let start = start + usize::from(quote.is_some());
    let value = &after[start..];
    let is_end = |c: char| match quote {
        Some(quote) => c == quote,
        None => c.is_whitespace() || "&,;)}]\"'".contains(c),
    };
    // `Authorization: Bearer x`: the scheme's word is no value.
    let first = value.find(is_end).unwrap_or(value.len());
    let is_word = SCHEMES.contains(&value[..first].to_ascii_lowercase().as_str());
    // "basic settings" is no authorization.
    let least = if has_sign { 1 } else { 8 };
    (first >= least && !is_word).then_some(start..start + first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: &str) {
        assert_eq!(masked(line), expect);
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        check(
            "DB_PASSWORD=hunter2 HOST=db",
            "DB_PASSWORD=[MASKED] HOST=db",
        );
        check(
            r#"{"user":"a","password": "hun ter2","n":1}"#,
            r#"{"user":"a","password": "[MASKED]","n":1}"#,
        );
        check(
            "cannot reach redis://:pa55@redis:6379/0 and mysql://root:x@db",
            "cannot reach redis://[MASKED]@redis:6379/0 and mysql://[MASKED]@db",
        );
        check(
            "Authorization: Bearer abc.def-1, next",
            "Authorization: Bearer [MASKED], next",
        );
        check(
            "access-key-secret = 'a b' x",
            "access-key-secret = '[MASKED]' x",
        );
        check("?token=abc&x=1", "?token=[MASKED]&x=1");
    }

    #[test]
    fn what_does_not_is_left() {
        for line in [
            "password authentication failed for user \"app\"",
            "listening on http://0.0.0.0:3131/health",
            "the token has expired",
            "mail to root@example.com",
            "口令错误: user=root",
            "token=",
        ] {
            check(line, line);
        }
    }
}
