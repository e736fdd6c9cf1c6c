//! The archives of `save` and `load`: read entry by entry and written anew, with other names.
//!
//! Pure but for the streams it is given. A name stands in two files at the root. What else could name
//! an image or say whose child it is, is left out: the engine would take a child that somebody made up
//! for a cached step of a build.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use serde_json::{Map, Value};
use tar::{Archive, Builder, EntryType, Header};

use super::json;
use super::refusal::Denied;

/// Files that list images are never larger.
const LARGEST_LIST: u64 = 4 * 1024 * 1024;

/// What a name becomes; nothing where the image shall have none. The empty name is that of an image
/// which has none.
pub(super) type Rename<'a> = &'a mut dyn FnMut(&str) -> Result<Option<String>, Denied>;

/// Copies an archive, with every name as `rename` says.
pub(super) fn rewrite(from: impl Read, to: impl Write, rename: Rename<'_>) -> Result<(), Denied> {
    let mut archive = Archive::new(from);
    let mut written = Builder::new(to);
    let mut lists = BTreeSet::new();
    for entry in archive.entries().map_err(|error| unreadable(&error))? {
        let mut entry = entry.map_err(|error| unreadable(&error))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let path = String::from_utf8(entry.path_bytes().into_owned()).ok();
        let path = path.as_deref().and_then(plain).ok_or_else(odd)?;
        let size = entry.size();
        if path.is_empty() || is_left_out(&path) {
            continue;
        }
        let mut header = Header::new_gnu();
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_entry_type(kind);
        header.set_size(0);
        if is_list(&path) {
            if !kind.is_file() || size > LARGEST_LIST || !lists.insert(path.clone()) {
                return Err(odd());
            }
            let mut bytes = Vec::new();
            entry
                .read_to_end(&mut bytes)
                .map_err(|error| unreadable(&error))?;
            let text = renamed(&path, &bytes, rename)?.to_string();
            header.set_size(text.len() as u64);
            written
                .append_data(&mut header, &path, text.as_bytes())
                .map_err(|error| unreadable(&error))?;
        } else if kind.is_file() {
            header.set_size(size);
            written
                .append_data(&mut header, &path, &mut entry)
                .map_err(|error| unreadable(&error))?;
        } else if kind.is_dir() {
            written
                .append_data(&mut header, &path, std::io::empty())
                .map_err(|error| unreadable(&error))?;
        } else if kind.is_symlink() && path.ends_with("/layer.tar") {
            let target = entry.link_name_bytes().ok_or_else(odd)?;
            let target = String::from_utf8(target.into_owned()).map_err(|_| odd())?;
            let is_layer = target.strip_prefix("../").is_some_and(|target| {
                plain(target).as_deref() == Some(target) && target.ends_with("/layer.tar")
            });
            if !is_layer {
                return Err(odd());
            }
            written
                .append_link(&mut header, &path, &target)
                .map_err(|error| unreadable(&error))?;
        } else {
            return Err(odd());
        }
    }
    let end = written.into_inner().and_then(|mut to| to.flush());
    end.map_err(|error| unreadable(&error))
}

fn is_list(path: &str) -> bool {
    matches!(path, "manifest.json" | "index.json")
}

/// Files of the first format of archives, which names parents and is read where there is no list.
fn is_left_out(path: &str) -> bool {
    let is_old = path.split_once('/').is_some_and(|(_, name)| name == "json");
    path == "repositories" || is_old
}

fn renamed(path: &str, bytes: &[u8], rename: Rename<'_>) -> Result<Value, Denied> {
    let mut list = json::value(bytes)?;
    if path == "manifest.json" {
        for image in list.as_array_mut().ok_or_else(odd)? {
            image_names(image.as_object_mut().ok_or_else(odd)?, rename)?;
        }
    } else {
        let mut images = list.get_mut("manifests").and_then(Value::as_array_mut);
        if let Some(images) = &mut images {
            images.retain(|image| !is_attached(&image["annotations"]));
        }
        for image in images.into_iter().flatten() {
            let image = image.as_object_mut().ok_or_else(odd)?;
            let notes = image
                .entry("annotations")
                .or_insert_with(|| Value::Object(Map::new()));
            annotation(notes.as_object_mut().ok_or_else(odd)?, rename)?;
        }
    }
    Ok(list)
}

