//! Names that a job gives to its containers, networks and volumes are its own: in the engine each begins with
//! the job's key, and no answer shows that. So two jobs may both have a container `web`, and none takes a name
//! from somebody else.
//!
//! Pure.

use serde_json::{Map, Value, json};

/// A container that compose makes beside the one that it replaces has so many digits and `_` before its name.
const REPLACING: usize = 12;

/// The names of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    prefix: String,
}

impl Alias {
    /// For the job with this key.
    pub(crate) fn new(key: &str) -> Self {
        Self {
            prefix: format!("dockmaster-{key}."),
        }
    }

    /// What the engine calls a thing to which the job gives this name; no name stays none.
    pub(crate) fn inner(&self, name: &str) -> String {
        match name.strip_prefix('/').unwrap_or(name) {
            "" => String::new(),
            name => format!("{}{name}", self.prefix),
        }
    }

    /// What the job calls a thing that has this name in the engine.
    pub(crate) fn shown<'a>(&self, name: &'a str) -> &'a str {
        let name = name.trim_start_matches('/');
        name.strip_prefix(&self.prefix).unwrap_or(name)
    }

    /// Whether a container of a list was made through the job's gate, by its names. A label may come from
    /// its image.
    pub(crate) fn is_given(&self, container: &Value) -> bool {
        let names = container["Names"].as_array().into_iter().flatten();
        let mut names = names.filter_map(Value::as_str);
        names.any(|name| {
            let given = name.trim_start_matches('/').strip_prefix(&self.prefix);
            // A name with `/` is a link to it from another container.
            given.is_some_and(|given| !given.contains('/'))
        })
    }

    /// Takes the job's key out of all that the engine says.
    pub(crate) fn hide(&self) -> Hide {
        Hide {
            word: self.prefix.clone().into_bytes(),
            held: Vec::new(),
        }
    }

    /// Filters of a list, written for the names that the engine has.
    pub(crate) fn filters(&self, text: &str) -> String {
        let Ok(Value::Object(all)) = serde_json::from_str(text) else {
            return text.to_owned();
        };
        let all = all.into_iter().map(|(key, values)| {
            let words = values.as_object().into_iter().flat_map(Map::keys);
            let word = |word: &String| (self.filter(&key, word), json!(true));
            let values: Map<String, Value> = words.map(word).collect();
            (key, Value::Object(values))
        });
        Value::Object(all.collect()).to_string()
    }

    fn filter(&self, key: &str, word: &str) -> String {
        let is_id = word.len() >= REPLACING && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        match key {
            // An expression. One that is not bound to the name's start finds it behind the key, too.
            "name" => {
                let (start, rest) = match word.strip_prefix("^/") {
                    Some(rest) => ("^/", rest),
                    None => match word.strip_prefix('^') {
                        Some(rest) => ("^", rest),
                        None => return word.to_owned(),
                    },
                };
                let prefix = self.prefix.replace('.', "[.]");
                format!("{start}{prefix}{rest}")
            }
            "container" | "network" | "volume" | "before" | "since"
                if !is_id && !word.starts_with("dockmaster") && !is_path(word) =>
            {
                self.inner(word)
            }
            _ => word.to_owned(),
        }
    }
}

/// A volume is also looked for by where it is mounted.
fn is_path(word: &str) -> bool {
    word.len() > 1 && word.starts_with('/') && word[1..].contains('/')
}

/// The names under which other containers find one of this name.
pub(crate) fn known_as(name: &str) -> Vec<&str> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let replacing = name.split_once('_').filter(|(digits, rest)| {
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        digits.len() == REPLACING && digits.bytes().all(is_digit) && !rest.is_empty()
    });
    let all = [name].into_iter().chain(replacing.map(|(_, rest)| rest));
    all.filter(|name| !name.is_empty()).collect()
}

/// Adds names under which others in a network find a container.
pub(crate) fn add(settings: &mut Map<String, Value>, names: &[String]) {
    let mut known = settings
        .get("Aliases")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for name in names {
        if !known.iter().any(|other| other == name.as_str()) {
            known.push(json!(name));
        }
    }
    if !known.is_empty() {
        settings.insert("Aliases".to_owned(), Value::Array(known));
    }
}

