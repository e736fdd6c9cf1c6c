//! A pull for one job: the registry is asked with the job's own account, the content is pulled by its
//! digest, and what comes gets private names only.

use std::ops::Deref;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use super::advice::explained;
use super::credential::REGISTRY_AUTH;
use super::daemon::{Body, empty, incoming};
use super::handle::{Call, Handler};
use super::host_name::{self, Lent};
use super::own::Own;
use super::own_image::{Found, named};
use super::progress::{Progress, channel, error_line, is_error};
use super::query::Query;
use super::refusal::Denied;
use super::use_note::note_copy;
use crate::docker::fault::PullFault;
use crate::docker::reference::Reference;
use crate::harbor::refusal::Fault;

/// What a job wants to pull.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub name: Reference,
    /// Where it is asked for: the registry of its name, or a mirror.
    pub source: Reference,
    pub platform: String,
    /// The account for the registry, as clients send it.
    pub account: Option<HeaderValue>,
}

/// A pull whose content is known.
struct Pull<O> {
    own: O,
    name: Reference,
    digest: String,
    /// `repository@digest`, ours while the pull goes on.
    lent: Lent,
    response: Response<Body>,
}

impl Handler {
    pub(super) async fn pull(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        let (image, tag) = (query.text("fromImage"), query.text("tag"));
        let whole = match tag {
            "" => image.to_owned(),
            digest if digest.starts_with("sha256:") => format!("{image}@{digest}"),
            tag => format!("{image}:{tag}"),
        };
        let name = named(&whole)?;
        let registries = &self.own.scope.registries;
        let source = registries.source(&call.asked.headers, &name);
        let (source, account) = source.await?;
        let wish = Wish {
            account,
            name,
            source,
            platform: query.text("platform").to_owned(),
        };
        let making = Arc::clone(&self.making).read_owned().await;
        let pull = Pull::begin(Arc::clone(&self.own), wish).await?;
        if !pull.response.status().is_success() {
            return pull.refused().await;
        }
        let (parts, body) = pull.response.into_parts();
        let (sender, told) = channel();
        let (own, name, digest, lent) = (pull.own, pull.name, pull.digest, pull.lent);
        let naming = Naming {
            own,
            name,
            digest,
            lent,
        };
        tokio::spawn(async move {
            naming
                .follow(body, sender.closed(), |line| sender.send(line))
                .await;
            drop(making);
        });
        Ok(explained(Response::from_parts(parts, told)))
    }
}

/// The image that a build may take: the job's own, a shared one, or one that is pulled for it.
pub(crate) async fn provide(own: &Own, wish: Wish) -> Result<Found, Denied> {
    match own.usable(&wish.name.written).await {
        Ok(found) if own.is_for(&found.id, &wish.platform).await? => return Ok(found),
        // Made for another platform: the registry may have it for this one, too.
        Ok(_) => {}
        Err(denied) if denied.status == 404 => {}
        Err(denied) => return Err(denied),
    }
    let name = wish.name.clone();
    let pull = Pull::begin(own, wish).await?;
    let status = pull.response.status();
    if !status.is_success() {
        let response = pull.refused().await?;
        let text = response.into_body().collect().await;
        let bytes = text.map_err(|error| Denied::broken(error.to_string()))?;
        let value: Value = serde_json::from_slice(&bytes.to_bytes()).unwrap_or_default();
        return Err(Denied {
            status: status.as_u16(),
            message: value["message"].as_str().unwrap_or_default().to_owned(),
        });
    }
    let (_, body) = pull.response.into_parts();
    let naming = Naming {
        own: pull.own,
        name: pull.name,
        digest: pull.digest,
        lent: pull.lent,
    };
    let mut failed = None;
    naming
        .follow(body, std::future::pending(), |line| {
            let value: Value = serde_json::from_slice(&line).unwrap_or_default();
            failed = value["error"].as_str().map(str::to_owned).or(failed.take());
        })
        .await;
    match failed {
        Some(error) => Err(Denied::broken(error)),
        None => own.image(&name.written).await,
    }
}

