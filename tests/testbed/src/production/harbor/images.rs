//! Requests for images: who may do what, what policy keeps back; what passes goes on to the registry behind,
//! with a token for exactly that.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use super::answer::Answer;
use super::policy::Artifact;
use super::state::State;
use super::tokens::{ISSUER, SERVICE};
use super::who::Who;
use super::{Asked, Harbor};
use crate::machine;

/// What a request is about: `/v2/REPOSITORY/KIND/REST`.
struct Subject<'a> {
    repository: &'a str,
    kind: &'a str,
    rest: &'a str,
}

impl Harbor {
    pub(super) async fn images(&self, asked: &Asked, who: &Who) -> Answer {
        if asked.path == "/v2" {
            return Answer::empty(301).header("Location", "/v2/");
        }
        let caller = Caller::of(asked, who);
        if asked.path == "/v2/" {
            return ground(asked, &caller);
        }
        let Some(subject) = Subject::read(&asked.path) else {
            let text = "unauthorized to list catalog";
            return basic(text);
        };
        if let Some(answer) = self.refused(asked, &caller, &subject) {
            return answer;
        }
        let answer = self.pass(asked, &subject).await;
        self.note(asked, &subject, &answer);
        answer
    }

    /// Everything that Harbor says before its registry is asked.
    fn refused(&self, asked: &Asked, caller: &Caller, subject: &Subject<'_>) -> Option<Answer> {
        let Some((project, _)) = subject.repository.split_once('/') else {
            let text = format!(
                "bad request: invalid repository name: {}",
                subject.repository
            );
            return Some(Answer::bad(&text));
        };
        if subject
            .repository
            .bytes()
            .any(|byte| byte.is_ascii_uppercase())
        {
            let text = format!("un-recognized request: {} {}", asked.method, asked.path);
            return Some(doubled(&text).header("Www-Authenticate", ""));
        }
        let action = action(&asked.method);
        let is_look = !asked.is_write();
        if matches!(caller, Caller::Nobody) && is_look {
            let text = "authorize header needed to send HEAD to repository";
            return Some(bearer(asked, subject, text));
        }
        let mut state = self.state();
        let Some(id) = state.project_id(project) else {
            let text = format!("project {project} not found");
            return Some(doubled(&text).header("Www-Authenticate", ""));
        };
        let may = match caller {
            Caller::Nobody | Caller::Refused => false,
            Caller::Known(who) => state.may(who, id, "repository", action),
            Caller::Token(claims) => may(claims, project, action),
        };
        if !may {
            let text = format!(
                "unauthorized to access repository: {}, action: {action}",
                subject.repository
            );
            return Some(match caller {
                Caller::Nobody => bearer(asked, subject, &text),
                Caller::Refused | Caller::Known(_) | Caller::Token(_) => basic(&text),
            });
        }
        state.kept_back(asked, subject)
    }

    /// Sends a request to the registry behind, which believes our tokens.
    async fn pass(&self, asked: &Asked, subject: &Subject<'_>) -> Answer {
        let second = Timestamp::now().as_second();
        let mut access = vec![json!({
            "type": "repository", "name": subject.repository, "actions": ["pull", "push", "delete"],
        })];
        if let Some(from) = asked.value("from") {
            access.push(json!({ "type": "repository", "name": from, "actions": ["pull"] }));
        }
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "iat": second, "nbf": second, "exp": second + 60,
            "jti": second.to_string(), "access": access,
        });
        let sent = async {
            let token = self.signed(claims).await?;
            let address = self
                .storage
                .ok_or_else(|| anyhow::anyhow!("no registry behind"))?;
            send(asked, &token, address).await
        };
        sent.await.unwrap_or_else(|_| Answer::error(502, "", ""))
    }

    /// Keeps what was pushed and deleted.
    fn note(&self, asked: &Asked, subject: &Subject<'_>, answer: &Answer) {
        if asked.method == Method::PATCH {
            let mut state = self.state();
            *state.images.uploads.entry(asked.path.clone()).or_default() += asked.body.len();
        }
        if subject.kind != "manifests" || !(200..300).contains(&answer.status) {
            return;
        }
        let mut state = self.state();
        let id = state.next("artifact");
        let all = state
            .images
            .repositories
            .entry(subject.repository.to_owned())
            .or_default();
        if asked.method == Method::DELETE {
            all.retain(|it| it.digest != subject.rest);
        }
        if asked.method != Method::PUT {
            return;
        }
        let digest = format!(
            "sha256:{}",
            machine::hexadecimal(&Sha256::digest(&asked.body))
        );
        let tag = Some(subject.rest).filter(|rest| !rest.starts_with("sha256:"));
        for artifact in all.iter_mut() {
            artifact.tags.retain(|known| Some(known.as_str()) != tag);
        }
        if !all.iter().any(|it| it.digest == digest) {
            let kind = asked.header("content-type").unwrap_or_default();
            all.push(Artifact::new(id, digest.clone(), kind, asked.body.len()));
        }
        for artifact in all.iter_mut().filter(|it| it.digest == digest) {
            artifact.tags.extend(tag.map(str::to_owned));
        }
    }
}

