//! Prunes, over what is the job's own.
//!
//! The engine's own prunes are never asked: they are one at a time for all, and leave volumes that carry
//! no label behind.

use hyper::{Method, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::daemon::{Body, answer};
use super::handle::{Call, Handler};
use super::object::{self, Filters};
use super::query::Query;
use super::refusal::Denied;

impl Handler {
    /// Removes the job's containers that do not run.
    pub(super) async fn prune_containers(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let wanted = Wanted::read(call, &["label", "label!", "until"])?;
        let states = json!(["created", "exited", "dead"]);
        let mut all = self
            .listed("/containers/json", &[("status", states)])
            .await?;
        self.own.retain_own(&mut all);
        let wish = |item: &Value| wanted.takes(&item["Labels"], &item["Created"]);
        let (mut gone, mut size) = (Vec::new(), 0);
        for item in items(&all).filter(|item| wish(item)) {
            let id = item["Id"].as_str().unwrap_or_default();
            if self.removes(&format!("/containers/{id}?v=1")).await? {
                gone.push(json!(id));
                size += item["SizeRw"].as_i64().unwrap_or(0);
            }
        }
        Ok(told("ContainersDeleted", &gone, size))
    }

    /// Removes the job's networks that nobody is in.
    pub(super) async fn prune_networks(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let wanted = Wanted::read(call, &["label", "label!", "until"])?;
        let all = self.listed("/networks", &[]).await?;
        let wish = |item: &Value| wanted.takes(&item["Labels"], &item["Created"]);
        let mut gone = Vec::new();
        for item in items(&all).filter(|item| wish(item)) {
            let id = item["Id"].as_str().unwrap_or_default();
            if self.removes(&format!("/networks/{id}")).await? {
                gone.push(item["Name"].clone());
            }
        }
        Ok(told("NetworksDeleted", &gone, 0))
    }

    /// Removes the job's volumes that nobody uses: those without a name, or all.
    pub(super) async fn prune_volumes(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let wanted = Wanted::read(call, &["label", "label!", "all"])?;
        // Before this version every unused volume went.
        let is_old = call.route.version.is_some_and(|minor| minor < 42);
        let takes_named = is_old || wanted.says("all");
        let all = self
            .listed("/volumes", &[("dangling", json!(["true"]))])
            .await?;
        let mut gone = Vec::new();
        for item in items(&all["Volumes"]) {
            let labels = &item["Labels"];
            let is_nameless = labels.get("com.docker.volume.anonymous").is_some();
            if !(takes_named || is_nameless) || !wanted.takes(labels, &Value::Null) {
                continue;
            }
            let name = item["Name"].as_str().unwrap_or_default();
            if self.removes(&format!("/volumes/{name}")).await? {
                gone.push(json!(name));
            }
        }
        Ok(told("VolumesDeleted", &gone, 0))
    }

    /// Removes the job's images without a tag, or all that no container of the job's uses. What the
    /// builder keeps for later builds stays.
    pub(super) async fn prune_images(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let wanted = Wanted::read(call, &["label", "label!", "until", "dangling"])?;
        let takes_named = wanted.denies("dangling");
        let mut used = self.listed("/containers/json", &[]).await?;
        self.own.retain_own(&mut used);
        let is_used = |id: &Value| items(&used).any(|container| container["ImageID"] == *id);
        let (mut gone, mut size) = (Vec::new(), 0);
        for item in self.own.list_images().await? {
            let names = self.own.own_names(&item);
            let is_named = names
                .iter()
                .any(|name| self.own.scope.names.shown_tag(name).is_some());
            let is_wanted = !names.is_empty()
                && (takes_named || !is_named)
                && wanted.takes(&item["Labels"], &item["Created"]);
            if !is_wanted || is_used(&item["Id"]) {
                continue;
            }
            for name in &names {
                self.removes(&format!("/images/{name}?noprune=1")).await?;
            }
            gone.push(json!({ "Deleted": item["Id"] }));
            size += item["Size"].as_i64().unwrap_or(0);
        }
        Ok(told("ImagesDeleted", &gone, size))
    }

    /// The cache of builds belongs to every job of the project; the operator bounds it.
    pub(super) fn prune_builds() -> Response<Body> {
        told("CachesDeleted", &[], 0)
    }

    /// A list of what carries the job's label, stopped containers and their sizes included.
    async fn listed(&self, path: &str, more: &[(&str, Value)]) -> Result<Value, Denied> {
        let given: serde_json::Map<String, Value> = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut query = Query::default();
        if path.starts_with("/containers") {
            query.push("all", "1");
            query.push("size", "1");
        }
        let given = Value::Object(given).to_string();
        query.push("filters", object::filters(&given, self.own.label())?);
        let target = format!("{path}{}", query.encode());
        Ok(self.engine().must(Method::GET, &target, None).await?)
    }

    /// Whether the engine removed it: what somebody uses by now stays.
    async fn removes(&self, target: &str) -> Result<bool, Denied> {
        let answer = self.engine().call(Method::DELETE, target, None).await?;
        let refused = [
            StatusCode::CONFLICT,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
        ];
        match answer.status {
            status if status.is_success() => Ok(true),
            status if refused.contains(&status) => Ok(false),
            status => Err(Denied::broken(format!(
                "the engine answered {status} to the removal of {target}"
            ))),
        }
    }
}

/// What a prune shall take.
struct Wanted {
    filters: Filters,
    until: Option<Timestamp>,
}

impl Wanted {
    fn read(call: &Call, known: &[&str]) -> Result<Self, Denied> {
        let filters = object::read_filters(call.route.query.text("filters"))?;
        if let Some(name) = filters.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Denied::malformed(format!("invalid filter {name:?}")));
        }
        let until = filters.get("until").and_then(|words| words.keys().next());
        let until = until.map(|word| moment(word)).transpose()?;
        Ok(Self { filters, until })
    }

    fn says(&self, name: &str) -> bool {
        let words = self.filters.get(name);
        words.is_some_and(|words| words.contains_key("1") || words.contains_key("true"))
    }

    fn denies(&self, name: &str) -> bool {
        let words = self.filters.get(name);
        words.is_some_and(|words| words.contains_key("0") || words.contains_key("false"))
    }

    fn takes(&self, labels: &Value, made: &Value) -> bool {
        let words = |name: &str| {
            self.filters
                .get(name)
                .into_iter()
                .flat_map(|words| words.keys())
        };
        let has = |word: &String| match word.split_once('=') {
            Some((key, value)) => labels.get(key).and_then(Value::as_str) == Some(value),
            None => labels.get(word.as_str()).is_some(),
        };
        let is_old = self.until.is_none_or(|until| {
            let made = match made {
                Value::String(text) => text.parse().ok(),
                other => other
                    .as_i64()
                    .and_then(|at| Timestamp::from_second(at).ok()),
            };
            made.is_some_and(|made| made < until)
        });
        is_old && words("label").all(has) && !words("label!").any(has)
    }
}

