//! What a file mentions: paths, child modules, words. Tokens are read and not items, because a macro's arguments are
//! tokens only, and code stands there too.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One thing that a file mentions.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) kind: Kind,
    /// Whether it is compiled for tests only.
    pub(crate) is_test: bool,
    /// The inline modules that it stands in.
    pub(crate) inside: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// `a::b`, with groups opened; in a `use` line with the name that it brings.
    Path {
        segments: Vec<String>,
        alias: Option<String>,
    },
    /// `mod name;`, and where its file is if a `path` attribute says so.
    Child { name: String, at: Option<String> },
    /// `unsafe`, `name!` or a string.
    Word(String),
}

/// Where the reader stands.
#[derive(Clone, Default)]
struct Place {
    is_test: bool,
    inside: Vec<String>,
}

pub(crate) fn read(text: &str, file: &str) -> Vec<Mention> {
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut mentions = Vec::new();
    stream(tokens, &Place::default(), &mut mentions);
    mentions
}

fn stream(tokens: TokenStream, place: &Place, out: &mut Vec<Mention>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    let (mut is_test, mut file) = (false, None);
    while at < tokens.len() {
        let here = Place {
            is_test: place.is_test || is_test,
            inside: place.inside.clone(),
        };
        if is_punct(tokens.get(at), '#') {
            let attribute = tokens
                .get(at + 1)
                .map(ToString::to_string)
                .unwrap_or_default();
            is_test |= attribute.replace(' ', "").starts_with("[cfg(test)");
            if attribute.starts_with("[path") {
                file = attribute.split('"').nth(1).map(str::to_owned);
            }
        }
        let (next, ends) = item(&tokens, at, &here, &mut file, out);
        if ends {
            is_test = false;
        }
        at = next;
    }
}

/// Reads what stands at `at`; where the next begins, and whether an item may have ended.
fn item(
    tokens: &[TokenTree],
    at: usize,
    here: &Place,
    file: &mut Option<String>,
    out: &mut Vec<Mention>,
) -> (usize, bool) {
    let mut push = |kind| {
        out.push(Mention {
            kind,
            is_test: here.is_test,
            inside: here.inside.clone(),
        });
    };
    match &tokens[at] {
        TokenTree::Ident(word) => match (
            word.to_string().as_str(),
            tokens.get(at + 1),
            tokens.get(at + 2),
        ) {
            ("mod", Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) => {
                let mut inner = here.clone();
                inner.inside.push(name.to_string());
                stream(body.stream(), &inner, out);
                (at + 3, true)
            }
            ("mod", Some(TokenTree::Ident(name)), Some(_)) => {
                push(Kind::Child {
                    name: name.to_string(),
                    at: file.take(),
                });
                (at + 3, true)
            }
            ("use", Some(_), _) => {
                let (next, paths) = path(tokens, at + 1, &[]);
                for (segments, alias) in paths {
                    push(Kind::Path {
                        segments,
                        alias: Some(alias),
                    });
                }
                (next, false)
            }
            // `pub(in a::b)` says who sees, not what is used.
            ("pub", Some(TokenTree::Group(_)), _) => (at + 2, false),
            (name, Some(TokenTree::Punct(mark)), Some(TokenTree::Group(_)))
                if mark.as_char() == '!' =>
            {
                push(Kind::Word(format!("{name}!")));
                (at + 2, false)
            }
            ("unsafe", ..) => {
                push(Kind::Word("unsafe".to_owned()));
                (at + 1, false)
            }
            _ => {
                let (next, paths) = path(tokens, at, &[]);
                for (segments, _) in paths {
                    push(Kind::Path {
                        segments,
                        alias: None,
                    });
                }
                (next, false)
            }
        },
        TokenTree::Group(group) => {
            stream(group.stream(), here, out);
            (at + 1, group.delimiter() == Delimiter::Brace)
        }
        TokenTree::Literal(literal) => {
            push(Kind::Word(literal.to_string()));
            (at + 1, false)
        }
        TokenTree::Punct(mark) => (at + 1, mark.as_char() == ';'),
    }
}

/// The paths that begin at `at`, each with its last name, and where they end.
fn path(
    tokens: &[TokenTree],
    mut at: usize,
    prefix: &[String],
) -> (usize, Vec<(Vec<String>, String)>) {
    let mut segments = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) => segments.push(word.to_string()),
            Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Brace && segments.len() > prefix.len() =>
            {
                return (at + 1, branches(group.stream(), &segments));
            }
            _ => return (at + 1, named(segments)),
        }
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
    }
    match (tokens.get(at), tokens.get(at + 1)) {
        (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(alias))) if word == "as" => {
            (at + 2, vec![(segments, alias.to_string())])
        }
        _ => (at, named(segments)),
    }
}

fn named(segments: Vec<String>) -> Vec<(Vec<String>, String)> {
    let last = segments.last().cloned();
    last.map(|name| (segments, name)).into_iter().collect()
}

/// The paths of a group, `{a, b::c, self}`.
fn branches(group: TokenStream, prefix: &[String]) -> Vec<(Vec<String>, String)> {
    let tokens: Vec<TokenTree> = group.into_iter().collect();
    let mut found = Vec::new();
    for branch in tokens
        .split(|token| is_punct(Some(token), ','))
        .filter(|branch| !branch.is_empty())
    {
        let is_self = matches!(&branch[0], TokenTree::Ident(word) if word == "self");
        if is_self {
            found.extend(named(prefix.to_vec()));
        } else {
            found.extend(path(branch, 0, prefix).1);
        }
    }
    found
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}