impl State {
    /// What policy keeps back of what the caller may do.
    fn kept_back(&mut self, asked: &Asked, subject: &Subject<'_>) -> Option<Answer> {
        if asked.is_write() && self.settings.is_read_only {
            return Some(Answer::read_only());
        }
        let is_manifest = subject.kind == "manifests";
        match asked.method {
            Method::PUT if is_manifest => {
                let reference = subject.rest;
                if !reference.starts_with("sha256:") && !is_tag(reference) {
                    let text = format!("bad request: invalid tag name: {reference}");
                    return Some(Answer::bad(&text));
                }
                let refused = self.immutable(subject.repository, reference);
                refused.or_else(|| self.take_room(subject.repository, asked.body.len()))
            }
            // Harbor counts when an upload ends, also of a push that is refused later.
            Method::PUT => {
                let sent = self.images.uploads.remove(&asked.path).unwrap_or_default();
                self.take_room(subject.repository, sent + asked.body.len())
            }
            Method::DELETE if is_manifest && !subject.rest.starts_with("sha256:") => {
                let text = format!(
                    "unsupported digest {}: invalid checksum digest format",
                    subject.rest
                );
                Some(Answer::error(400, "UNSUPPORTED", &text))
            }
            Method::GET | Method::HEAD if is_manifest => {
                if !self.images.repositories.contains_key(subject.repository) {
                    let text = format!("repository {} not found", subject.repository);
                    return Some(Answer::missing(&text));
                }
                if self.images.find(subject.repository, subject.rest).is_none() {
                    let mark = if subject.rest.starts_with("sha256:") {
                        '@'
                    } else {
                        ':'
                    };
                    let text = format!(
                        "artifact {}{mark}{} not found",
                        subject.repository, subject.rest
                    );
                    return Some(Answer::missing(&text));
                }
                self.vulnerable(subject.repository, subject.rest)
            }
            _ => None,
        }
    }
}

/// Who asks for an image.
enum Caller {
    Nobody,
    /// Sent something that is not believed.
    Refused,
    Known(Who),
    /// The claims of a token of ours.
    Token(Value),
}

impl Caller {
    /// By basic auth, or what a token of ours says. A robot's end does not end its tokens.
    fn of(asked: &Asked, who: &Who) -> Self {
        let header = asked.header(AUTHORIZATION.as_str()).unwrap_or_default();
        let Some(token) = header.strip_prefix("Bearer ") else {
            return match who {
                Who::Nobody => Self::Nobody,
                Who::Refused => Self::Refused,
                known => Self::Known(known.clone()),
            };
        };
        let claims = token.split('.').nth(1).or(Some(token));
        let claims = claims.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let claims: Option<Value> = claims.and_then(|text| serde_json::from_slice(&text).ok());
        let is_ours = |it: &&Value| it["iss"] == ISSUER && it["aud"] == SERVICE;
        let is_alive = |it: &&Value| {
            let end = it["exp"].as_i64().unwrap_or_default() + 60;
            Timestamp::now().as_second() <= end
        };
        match claims.as_ref().filter(is_ours).filter(is_alive) {
            Some(claims) => Self::Token(claims.clone()),
            None => Self::Refused,
        }
    }
}

