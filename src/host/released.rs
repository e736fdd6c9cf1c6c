//! Whether a release's own compose files may take the place of those that a host has: asked of the host's Compose
//! before any weight moves, and told in the log.

use super::{
    Host, LOOK, RemoteError, change,
    composed::{self, Composed},
    engine::{Containers, name},
    error, pin,
    project::{self, Project, hash_of, project_of},
    release::Plan,
    said::Tried,
    script::{Answer, Change},
};
use crate::lang::both;

/// What Compose makes of a release's files on a host.
#[derive(Debug, Default)]
struct Swapped {
    tried: Tried,
    was_hash: Option<String>,
    was_unset: Vec<String>,
    was_read: bool,
    hashes: Vec<(String, String)>,
    changes: Vec<Change>,
    ports: Vec<(String, String)>,
    container_name: Option<String>,
    is_on_host_network: bool,
    sharers: Vec<String>,
    stays: Vec<String>,
    missing: Vec<String>,
}

impl Swapped {
    fn read(answers: Vec<Answer>, service: &str) -> Self {
        let mut swapped = Self::default();
        for answer in &answers {
            match answer {
                Answer::WasHash { service: of, hash } if of == service => {
                    swapped.was_hash = Some(hash.clone());
                }
                Answer::WasUnset(name) => swapped.was_unset.push(name.clone()),
                Answer::WasRead => swapped.was_read = true,
                Answer::Hash { service, hash } => {
                    swapped.hashes.push((service.clone(), hash.clone()));
                }
                Answer::Change(change) => swapped.changes.push(change.clone()),
                Answer::Port { service, port } => {
                    swapped.ports.push((service.clone(), port.clone()));
                }
                Answer::Part { name, value } if name == "container_name" => {
                    swapped.container_name = Some(value.clone());
                }
                Answer::Part { value, .. } => swapped.is_on_host_network |= value == "host",
                Answer::SharesImage(name) => swapped.sharers.push(name.clone()),
                Answer::Stays(path) => swapped.stays.push(path.clone()),
                Answer::Missing(path) => swapped.missing.push(path.clone()),
                _ => {}
            }
        }
        swapped.tried = Tried::read(answers, service);
        swapped
    }
}

impl Host {
    /// Everything about a release's files that can be known before any weight moves.
    pub(super) async fn check_composed(
        &self,
        project: Project,
        composed: &Composed,
        (found, say): (&Containers, &dyn Fn(&str)),
    ) -> Result<(), RemoteError> {
        self.check_image_line(composed)?;
        self.check_taken_in(composed)?;
        let plan = self.forward_composed(project.clone(), composed).await?;
        let swapped = self.swapped(&plan, composed).await?;
        let tried = &swapped.tried;
        self.has_composed_check.set(tried.health_check);
        let holds = self.run_as(&swapped.hashes, &plan.after).await?;
        self.has_held_others.set(holds);
        self.judge_composed(&plan, &swapped, composed)?;
        let is_second = !self.needed_compose().await?.is_first_generation();
        let count = tried.scale.or(tried.replicas.filter(|_| is_second));
        self.check_count(count.map_or(0, |count| count as usize))?;
        self.check_sets(&plan, &swapped, (composed, found))?;
        self.check_ports(&swapped, composed)?;
        self.check_container_name(&swapped, &project).await?;
        self.tell(&plan, &swapped, (composed, say));
        Ok(())
    }

    /// It is the release's own fault, so another try of the same commit ends alike.
    pub(super) fn not_composed(&self, why: String, advice: String) -> RemoteError {
        RemoteError::Composed {
            host: self.name.clone(),
            why,
            advice,
        }
    }

    fn check_image_line(&self, composed: &Composed) -> Result<(), RemoteError> {
        let line = pin::image(&composed.texts(), &self.service);
        let Some(line) = line.filter(|line| !composed::may_name(line, &composed.image)) else {
            return Ok(());
        };
        let why = format!(
            "{} of the release names {line} as the image of `{}`, and release.image of the environment is {}",
            composed.names(),
            self.service,
            composed.image
        );
        let advice = "name that repository there, or correct compose.service or release.image";
        Err(self.not_composed(why, advice.into()))
    }

