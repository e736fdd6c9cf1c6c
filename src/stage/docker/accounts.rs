//! Which account a job's requests to the operator's registry carry: a robot of its own, or the one that
//! the operator gave for all.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use crate::{
    config::{Config, DockerLane, Pusher, Registry},
    docker::{reference::Reference, tenant::Tenant},
    failure::Failure,
    gate::{Accounts, Errand, GateFolder, Login, Registries},
    harbor::{self, HostMark, Keeper, Robots},
    job::Job,
    secret::Secret,
    store::{StoreError, host_secret},
};

/// What a job logs in with at its own gate.
const USER: &str = "dockmaster";

/// The registries of a job.
pub(super) fn registries(
    config: &Config,
    lane: &DockerLane,
    job: &Job,
) -> Result<Registries, Failure> {
    let registry = config.registry.clone();
    let ours = registry.as_ref().map(|registry| registry.host.clone());
    let mut own: Vec<String> = job.registries();
    own.extend(ours.clone());
    let mut pull = lane.registries.clone();
    pull.extend(own.iter().cloned());
    let mirrors = registry.as_ref().map(|registry| registry.mirrors.clone());
    let mirrors = mirrors.unwrap_or_default();
    let hosts = mirrors
        .values()
        .filter_map(|mirror| mirror.split('/').next());
    pull.extend(hosts.map(str::to_owned));
    let mut push = lane.push_registries.clone();
    push.extend(own);
    let named = [&pull[..], &push[..]].concat();
    let has_account = registry.as_ref().is_some_and(Registry::has_account);
    Ok(Registries {
        host: ours.filter(|_| has_account),
        local: Login {
            username: USER.into(),
            password: if has_account {
                password(config, job)?
            } else {
                Secret::default()
            },
        },
        accounts: Arc::new(JobAccounts::open(config, job)?),
        mirrors,
        may_pull: Arc::new(move |host| pull.iter().any(|glob| covers(glob, host))),
        may_push: Arc::new(move |host| push.iter().any(|glob| covers(glob, host))),
        is_named: Arc::new(move |host| named.iter().any(|glob| names(glob, host))),
    })
}

/// The variables by which a job logs in at its gate, but for those that GitLab or the author gives.
pub(super) fn variables(
    config: &Config,
    job: &Job,
    given: &BTreeMap<String, String>,
) -> Result<Vec<String>, Failure> {
    let Some(registry) = config.registry.as_ref().filter(|it| it.has_account()) else {
        return Ok(Vec::new());
    };
    let is_other = |host: &String| *host != registry.host;
    if given.get("CI_REGISTRY").is_some_and(is_other) {
        return Ok(Vec::new());
    }
    let password = password(config, job)?;
    let mut all = vec![
        ("CI_REGISTRY", registry.host.clone()),
        ("CI_REGISTRY_USER", USER.to_owned()),
        ("CI_REGISTRY_PASSWORD", password.expose().to_owned()),
    ];
    all.extend(image(registry, job).map(|image| ("CI_REGISTRY_IMAGE", image)));
    all.retain(|(name, _)| !given.contains_key(*name));
    Ok(all
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

/// Where a job's image goes if it does not say: its first Harbor project, under the GitLab project's name.
fn image(registry: &Registry, job: &Job) -> Option<String> {
    let path = job.project_path().to_lowercase();
    let pusher = Pusher {
        id: job.job_info.project_id,
        path: &job.job_info.project_full_path,
        is_protected: job.is_protected(),
    };
    let project = *registry.may_push(pusher).first()?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let image = format!("{}/{project}/{name}", registry.host);
    Reference::parse(&image).is_ok().then_some(image)
}

/// What a job logs in with: the same in each of its phases, and nobody else's.
fn password(config: &Config, job: &Job) -> Result<Secret, StoreError> {
    let secret = host_secret(&config.state_dir)?.of_tenant(&Tenant::of(job));
    Ok(secret.keyed("registry", &job.key()).into())
}

/// The account that a job's image is pulled with before it has a gate, where dockmaster has one.
pub(super) async fn pull_account(
    config: &Config,
    job: &Job,
    repository: &str,
) -> Result<Option<Login>, Failure> {
    // Images are pulled side by side: the second one finds the robot that was made for the first.
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one = ONE.lock().await;
    let accounts = JobAccounts::open(config, job)?;
    let account = accounts.account(repository, Errand::Pull).await;
    account.map_err(Failure::system)
}

/// Deletes the robots that a job's record holds.
pub(super) async fn delete(config: &Config, job: &Job) -> Result<(), Failure> {
    match &config.registry {
        Some(registry) if registry.account.is_some() => {
            Ok(keeper(config, registry, job).delete().await?)
        }
        Some(_) | None => Ok(()),
    }
}

fn keeper(config: &Config, registry: &Registry, job: &Job) -> Keeper {
    Keeper {
        registry: registry.clone(),
        key: job.key(),
        description: format!(
            "dockmaster: job {} of pipeline {} of project {}; deleted when the job ends",
            job.id, job.job_info.pipeline_id, job.job_info.project_id
        ),
        record: GateFolder::new(&config.run_dir, &job.key()).robots(),
        host: HostMark::of(&config.state_dir),
    }
}

/// The accounts of one job.
struct JobAccounts {
    registry: Option<Registry>,
    project: i64,
    path: String,
    is_protected: bool,
    source: Source,
}

enum Source {
    /// The job's own account counts.
    None,
    Static(harbor::Account),
    Robots(Box<Robots>),
}

impl JobAccounts {
    fn open(config: &Config, job: &Job) -> Result<Self, Failure> {
        let source = match &config.registry {
            Some(registry) if registry.account.is_some() => {
                Source::Robots(Box::new(keeper(config, registry, job).open()?))
            }
            Some(Registry {
                static_account: Some(path),
                ..
            }) => Source::Static(harbor::Account::load(path)?),
            Some(_) | None => Source::None,
        };
        Ok(Self {
            registry: config.registry.clone(),
            project: job.job_info.project_id,
            path: job.job_info.project_full_path.clone(),
            is_protected: job.is_protected(),
            source,
        })
    }

    fn pusher(&self) -> Pusher<'_> {
        Pusher {
            id: self.project,
            path: &self.path,
            is_protected: self.is_protected,
        }
    }

    /// Registry and Harbor project of a repository of the operator's registry.
    fn project<'a>(&self, repository: &'a str) -> Option<(&Registry, &'a str)> {
        let registry = self.registry.as_ref()?;
        let rest = repository.strip_prefix(&registry.host)?.strip_prefix('/')?;
        Some((registry, rest.split('/').next().unwrap_or_default()))
    }

    async fn of(&self, project: &str, may_push: bool) -> Result<Option<Login>, String> {
        let account = match &self.source {
            Source::None => return Ok(None),
            Source::Static(account) => account.clone(),
            Source::Robots(robots) => {
                let account = robots.account(project, may_push).await;
                account.map_err(|error| Failure::from(error).to_string())?
            }
        };
        Ok(Some(Login {
            username: account.username,
            password: account.password,
        }))
    }
}