impl<'a> Subject<'a> {
    fn read(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/")?;
        for kind in ["manifests", "blobs", "tags", "referrers"] {
            if let Some((repository, rest)) = rest.split_once(&format!("/{kind}/")) {
                return Some(Self {
                    repository,
                    kind,
                    rest,
                });
            }
        }
        None
    }
}

fn action(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    }
}

/// A token for one repository opens its whole project; of two scopes in a project the last decides.
fn may(claims: &Value, project: &str, action: &str) -> bool {
    let all = claims["access"].as_array().into_iter().flatten();
    let mut of_project = all.filter(|it| {
        let name = it["name"].as_str().unwrap_or_default();
        name.split('/').next() == Some(project)
    });
    let last = of_project.next_back();
    let actions = last.and_then(|it| it["actions"].as_array());
    actions.is_some_and(|all| all.iter().any(|it| it == action))
}

/// The root of the API of images.
fn ground(asked: &Asked, caller: &Caller) -> Answer {
    match caller {
        Caller::Known(_) => {
            let kind = "application/json; charset=utf-8";
            Answer::text(200, kind, "{}").header("Docker-Distribution-Api-Version", "registry/2.0")
        }
        Caller::Token(claims) if claims["sub"].is_string() => {
            let kind = "application/json; charset=utf-8";
            Answer::text(200, kind, "{}").header("Docker-Distribution-Api-Version", "registry/2.0")
        }
        Caller::Nobody => {
            let challenge = challenge(asked);
            doubled("unauthorized").header("Www-Authenticate", challenge)
        }
        Caller::Refused | Caller::Token(_) => basic("unauthorized"),
    }
}

fn challenge(asked: &Asked) -> String {
    let host = asked.header("host").unwrap_or_default();
    format!("Bearer realm=\"https://{host}/service/token\",service=\"{SERVICE}\"")
}

fn bearer(asked: &Asked, subject: &Subject<'_>, text: &str) -> Answer {
    let actions = match action(&asked.method) {
        "push" => "pull,push",
        action => action,
    };
    let mut scope = format!("repository:{}:{actions}", subject.repository);
    if let Some(from) = asked.value("from") {
        scope = format!("{scope} repository:{from}:pull");
    }
    let challenge = format!("{},scope=\"{scope}\"", challenge(asked));
    doubled(text).header("Www-Authenticate", challenge)
}

/// After a refusal: a client must not ask for another token.
fn basic(text: &str) -> Answer {
    doubled(text).header("Www-Authenticate", "Basic realm=\"harbor\"")
}

fn doubled(text: &str) -> Answer {
    Answer::error(401, "UNAUTHORIZED", &format!("{text}: {text}"))
        .header("Docker-Distribution-Api-Version", "registry/2.0")
}

fn is_tag(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_letter = |c: char| is_plain(c) || c == '.' || c == '-';
    text.len() <= 128 && text.starts_with(is_plain) && text.chars().all(is_letter)
}

async fn send(asked: &Asked, token: &str, address: std::net::SocketAddr) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut request = Request::new(Full::new(asked.body.clone()));
    *request.method_mut() = asked.method.clone();
    let target = asked.parts.uri.path_and_query();
    *request.uri_mut() = target.map_or("/", |it| it.as_str()).parse()?;
    let headers = request.headers_mut();
    headers.clone_from(&asked.parts.headers);
    for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
    headers.insert(AUTHORIZATION, bearer);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body: Bytes = body.collect().await?.to_bytes();
    let mut answer = Answer::empty(parts.status.as_u16());
    for (name, value) in &parts.headers {
        // The length of an answer to HEAD is that of what is not sent.
        let is_kept = ![CONNECTION, TRANSFER_ENCODING].contains(name);
        if let Ok(value) = value.to_str()
            && is_kept
        {
            answer = answer.header(name.as_str(), value);
        }
    }
    answer.body = body;
    Ok(answer)
}