    fn check_taken_in(&self, composed: &Composed) -> Result<(), RemoteError> {
        let others = composed.taken_in();
        if others.is_empty() {
            return Ok(());
        }
        let others = others.join(", ");
        let why = format!(
            "{} of the release takes in {others} by extends or include, which does not come with it: the host's own would be read",
            composed.names()
        );
        let advice = "write into the file what it takes from there, or add it to compose.file";
        Err(self.not_composed(why, advice.into()))
    }

    async fn swapped(&self, plan: &Plan, composed: &Composed) -> Result<Swapped, RemoteError> {
        let compose = self.needed_compose().await?;
        let tried = plan.edits.tried(&plan.after);
        // Where nothing is there yet, Compose is not asked to look for files by itself.
        let (old, old_hashes) = match plan.before.files[..] {
            [] => ("false".to_owned(), "false".to_owned()),
            _ => (compose.config(&plan.before), compose.hashes(&plan.before)),
        };
        let arguments = [
            "swap",
            &plan.after.directory,
            &self.service,
            &plan.edits.packed(),
            &old,
            &old_hashes,
            &compose.config(&tried),
            &compose.hashes(&tried),
            &composed.reference,
            &compose.raw(&tried),
        ];
        let what = "try the release's compose files";
        let answers = self.ask(what, &arguments, LOOK).await?;
        if answers.is_empty() {
            return Err(error::not_ready(
                &self.name,
                "silent",
                &plan.after.directory,
            ));
        }
        Ok(Swapped::read(answers, &self.service))
    }

    fn judge_composed(
        &self,
        plan: &Plan,
        swapped: &Swapped,
        composed: &Composed,
    ) -> Result<(), RemoteError> {
        let (tried, service, names) = (&swapped.tried, &self.service, composed.names());
        if let Some((why, file)) = &tried.refusal {
            return Err(error::not_ready(&self.name, why, file));
        }
        if tried.is_unreadable {
            let log = plan.edits.named_as_placed(&tried.log.join("\n    "));
            let why = format!("its Compose does not take {names} of the release:\n    {log}");
            let advice = format!(
                "correct that in the repository; what stays on the hosts lies in {}",
                plan.after.directory
            );
            return Err(self.not_composed(why, advice));
        }
        if tried.lacks_service {
            let why = format!("{names} of the release has no service `{service}`");
            return Err(self.not_composed(why, "correct it, or compose.service".into()));
        }
        if tried.image != composed.reference || !swapped.sharers.is_empty() {
            let sharers = swapped.sharers.join(", ");
            let why = format!(
                "the image of `{service}` in {names} of the release cannot be changed alone{}",
                if sharers.is_empty() {
                    String::new()
                } else {
                    format!(": {sharers} would get it, too")
                }
            );
            let advice = "write it on a line `image: …` of the service's own, and so for services that take it over by an anchor or extends".into();
            return Err(self.not_composed(why, advice));
        }
        Ok(())
    }

    /// What the files need of the host: variables that something sets, and files.
    fn check_sets(
        &self,
        plan: &Plan,
        swapped: &Swapped,
        (composed, found): (&Composed, &Containers),
    ) -> Result<(), RemoteError> {
        let directory = &plan.after.directory;
        let made = found.labels().map(hash_of).filter(|it| !it.is_empty());
        // What was blank for the container that runs may stay so.
        let was_blank = made.is_some() && swapped.was_hash.as_deref() == made;
        let is_new = |name: &&String| !(was_blank && swapped.was_unset.contains(name));
        let unset: Vec<_> = swapped.tried.unset.iter().filter(is_new).cloned().collect();
        if !unset.is_empty() {
            let why = format!(
                "nothing sets {} for {} of the release",
                unset.join(", "),
                composed.names()
            );
            let advice = format!(
                "write it into {directory}/.env, or give it a default in the file: ${{NAME:-}}"
            );
            return Err(self.not_ready(why, advice));
        }
        if swapped.missing.is_empty() {
            return Ok(());
        }
        let missing = swapped.missing.join(", ");
        let why = format!(
            "{missing}, which {} of the release mounts, is not there",
            composed.names()
        );
        let advice = "put it there (a folder that may be empty: mkdir), for Docker would make a folder of root's of whatever is missing".into();
        Err(self.not_ready(why, advice))
    }