impl Own {
    /// Whether an image is for this platform; the empty one is any.
    pub(crate) async fn is_for(&self, id: &str, platform: &str) -> Result<bool, Denied> {
        if platform.is_empty() {
            return Ok(true);
        }
        let target = format!("/images/{id}/json");
        let image = self.engine.must(Method::GET, &target, None).await?;
        let has = ["Os", "Architecture", "Variant"].map(|key| image[key].as_str());
        let mut wanted = platform.split('/').zip(has);
        Ok(wanted.all(|(wanted, has)| has.is_none_or(|has| has.is_empty() || has == wanted)))
    }
}

impl<O: Deref<Target = Own>> Pull<O> {
    /// Asks the registry what the name means, and the engine for that.
    async fn begin(own: O, wish: Wish) -> Result<Self, Denied> {
        let Wish {
            name,
            source,
            platform,
            account,
        } = wish;
        if !(own.scope.images)(&name.written) {
            return Err(Denied::forbidden(format!(
                "the image {:?} is not open to this job: use an image that the operator allows",
                name.written
            )));
        }
        own.scope.names.private(&name)?;
        let digest = own.resolve(&source, account.as_ref()).await?;
        let lent = own
            .host
            .keep_for_pull(&format!("{}@{digest}", source.repository))
            .await?;
        let mut query = Query::default();
        query.push("fromImage", source.repository.as_str());
        query.push("tag", digest.as_str());
        if !platform.is_empty() {
            query.push("platform", platform);
        }
        let target = format!("/images/create{}", query.encode());
        let request = request(Method::POST, &target, account)?;
        let (mut parts, body) = own.engine.send(request).await?.into_parts();
        parts.headers.remove(hyper::header::TRANSFER_ENCODING);
        parts.headers.remove(hyper::header::CONTENT_LENGTH);
        let response = Response::from_parts(parts, incoming(body));
        Ok(Self {
            own,
            name,
            digest,
            lent,
            response,
        })
    }

    /// The engine's refusal, with the name given back.
    async fn refused(self) -> Result<Response<Body>, Denied> {
        self.lent.give_back().await?;
        Ok(self.response)
    }
}

/// What comes at the end of a pull.
struct Naming<O> {
    own: O,
    name: Reference,
    digest: String,
    lent: Lent,
}

impl<O: Deref<Target = Own>> Naming<O> {
    /// Tells every line, in the words that a pull by the name has, and names what came. Stops when
    /// nobody listens any more.
    async fn follow(
        self,
        body: Body,
        gone: impl Future<Output = ()>,
        mut tell: impl FnMut(Vec<u8>),
    ) {
        let mut progress = Progress::new(body);
        let mut is_whole = true;
        tokio::pin!(gone);
        loop {
            let lines = tokio::select! {
                lines = progress.next() => lines,
                () = &mut gone => {
                    is_whole = false;
                    break;
                }
            };
            let lines = match lines {
                Ok(Some(lines)) => lines,
                Ok(None) => break,
                Err(error) => {
                    is_whole = false;
                    tell(error_line(&format!(
                        "the engine broke off the pull: {error}"
                    )));
                    break;
                }
            };
            for line in lines {
                is_whole &= !is_error(&line);
                if let Some(line) = self.worded(line) {
                    tell(line);
                }
            }
        }
        drop(progress);
        let last = if is_whole {
            self.finish().await
        } else {
            let given = self.lent.give_back().await;
            given.map(|()| Vec::new()).map_err(Denied::from)
        };
        tell(last.unwrap_or_else(|denied| error_line(&denied.message)));
    }