impl Accounts for JobAccounts {
    fn allows(&self, repository: &str, errand: Errand) -> Result<(), String> {
        let Some((registry, project)) = self.project(repository) else {
            return Ok(());
        };
        let has_policy = registry.has_account() || registry.has_push_policy();
        if errand == Errand::Pull || !has_policy {
            return Ok(());
        }
        let allowed = registry.may_push(self.pusher());
        if allowed.contains(&project) {
            return Ok(());
        }
        let where_to = match allowed.as_slice() {
            [] => "nowhere".to_owned(),
            allowed => allowed.join(", "),
        };
        Err(format!(
            "jobs of project {} may not push to {}/{project} (they may push to: {where_to}); the operator's \
             table [registry.push] says so",
            self.project, registry.host
        ))
    }

    fn account<'a>(
        &'a self,
        repository: &'a str,
        errand: Errand,
    ) -> BoxFuture<'a, Result<Option<Login>, String>> {
        Box::pin(async move {
            let Some((registry, project)) = self.project(repository) else {
                return Ok(None);
            };
            let is_in = |projects: Vec<&str>| projects.contains(&project);
            let may_push = is_in(registry.may_push(self.pusher()));
            if may_push || errand == Errand::Pull && is_in(registry.may_pull(self.pusher())) {
                self.of(project, may_push).await
            } else {
                Ok(None)
            }
        })
    }

    fn any_account(&self) -> BoxFuture<'_, Result<Option<Login>, String>> {
        Box::pin(async move {
            let Some(registry) = &self.registry else {
                return Ok(None);
            };
            let may_push = registry.may_push(self.pusher());
            let may_pull = registry.may_pull(self.pusher());
            match may_pull.first() {
                Some(project) => self.of(project, may_push.contains(project)).await,
                None => Ok(None),
            }
        })
    }
}

/// Whether a row of `registries` covers a host: all of it, any port of it, or everything.
fn covers(glob: &str, host: &str) -> bool {
    glob == "*" || names(glob, host)
}

/// Whether a row spells the host out, if not its port.
fn names(glob: &str, host: &str) -> bool {
    match glob.strip_suffix(":*") {
        Some(name) => host
            .rsplit_once(':')
            .is_some_and(|(known, _)| known == name),
        None => glob == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(text: &str, is_protected: bool) -> JobAccounts {
        let text = format!("host = 'h.example.com'\n{text}");
        JobAccounts {
            registry: Some(toml::from_str(&text).unwrap()),
            project: 42,
            path: "group/app".into(),
            is_protected,
            source: Source::None,
        }
    }

    #[track_caller]
    fn check(text: &str, is_protected: bool, allowed: &[&str]) {
        let accounts = accounts(text, is_protected);
        for project in ["a", "b", "c"] {
            let name = format!("h.example.com/{project}/app");
            let may = accounts.allows(&name, Errand::Push);
            assert_eq!(may.is_ok(), allowed.contains(&project), "{project} {may:?}");
            assert_eq!(accounts.allows(&name, Errand::Pull), Ok(()));
        }
    }

    #[test]
    fn a_project_pushes_only_where_its_rows_say() {
        let account = "static-account = '/a'\n";
        check("", true, &["a", "b", "c"]);
        check(account, true, &[]);
        check(
            &format!("{account}[push]\n42 = ['a']\n43 = ['b']\n"),
            true,
            &["a"],
        );
        check(
            "[push]\n'group/app' = ['a']\n'*' = ['b']\n",
            false,
            &["a", "b"],
        );
        let tiers = "[push]\n42 = ['a']\n[push-protected]\n42 = ['c']\n";
        check(tiers, false, &["a"]);
        check(tiers, true, &["a", "c"]);
        check(
            "[push]\n420 = ['a']\n'group' = ['b']\n'' = ['c']\n",
            true,
            &[],
        );
    }

    #[test]
    fn a_row_covers_a_registry_with_its_port_or_any() {
        assert!(covers("*", "127.0.0.1:5000") && !names("*", "127.0.0.1:5000"));
        assert!(names("127.0.0.1:*", "127.0.0.1:5000") && !names("127.0.0.1:*", "127.0.0.2:5000"));
        assert!(names("h:5000", "h:5000") && !names("h", "h:5000") && !names("h:*", "h"));
    }
}
