//! Answers in Harbor's own form, and requests as its core reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Asked;
use crate::machine;

/// An answer before it is written.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    /// No body, and so no kind of one.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// JSON of the API, its keys sorted and its end a new line.
    pub(super) fn json(value: &Value) -> Self {
        Self::text(200, "application/json", format!("{value}\n"))
    }

    pub(super) fn text(status: u16, kind: &str, text: impl Into<String>) -> Self {
        let mut answer = Self::empty(status).header("Content-Type", kind);
        answer.body = text.into().into();
        answer
    }

    /// Any status of 500 and more says nothing of what happened.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = if status >= 500 {
            ("UNKNOWN", "internal server error")
        } else {
            (code, message)
        };
        let body = json!({ "errors": [{ "code": code, "message": message }] });
        let kind = "application/json; charset=utf-8";
        Self::text(status, kind, format!("{body}\n"))
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::error(400, "BAD_REQUEST", message)
    }

    pub(super) fn unprocessable(message: &str) -> Self {
        let message = format!("validation failure list:\n{message}");
        Self::error(422, "UNPROCESSABLE_ENTITY", &message)
    }

    pub(super) fn missing(message: &str) -> Self {
        Self::error(404, "NOT_FOUND", message)
    }

    /// No right on a project, known or not.
    pub(super) fn forbidden(is_known: bool) -> Self {
        if is_known {
            Self::error(403, "FORBIDDEN", "forbidden")
        } else {
            Self::error(401, "UNAUTHORIZED", "unauthorized")
        }
    }

    pub(super) fn read_only() -> Self {
        let text = "The system is in read only mode. Any modification is prohibited.";
        Self::error(403, "DENIED", text)
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A new session on every answer, refused or not.
    pub(super) fn with_session(self) -> Self {
        let id = machine::random(16).unwrap_or_default();
        let request = machine::random(16).unwrap_or_default();
        self.header("Set-Cookie", format!("sid={id}; Path=/; HttpOnly"))
            .header("X-Request-Id", request)
    }

    /// One page of rows.
    pub(super) fn page(asked: &Asked, rows: &[Value]) -> Self {
        let (page, size) = match asked.page() {
            Ok(page) => page,
            Err(answer) => return answer,
        };
        let total = rows.len().to_string();
        let shown: Vec<&Value> = match size {
            0 => rows.iter().collect(),
            size => rows.iter().skip((page - 1) * size).take(size).collect(),
        };
        let answer = Self::json(&json!(shown)).header("X-Total-Count", total);
        match link(asked, page, size, rows.len()) {
            Some(link) => answer.header("Link", link),
            None => answer,
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// The neighbours of a page, with a query that is not escaped and sorted by key.
fn link(asked: &Asked, page: usize, size: usize, total: usize) -> Option<String> {
    if size == 0 || (page - 1) * size >= total.max(1) {
        return None;
    }
    let address = |page: usize| {
        let mut query = asked.query.clone();
        query.retain(|(name, _)| name != "page" && name != "page_size");
        query.push(("page".into(), page.to_string()));
        query.push(("page_size".into(), size.to_string()));
        query.sort();
        let query: Vec<String> = query
            .iter()
            .map(|(name, it)| format!("{name}={it}"))
            .collect();
        format!("{}?{}", asked.path, query.join("&"))
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(format!("<{}>; rel=\"prev\"", address(page - 1)));
    }
    if page * size < total {
        links.push(format!("<{}>; rel=\"next\"", address(page + 1)));
    }
    (!links.is_empty()).then(|| links.join(" , "))
}

impl Asked {
    /// As it comes through nginx: the path decoded once.
    pub(super) fn new(parts: Parts, body: Bytes) -> Result<Self, Answer> {
        let raw = parts.uri.query().unwrap_or_default();
        if raw.contains(';') {
            return Err(Answer::bad("invalid semicolon separator in query"));
        }
        let query = url::form_urlencoded::parse(raw.as_bytes());
        let query = query.into_owned().collect();
        Ok(Self {
            method: parts.method.clone(),
            path: unescape(parts.uri.path()),
            query,
            parts,
            body,
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.query.iter().filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.as_str())
    }

    pub(super) fn is_write(&self) -> bool {
        ![Method::GET, Method::HEAD].contains(&self.method)
    }

    pub(super) fn has_sid(&self) -> bool {
        let cookies = self.parts.headers.get(COOKIE);
        let text = cookies.and_then(|it| it.to_str().ok()).unwrap_or_default();
        text.split(';')
            .any(|it| it.trim_start().starts_with("sid="))
    }

    pub(super) fn basic(&self) -> Option<(String, String)> {
        let header = self.parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (kind, rest) = header.split_once(' ')?;
        let is_basic = kind.eq_ignore_ascii_case("basic");
        let text = STANDARD.decode(rest).ok().filter(|_| is_basic)?;
        let text = String::from_utf8(text).ok()?;
        let (name, password) = text.split_once(':')?;
        Some((name.to_owned(), password.to_owned()))
    }

    /// Page and size; size 0 is all rows.
    fn page(&self) -> Result<(usize, usize), Answer> {
        let number = |name: &str, default: i64| -> Result<i64, Answer> {
            let Some(text) = self.value(name) else {
                return Ok(default);
            };
            text.parse().map_err(|_| {
                let text = format!("{name} in query must be of type int64: {text:?}");
                Answer::unprocessable(&text)
            })
        };
        let (page, size) = (number("page", 1)?, number("page_size", 10)?);
        if size > 100 {
            let text = "page_size in query should be less than or equal to 100";
            return Err(Answer::unprocessable(text));
        }
        let whole = |number: i64| usize::try_from(number).unwrap_or_default();
        Ok((whole(page).max(1), whole(size)))
    }

    /// The words of `q`, decoded a second time as Harbor does.
    pub(super) fn words(&self) -> Result<Vec<(String, String)>, Answer> {
        let Some(text) = self.value("q").filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let words = text.split(',').map(|word| {
            let (key, value) = word.split_once('=')?;
            let value = unescape(&value.replace('+', " "));
            (!key.is_empty() && !value.is_empty()).then(|| (key.to_owned(), value))
        });
        let words: Option<Vec<_>> = words.collect();
        let text = "the query string must contain \"=\" and the key/value cannot be empty";
        words.ok_or_else(|| Answer::bad(text))
    }

    /// The body as JSON, under the rules of Harbor's binding.
    pub(super) fn json(&self, name: &str) -> Result<Value, Answer> {
        if self.body.is_empty() {
            return Err(Answer::unprocessable(&format!(
                "{name} in body is required"
            )));
        }
        let kind = self
            .header("content-type")
            .unwrap_or("application/octet-stream");
        if !kind.starts_with("application/json") {
            let text =
                format!("unsupported media type {kind:?}, only [application/json] are allowed");
            return Err(Answer::unprocessable(&text));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let text = format!("parsing {name} body from \"\" failed, because {error}");
            Answer::unprocessable(&text)
        })
    }
}

/// Percent signs decoded once.
pub(super) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
