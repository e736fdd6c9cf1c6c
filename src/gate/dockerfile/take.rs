//! What `COPY` and `RUN` take from stages and images.

use super::file::{At, Image, Part, Road};
use super::judge::Judge;
use super::{flag, rule};
use crate::docker::reference::Reference;
use crate::gate::refusal::Denied;

impl Judge<'_> {
    pub(super) fn copy(&mut self, at: At<'_>, rest: &str) -> Result<Vec<Part>, Denied> {
        let (flags, rest) = flag::take(rest, at)?;
        rule::flags(at.keyword, &flags, at)?;
        let mut parts = vec![Part::Text(at.keyword.to_owned())];
        for flag in &flags {
            if flag.name != "from" {
                parts.push(Part::Text(format!(" {}", flag.text())));
            } else if !flag.value().is_empty() {
                parts.push(Part::Text(" --from=".to_owned()));
                parts.push(self.source(flag.value(), true, at)?);
            }
        }
        parts.push(Part::Text(format!(" {rest}")));
        Ok(parts)
    }

    pub(super) fn run(&mut self, at: At<'_>, rest: &str) -> Result<Vec<Part>, Denied> {
        let (flags, rest) = flag::take(rest, at)?;
        rule::flags(at.keyword, &flags, at)?;
        let mut parts = vec![Part::Text(at.keyword.to_owned())];
        for flag in &flags {
            if flag.name == "mount" {
                parts.extend(self.mount(flag.value(), at)?);
            } else {
                parts.push(Part::Text(format!(" {}", flag.text())));
            }
        }
        parts.push(Part::Text(format!(" {rest}")));
        Ok(parts)
    }

    fn mount(&mut self, mount: &str, at: At<'_>) -> Result<Vec<Part>, Denied> {
        let is_quoted = mount.contains([' ', '\t']);
        let mut parts = vec![Part::Text(
            if is_quoted {
                " --\"mount="
            } else {
                " --mount="
            }
            .to_owned(),
        )];
        for (place, field) in mount.split(',').enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match rule::from_of(field) {
                Some(from) if !from.is_empty() => {
                    parts.push(Part::Text(format!("{comma}from=")));
                    parts.push(self.source(from, false, at)?);
                }
                _ => parts.push(Part::Text(format!("{comma}{field}"))),
            }
        }
        parts.extend(is_quoted.then(|| Part::Text("\"".to_owned())));
        Ok(parts)
    }

    /// What `COPY` or a mount takes from: a stage, or an image.
    fn source(&mut self, from: &str, is_copy: bool, at: At<'_>) -> Result<Part, Denied> {
        if from.contains('$') {
            return Err(at.unclear(
                "no variable is resolved here: give a stage of its own the image, and name that",
            ));
        }
        let current = self.stages.len().saturating_sub(1);
        let is_ahead = self.given.road == Road::BuildKit;
        let known = if is_ahead { self.ahead.len() } else { current };
        let number: Option<usize> = from.parse().ok().filter(|_| is_copy);
        let lower = from.to_lowercase();
        let mut names = self.ahead.iter().take(known);
        let index = match number {
            Some(number) if number < known => Some(number),
            Some(_) => return Err(at.unclear(format!("there is no stage {from}: correct it"))),
            None => names.rposition(|name| *name == lower),
        };
        let Some(index) = index else {
            return self.image(from, None, at);
        };
        if let Some(stage) = self.stages.last_mut() {
            stage.needs.insert(index);
        }
        Ok(Part::Text(match number {
            Some(number) => number.to_string(),
            None => lower,
        }))
    }

    pub(super) fn image(
        &mut self,
        name: &str,
        platform: Option<String>,
        at: At<'_>,
    ) -> Result<Part, Denied> {
        if name == "scratch" || self.is_context(name) {
            return Ok(Part::Text(name.to_owned()));
        }
        Reference::parse_or_id(name).map_err(|error| at.unclear(format!("{error}: correct it")))?;
        let image = Image {
            name: name.to_owned(),
            platform,
        };
        let known = self.images.iter().position(|known| *known == image);
        let index = known.unwrap_or(self.images.len());
        if known.is_none() {
            self.images.push(image);
        }
        Ok(Part::Image(index))
    }

    /// Whether a further context has this name, as `BuildKit` compares them.
    fn is_context(&self, name: &str) -> bool {
        let Ok(name) = Reference::parse(name) else {
            return false;
        };
        let tag = name.tag.as_deref().filter(|tag| *tag != "latest");
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let key = format!("{}{tag}", name.familiar());
        name.digest.is_none() && self.given.contexts.contains(&key)
    }
}