fn image_names(image: &mut Map<String, Value>, rename: Rename<'_>) -> Result<(), Denied> {
    image.retain(|key, _| {
        matches!(
            key.as_str(),
            "Config" | "RepoTags" | "Layers" | "LayerSources"
        )
    });
    let names = image.get("RepoTags").and_then(Value::as_array).cloned();
    let mut kept = Vec::new();
    for name in names.into_iter().flatten() {
        let name = name.as_str().ok_or_else(odd)?;
        kept.extend(rename(name)?.map(Value::String));
    }
    if kept.is_empty() {
        kept.extend(rename("")?.map(Value::String));
    }
    let kept = if kept.is_empty() {
        Value::Null
    } else {
        Value::Array(kept)
    };
    image.insert("RepoTags".to_owned(), kept);
    Ok(())
}

const NAME: &str = "io.containerd.image.name";

/// Whether an entry of an index is no image, but what engines from 29 on hold beside one: what was said of it by
/// whoever made the same, be it another job.
fn is_attached(notes: &Value) -> bool {
    notes[NAME].is_null() && !notes["io.containerd.manifest.subject"].is_null()
}

/// The name of an image in an index; without it, a reference could count as one.
fn annotation(notes: &mut Map<String, Value>, rename: Rename<'_>) -> Result<(), Denied> {
    let name = notes.remove(NAME);
    notes.remove("org.opencontainers.image.ref.name");
    let name = match &name {
        Some(name) => name.as_str().ok_or_else(odd)?,
        None => "",
    };
    if let Some(name) = rename(name)? {
        notes.insert(NAME.to_owned(), Value::String(name));
    }
    Ok(())
}

/// A path without turns; nothing where it leads out.
fn plain(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\0', '\\']) {
        return None;
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

fn odd() -> Denied {
    Denied::malformed("the archive is not one that `docker save` writes")
}

fn unreadable(error: &std::io::Error) -> Denied {
    Denied::malformed(format!("the archive cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Vec<(String, String)> {
        let mut archive = Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (path, text)
        });
        entries.collect()
    }

    fn rewritten(files: &[(&str, &str)]) -> Result<Vec<(String, String)>, Denied> {
        let mut written = Vec::new();
        let mut rename = |name: &str| Ok(Some(format!("mine/{name}")));
        rewrite(packed(files).as_slice(), &mut written, &mut rename)?;
        Ok(unpacked(&written))
    }

    #[test]
    fn names_are_written_anew_and_parents_are_dropped() {
        let manifest = r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"],"Parent":"sha256:x"}]"#;
        let index = r#"{"manifests":[{"annotations":{"io.containerd.image.name":"b:1","org.opencontainers.image.ref.name":"c:2"}}]}"#;
        let files = rewritten(&[
            ("./manifest.json", manifest),
            ("index.json", index),
            ("repositories", r#"{"a":{"1":"l"}}"#),
            ("l/json", r#"{"parent":"x"}"#),
            ("l/layer.tar", "layer"),
        ])
        .unwrap();
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["manifest.json", "index.json", "l/layer.tar"]);
        assert_eq!(
            files[0].1,
            r#"[{"Config":"c.json","Layers":["l/layer.tar"],"RepoTags":["mine/a:1"]}]"#
        );
        assert_eq!(
            files[1].1,
            r#"{"manifests":[{"annotations":{"io.containerd.image.name":"mine/b:1"}}]}"#
        );
        assert_eq!(files[2].1, "layer");
    }

    #[test]
    fn what_others_said_of_the_same_image_is_left_out() {
        let index = r#"{"manifests":[{"annotations":{"io.containerd.image.name":"b:1"}},{"annotations":{"io.containerd.manifest.subject":"sha256:1"},"digest":"sha256:2"}]}"#;
        let files = rewritten(&[("index.json", index)]).unwrap();
        assert_eq!(
            files[0].1,
            r#"{"manifests":[{"annotations":{"io.containerd.image.name":"mine/b:1"}}]}"#
        );
    }

    #[test]
    fn an_archive_that_could_be_read_in_two_ways_is_refused() {
        for files in [
            &[("manifest.json", "[]"), ("a/../manifest.json", "[]")][..],
            &[("manifest.json", "[]"), ("./manifest.json", "[]")],
            &[("/manifest.json", "[]")],
            &[("manifest.json", r#"[{"RepoTags":["a"],"RepoTags":["b"]}]"#)],
            &[("manifest.json", r#"{"a":1}"#)],
        ] {
            assert!(rewritten(files).is_err(), "{files:?}");
        }
        assert!(
            rewrite(&b"\x1f\x8b\x08compressed"[..], Vec::new(), &mut |_| Ok(
                None
            ))
            .is_err()
        );
    }
}