/// Takes a word out of a stream, however that is cut.
#[derive(Debug)]
pub(crate) struct Hide {
    word: Vec<u8>,
    /// The end of what came so far, as far as it may be the word's beginning.
    held: Vec<u8>,
}

impl Hide {
    /// Takes the next bytes; hands out what may be shown by now.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        while let Some(first) = rest.first() {
            if *first == self.word[0] {
                if let Some(behind) = rest.strip_prefix(self.word.as_slice()) {
                    rest = behind;
                    continue;
                }
                if self.word.starts_with(rest) {
                    self.held = rest.to_vec();
                    break;
                }
            }
            shown.push(*first);
            rest = &rest[1..];
        }
        shown
    }

    /// What is left when nothing more comes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias() -> Alias {
        Alias::new("p7-j1-abcdef")
    }

    #[test]
    fn a_name_is_the_job_s_in_the_engine_and_plain_in_the_job() {
        let inner = alias().inner("/web");
        assert_eq!(inner, "dockmaster-p7-j1-abcdef.web");
        assert_eq!(alias().shown(&format!("/{inner}")), "web");
        assert_eq!(alias().shown("/angry_bohr"), "angry_bohr");
        assert_eq!(
            alias().shown("dockmaster-p7-j12-abcdef.web"),
            "dockmaster-p7-j12-abcdef.web"
        );
        assert_eq!(alias().inner(""), "");
    }

    #[test]
    fn a_container_is_the_job_s_by_its_own_name() {
        let check = |names: Value, expect| {
            assert_eq!(
                alias().is_given(&json!({ "Names": names })),
                expect,
                "{names}"
            );
        };
        check(json!(["/app/db", "/dockmaster-p7-j1-abcdef.web"]), true);
        check(json!(["/db", "/dockmaster-p7-j1-abcdef.web/db"]), false);
        check(json!(["/dockmaster-p7-j12-abcdef.web"]), false);
        check(json!(["/production"]), false);
        check(Value::Null, false);
    }

    #[test]
    fn the_key_is_hidden_however_the_stream_is_cut() {
        let text = r#"{"Names":["/dockmaster-p7-j1-abcdef.web","/dockmaster-p7-j1-abcdef.web/db"],"a":"dockmaster-p7"}"#;
        let expect = r#"{"Names":["/web","/web/db"],"a":"dockmaster-p7"}"#;
        for size in 1..text.len() {
            let mut hide = alias().hide();
            let mut shown: Vec<u8> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| hide.take(chunk))
                .collect();
            shown.extend(hide.rest());
            assert_eq!(
                String::from_utf8(shown).unwrap(),
                expect,
                "in chunks of {size}"
            );
        }
    }

    #[test]
    fn nothing_is_held_back_that_cannot_be_the_key() {
        let mut hide = alias().hide();
        assert_eq!(
            hide.take(b"{\"status\":\"d\"}\r\n"),
            b"{\"status\":\"d\"}\r\n"
        );
        assert_eq!(hide.take(b"dock"), b"");
        assert_eq!(hide.rest(), b"dock");
    }

    #[test]
    fn a_container_that_replaces_another_is_found_under_its_name() {
        assert_eq!(known_as("web"), ["web"]);
        assert_eq!(
            known_as("0123456789ab_shop-web-1"),
            ["0123456789ab_shop-web-1", "shop-web-1"]
        );
        assert_eq!(known_as("shop_web_1"), ["shop_web_1"]);
        assert!(known_as("").is_empty());
    }

    #[test]
    fn filters_are_written_for_the_names_that_the_engine_has() {
        let given = r#"{"label":{"a=web":true},"name":{"^/web$":true,"^web":true,"eb":true},
            "network":{"net":true,"0123456789abcdef":true},"volume":{"/data/x":true,"data":true}}"#;
        let expect = json!({
            "label": { "a=web": true },
            "name": { "^/dockmaster-p7-j1-abcdef[.]web$": true, "^dockmaster-p7-j1-abcdef[.]web": true, "eb": true },
            "network": { "dockmaster-p7-j1-abcdef.net": true, "0123456789abcdef": true },
            "volume": { "/data/x": true, "dockmaster-p7-j1-abcdef.data": true },
        });
        let written: Value = serde_json::from_str(&alias().filters(given)).unwrap();
        assert_eq!(written, expect);
    }
}