    /// Gives the private names, then the public one back; the last line of the pull.
    async fn finish(self) -> Result<Vec<u8>, Denied> {
        let (own, names) = (&self.own, &self.own.scope.names);
        let id = self.lent.id().await?;
        let id = id.ok_or_else(|| Denied::broken("the engine does not have what it pulled"))?;
        let before = own.own_named(&self.name).await?;
        let private = own.claim(&self.name).await?;
        let engine = &own.engine;
        host_name::tag(engine, &id, &private).await?;
        host_name::tag(engine, &id, &names.digest(&self.name, &self.digest)?).await?;
        own.keep_copy(&self.name, &id).await?;
        self.lent.give_back().await?;
        let what = match before {
            Some(found) if found.id == id => "Image is up to date for",
            _ => "Downloaded newer image for",
        };
        let written = familiar(&self.name);
        Ok(line(
            &json!({ "status": format!("Status: {what} {written}") }),
        ))
    }

    /// A line in the words of a pull by this name; its end comes from us.
    fn worded(&self, text: Vec<u8>) -> Option<Vec<u8>> {
        let Ok(mut value) = serde_json::from_slice::<Value>(&text) else {
            return Some(text);
        };
        let status = value["status"].as_str().unwrap_or_default();
        if status.starts_with("Status: ") {
            return None;
        }
        let is_whole = status.starts_with("Pulling from ")
            && value["id"]
                .as_str()
                .is_some_and(|id| id.ends_with(&self.digest));
        if is_whole && self.name.digest.is_none() {
            value["id"] = self.name.tag.as_deref().unwrap_or("latest").into();
            return Some(line(&value));
        }
        Some(text)
    }
}

impl Own {
    /// The digest that the registry has for a name, for this account.
    async fn resolve(
        &self,
        name: &Reference,
        account: Option<&HeaderValue>,
    ) -> Result<String, Denied> {
        let target = format!("/distribution/{}/json", name.exact());
        let request = request(Method::GET, &target, account.cloned())?;
        let answer = self.engine.ask(request).await?;
        if answer.status.is_success() {
            let digest = answer.value["Descriptor"]["digest"].as_str();
            return digest
                .map(str::to_owned)
                .ok_or_else(|| Denied::broken("the registry does not tell the digest"));
        }
        let told = answer.value["message"].as_str().unwrap_or_default().trim();
        let told = match Fault::line(told) {
            Some(advice) => format!("{told}\n{advice}"),
            None => told.to_owned(),
        };
        let written = familiar(name);
        Err(match PullFault::read(&told) {
            PullFault::Missing => {
                Denied::missing(format!("manifest for {written} not found: {told}"))
            }
            PullFault::Refused => Denied::missing(format!(
                "pull access denied for {}, repository does not exist or may require 'docker login': {told}",
                name.familiar()
            )),
            PullFault::Untrusted | PullFault::DiskFull | PullFault::Unknown => Denied {
                status: 500,
                message: told.clone(),
            },
        })
    }

    /// Keeps what was pulled for the tenant's next job.
    async fn keep_copy(&self, name: &Reference, id: &str) -> Result<(), Denied> {
        let kept = self.scope.names.kept(name)?;
        let noted = note_copy(&self.scope.layers, &self.scope.tenant.key(), &kept);
        noted.map_err(|error| Denied::broken(crate::failure::chain(&error)))?;
        Ok(host_name::tag(&self.engine, id, &kept).await?)
    }
}

fn request(
    method: Method,
    target: &str,
    account: Option<HeaderValue>,
) -> Result<Request<Body>, Denied> {
    let mut request = Request::new(empty());
    *request.method_mut() = method;
    *request.uri_mut() = target
        .parse()
        .map_err(|_| Denied::malformed("the image name is malformed"))?;
    if let Some(account) = account {
        request.headers_mut().insert(REGISTRY_AUTH, account);
    }
    Ok(request)
}

/// The name as the engine tells it.
fn familiar(name: &Reference) -> String {
    if let Some(digest) = &name.digest {
        return format!("{}@{digest}", name.familiar());
    }
    let tag = name.tag.as_deref().unwrap_or("latest");
    format!("{}:{tag}", name.familiar())
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\r\n").into_bytes()
}
