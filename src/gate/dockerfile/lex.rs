//! Variables and quotes of one word, as the engine's builder resolves them.

use std::iter::Peekable;
use std::str::Chars;

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Set(String),
    Unset,
    /// It may have any value: the base image can set it.
    Unknown,
}

/// A word, resolved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether it held a variable.
    pub(super) is_variable: bool,
    /// Whether a variable of it may have any value; then the text ends before it.
    pub(super) is_open: bool,
}

/// No word of a Dockerfile that builds is longer: values that hold values grow without bound.
const LONGEST: usize = 64 * 1024;
/// `${a:-${b:-…}}`
const DEEPEST: usize = 32;

impl Word {
    fn push(&mut self, sign: char) {
        if self.has_room(sign.len_utf8()) {
            self.text.push(sign);
        }
    }

    /// What grows beyond the bound may be anything, as if the base image set it.
    fn has_room(&mut self, more: usize) -> bool {
        self.is_open |= self.text.len() + more > LONGEST;
        !self.is_open
    }

    fn append(&mut self, other: &Self) {
        if self.has_room(other.text.len()) {
            self.text.push_str(&other.text);
        }
        self.is_open |= other.is_open;
        self.is_variable |= other.is_variable;
    }
}

type Get<'a> = &'a dyn Fn(&str) -> Value;

/// Resolves a word, or says why it cannot be.
pub(super) fn expand(text: &str, escape: char, get: Get<'_>) -> Result<Word, String> {
    let mut reader = Reader {
        signs: text.chars().peekable(),
        escape,
        get,
        depth: 0,
    };
    reader.until(None)
}

struct Reader<'a> {
    signs: Peekable<Chars<'a>>,
    escape: char,
    get: Get<'a>,
    depth: usize,
}

impl Reader<'_> {
    fn until(&mut self, stop: Option<char>) -> Result<Word, String> {
        let mut word = Word::default();
        while let Some(sign) = self.signs.next() {
            match sign {
                _ if Some(sign) == stop => return Ok(word),
                '\'' => self.single(&mut word)?,
                '"' => self.double(&mut word)?,
                '$' => word.append(&self.dollar()?),
                _ if sign == self.escape => {
                    if let Some(next) = self.signs.next() {
                        word.push(next);
                    }
                }
                _ => word.push(sign),
            }
        }
        match stop {
            Some(stop) => Err(format!("a {stop} is missing: add it")),
            None => Ok(word),
        }
    }

    fn single(&mut self, word: &mut Word) -> Result<(), String> {
        for sign in self.signs.by_ref() {
            if sign == '\'' {
                return Ok(());
            }
            word.push(sign);
        }
        Err("a quote is not closed: close it".to_owned())
    }

    fn double(&mut self, word: &mut Word) -> Result<(), String> {
        while let Some(sign) = self.signs.next() {
            match sign {
                '"' => return Ok(()),
                '$' => word.append(&self.dollar()?),
                _ if sign == self.escape => match self.signs.peek().copied() {
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                        self.signs.next();
                        word.push(next);
                    }
                    Some(_) => word.push(sign),
                    None => {}
                },
                _ => word.push(sign),
            }
        }
        Err("a quote is not closed: close it".to_owned())
    }

    /// What stands behind a `$`.
    fn dollar(&mut self) -> Result<Word, String> {
        if self.signs.peek() != Some(&'{') {
            let name = self.name();
            if name.is_empty() {
                return Ok(Word {
                    text: "$".to_owned(),
                    ..Word::default()
                });
            }
            return Ok(known((self.get)(&name)));
        }
        self.signs.next();
        let name = self.name();
        let unclear = || {
            format!("the variable ${{{name}…}} cannot be resolved here: give the whole text an ARG")
        };
        if name.is_empty() {
            return Err(unclear());
        }
        let mut rule = self.signs.next();
        let is_strict = rule == Some(':');
        if is_strict {
            rule = self.signs.next();
        }
        match rule {
            Some('}') if !is_strict => Ok(known((self.get)(&name))),
            Some(rule @ ('-' | '+' | '?')) => {
                if self.depth == DEEPEST {
                    return Err(unclear());
                }
                self.depth += 1;
                let other = self.until(Some('}'))?;
                self.depth -= 1;
                self.ruled(&name, (rule, is_strict), other)
            }
            _ => Err(unclear()),
        }
    }

    fn ruled(&self, name: &str, rule: (char, bool), other: Word) -> Result<Word, String> {
        let (rule, is_strict) = rule;
        let is_there = match (self.get)(name) {
            Value::Unknown => return Ok(known(Value::Unknown)),
            Value::Set(text) => !is_strict || !text.is_empty(),
            Value::Unset => false,
        };
        let other = Word {
            is_variable: true,
            ..other
        };
        match (rule, is_there) {
            ('-', false) | ('+', true) => Ok(other),
            ('-' | '?', true) => Ok(known((self.get)(name))),
            ('?', false) => Err(format!("the variable {name} has no value: give it one")),
            (_, _) => Ok(known(Value::Unset)),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(sign) = self.signs.peek().copied() {
            let is_special = name.is_empty() && "@*#?-$!".contains(sign);
            let is_number = name.starts_with(char::is_numeric);
            if !(is_special
                || sign.is_numeric()
                || (!is_number && (sign.is_alphabetic() || sign == '_')))
            {
                break;
            }
            name.push(sign);
            self.signs.next();
            if is_special {
                break;
            }
        }
        name
    }
}

fn known(value: Value) -> Word {
    Word {
        is_variable: true,
        is_open: value == Value::Unknown,
        text: match value {
            Value::Set(text) => text,
            Value::Unset | Value::Unknown => String::new(),
        },
    }
}
