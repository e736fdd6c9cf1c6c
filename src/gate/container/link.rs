//! Links: names by which a container knows another one of its network.
//!
//! Pure. Only the name is given: the other one's environment, which links of old carry along, is not.

use serde_json::{Map, Value, json};

use crate::gate::field::texts;
use crate::gate::refusal::Denied;

/// The containers that the settings of a network link to, as the client wrote them.
pub(crate) fn containers(settings: &Map<String, Value>) -> Vec<&str> {
    let links = settings.get("Links").and_then(Value::as_array);
    let links = links.into_iter().flatten().filter_map(Value::as_str);
    links.map(|link| parts(link).0).collect()
}

/// Adds links to the settings of a network, each of them sound.
pub(super) fn add(
    place: &str,
    settings: &mut Map<String, Value>,
    given: Option<&Value>,
) -> Result<(), Denied> {
    let links = texts(place, given)?;
    for link in &links {
        let (container, alias) = parts(link);
        let is_sound = |name: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            !name.is_empty() && name.bytes().all(letter)
        };
        if !is_sound(container) || !is_sound(alias) {
            return Err(Denied::malformed(format!("{place} {link:?} is malformed")));
        }
    }
    if !links.is_empty() {
        let known = settings.entry("Links").or_insert_with(|| json!([]));
        if let Some(known) = known.as_array_mut() {
            known.extend(links.into_iter().map(Value::from));
        }
    }
    Ok(())
}

/// Writes the links anew. The engine looks the container up by a name of its network, and the
/// beginning of its id is one that nobody else can have.
pub(crate) fn write(settings: &mut Map<String, Value>, id_of: impl Fn(&str) -> Option<String>) {
    let Some(links) = settings.get_mut("Links").and_then(Value::as_array_mut) else {
        return;
    };
    for link in links {
        let text = link.as_str().unwrap_or_default().to_owned();
        let (container, alias) = parts(&text);
        let id = id_of(container).unwrap_or_default();
        *link = json!(format!("{}:{alias}", id.get(..12).unwrap_or(&id)));
    }
}

/// The container and the name for it.
fn parts(link: &str) -> (&str, &str) {
    let link = link.strip_prefix('/').unwrap_or(link);
    link.split_once(':').unwrap_or((link, link))
}