    /// The port that the balancer sends requests to stays the service's.
    fn check_ports(&self, swapped: &Swapped, composed: &Composed) -> Result<(), RemoteError> {
        if !self.has_balancer || swapped.is_on_host_network {
            return Ok(());
        }
        let public = self.public_port;
        let publishes = |text: &str| publishes(text, public);
        let mut others = swapped.ports.iter().filter(|(of, _)| *of != self.service);
        if let Some((other, _)) = others.find(|(_, text)| publishes(text)) {
            let why = format!(
                "{} of the release gives port {public}, which requests come to, to `{other}`",
                composed.names()
            );
            return Err(self.not_composed(why, "let the service publish it".into()));
        }
        let mut own = swapped.ports.iter().filter(|(of, _)| *of == self.service);
        if own.any(|(_, text)| publishes(text)) {
            return Ok(());
        }
        let why = format!(
            "`{}` does not publish port {public} in {} of the release, and requests come to that port",
            self.service,
            composed.names()
        );
        let advice = format!("add \"{public}:{}\" to its ports", self.port);
        Err(self.not_composed(why, advice))
    }

    async fn check_container_name(
        &self,
        swapped: &Swapped,
        project: &Project,
    ) -> Result<(), RemoteError> {
        let Some(wanted) = &swapped.container_name else {
            return Ok(());
        };
        let all = self.list(&[]).await?;
        let Some(holder) = all.iter().find(|it| name(it) == wanted) else {
            return Ok(());
        };
        let labels = holder.labels.as_ref();
        let service = labels.and_then(|it| it.get("com.docker.compose.service"));
        let is_own =
            labels.map(project_of) == Some(&project.name) && service == Some(&self.service);
        if is_own {
            return Ok(());
        }
        let why =
            format!("another container is called {wanted}, as container_name of the release says");
        Err(self.not_composed(why, "choose another name, or remove that container".into()))
    }

    /// Says what becomes other on the host.
    fn tell(&self, plan: &Plan, swapped: &Swapped, (composed, say): (&Composed, &dyn Fn(&str))) {
        let names = composed.names();
        if plan.edits.is_empty() {
            say(&both!("has {names} already", "已有 {names}"));
            return;
        }
        let places = plan.after.files.join(", ");
        say(&both!("{names} -> {places}", "{names} -> {places}"));
        if let Some(line) = by_hand(plan) {
            say(&both!(
                "whoever calls Compose there names them from now on: {line}",
                "今后在那里手工运行 Compose 时请写明：{line}"
            ));
        }
        // What nothing runs from stays.
        let goes =
            |it: &&String| !plan.after.files.contains(it) && !plan.before.unnamed.contains(it);
        for gone in plan.before.files.iter().filter(goes) {
            say(&both!(
                "{gone} goes: the release has no such file",
                "{gone} 将移除：该版本没有这个文件"
            ));
        }
        if swapped.was_read {
            let lines = change::lines(&swapped.changes, &self.service);
            for line in lines {
                say(&line);
            }
        } else {
            say(&both!(
                "what is there now cannot be compared: Compose does not take it",
                "无法比较现有文件：Compose 无法读取"
            ));
        }
        let mut stays = swapped.stays.clone();
        stays.extend(composed.env_files());
        if !stays.is_empty() {
            let stays = stays.join(", ");
            say(&both!("stays as it is: {stays}", "保持原样：{stays}"));
        }
    }
}

/// How a person names the files, where that becomes other and Compose does not find them by itself.
fn by_hand(plan: &Plan) -> Option<String> {
    let files = &plan.after.files;
    if *files == plan.before.files || project::is_plain(&plan.after.directory, files) {
        return None;
    }
    let files: Vec<_> = files.iter().map(|file| format!("-f {file}")).collect();
    Some(files.join(" "))
}

/// True where `127.0.0.1:3131-3132:80-81/tcp` publishes that port of the host.
fn publishes(text: &str, port: u16) -> bool {
    if text.ends_with("/udp") {
        return false;
    }
    let mut parts = text.rsplit(':');
    let (_, published) = (parts.next(), parts.next().unwrap_or_default());
    let (first, last) = published.split_once('-').unwrap_or((published, published));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&port),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_port_is_told_however_it_is_written() {
        for text in [
            "3131:80",
            "0.0.0.0:3131:80",
            "3130-3131:80-81",
            "[::1]:3131:80",
        ] {
            assert!(publishes(text, 3131), "{text}");
        }
        for text in ["80:3131", "3131", "3131:80/udp", "31310:80", ""] {
            assert!(!publishes(text, 3131), "{text}");
        }
    }
}
