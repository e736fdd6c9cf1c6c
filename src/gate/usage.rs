//! What the job's own things take of the disk, computed from lists of them.
//!
//! The engine's own answer would tell of everybody's things, and walks all of them to do so.

use hyper::{Method, Response};
use serde_json::{Value, json};

use super::daemon::{Body, answer};
use super::handle::{Call, Handler};
use super::object;
use super::query::Query;
use super::refusal::Denied;

impl Handler {
    pub(super) async fn usage(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let mut containers = self.everything("/containers/json").await?;
        self.own.retain_own(&mut containers);
        let mut volumes = self.everything("/volumes").await?["Volumes"].take();
        let mut images = self.own_images().await?;
        for image in &mut images {
            let id = image["Id"].clone();
            image["Containers"] = json!(count(&containers, |it| it["ImageID"] == id));
            image["SharedSize"] = json!(0);
        }
        for volume in volumes.as_array_mut().into_iter().flatten() {
            let name = volume["Name"].clone();
            let uses = |it: &Value| mounts(it).any(|mount| mount["Name"] == name);
            // Nobody measured it.
            volume["UsageData"] = json!({ "Size": -1, "RefCount": count(&containers, uses) });
        }
        let images = Value::Array(images);
        let (size, written) = (sum(&images, "Size"), sum(&containers, "SizeRw"));
        let types: Vec<&str> = call.route.query.all("type").collect();
        let has = |name: &str| types.is_empty() || types.contains(&name);
        let mut told = json!({});
        // Both forms: the fields that clients before 1.52 read, and the later ones.
        if has("image") {
            let used = count(&images, |it| it["Containers"] != 0);
            told["ImageUsage"] = summary(&images, used, size);
            told["LayersSize"] = json!(size);
            told["Images"] = images;
        }
        if has("container") {
            let running = count(&containers, |it| it["State"] == "running");
            told["ContainerUsage"] = summary(&containers, running, written);
            told["Containers"] = containers;
        }
        if has("volume") {
            let used = count(&volumes, |it| it["UsageData"]["RefCount"] != 0);
            told["VolumeUsage"] = summary(&volumes, used, 0);
            told["Volumes"] = volumes;
        }
        if has("build-cache") {
            told["BuildCacheUsage"] = summary(&json!([]), 0, 0);
            told["BuildCache"] = json!([]);
        }
        Ok(answer(&told))
    }

    async fn everything(&self, path: &str) -> Result<Value, Denied> {
        let mut query = Query::default();
        if path.starts_with("/containers") {
            query.push("all", "1");
            query.push("size", "1");
        }
        query.push("filters", object::filters("", self.own.label())?);
        let target = format!("{path}{}", query.encode());
        Ok(self.engine().must(Method::GET, &target, None).await?)
    }
}

fn summary(items: &Value, active: usize, size: i64) -> Value {
    json!({
        "ActiveCount": active, "TotalCount": count(items, |_| true), "TotalSize": size,
        "Reclaimable": 0, "Items": items,
    })
}

fn count(items: &Value, is_so: impl Fn(&Value) -> bool) -> usize {
    let items = items.as_array().into_iter().flatten();
    items.filter(|item| is_so(item)).count()
}

fn mounts(container: &Value) -> impl Iterator<Item = &Value> {
    container["Mounts"].as_array().into_iter().flatten()
}

fn sum(items: &Value, key: &str) -> i64 {
    let items = items.as_array().into_iter().flatten();
    items.filter_map(|item| item[key].as_i64()).sum()
}