/// A time, or how long ago, as clients write it.
fn moment(word: &str) -> Result<Timestamp, Denied> {
    let unix = word.split('.').next().and_then(|text| text.parse().ok());
    let at = unix.and_then(|at| Timestamp::from_second(at).ok());
    let ago = || {
        let span: SignedDuration = word.parse().ok()?;
        Timestamp::now().checked_sub(span).ok()
    };
    at.or_else(|| word.parse().ok())
        .or_else(ago)
        .ok_or_else(|| Denied::malformed(format!("the filter until={word:?} is malformed")))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn told(key: &str, gone: &[Value], size: i64) -> Response<Body> {
    answer(&json!({ key: gone, "SpaceReclaimed": size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(filters: &str) -> Wanted {
        let filters = object::read_filters(filters).unwrap();
        let until = filters.get("until").and_then(|words| words.keys().next());
        let until = until.map(|word| moment(word).unwrap());
        Wanted { filters, until }
    }

    #[test]
    fn a_prune_takes_what_its_filters_say() {
        let labels = json!({ "keep": "1", "a": "b" });
        for (filters, takes) in [
            ("{}", true),
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a=c"]}"#, false),
            (r#"{"label!":["keep"]}"#, false),
            (r#"{"label":["a=b"],"label!":["b"]}"#, true),
            (r#"{"until":["1000"]}"#, false),
            (r#"{"until":["3000"]}"#, true),
            (r#"{"until":["1970-01-01T01:00:00Z"]}"#, true),
            (r#"{"until":["24h"]}"#, true),
        ] {
            assert_eq!(
                wanted(filters).takes(&labels, &json!(2000)),
                takes,
                "{filters}"
            );
        }
        assert!(moment("1h30m").is_ok());
        assert!(moment("soon").is_err());
    }
}
