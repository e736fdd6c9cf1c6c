//! Makes a job step by step, with the variables that GitLab adds in the order it adds them.

use super::{
    Artifact, Cache, Dependency, Empty, ExecutorOptions, Features, GitInfo, Image, Job, JobInfo,
    PolicyOptions, QueuedJob, RunnerInfo, Step, Variable, next_id,
};

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// A job in the making. Whatever is not said is as in a protected tag pipeline of project 42.
///
/// ```
/// use testbed::spec::JobBuilder;
/// let queued = JobBuilder::new("greet")
///     .image("alpine:latest")
///     .variable("GREETING", "hello $CI_COMMIT_TAG")
///     .script(["echo $GREETING"])
///     .tags(["devops_test_docker"])
///     .build();
/// assert_eq!(queued.job.steps[0].script, ["echo $GREETING"]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct JobBuilder {
    pub(crate) name: String,
    pub(crate) id: i64,
    stage: String,
    tags: Vec<String>,
    image: Image,
    services: Vec<Image>,
    script: Vec<String>,
    after_script: Vec<String>,
    variables: Vec<Variable>,
    artifacts: Vec<Artifact>,
    caches: Vec<Cache>,
    dependencies: Vec<Dependency>,
    project: (i64, String),
    server: String,
    pipeline: i64,
    reference: (String, &'static str),
    protected: Option<bool>,
    sha: String,
    message: String,
    timeout: u64,
    depth: i64,
}

/// One service of a job.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Service(pub(crate) Image);

impl Service {
    pub fn new(name: impl Into<String>) -> Self {
        Self(Image {
            name: name.into(),
            ..Image::default()
        })
    }

    /// Names separated by commas or blanks.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.0.alias = alias.into();
        self
    }

    pub fn command<const N: usize>(mut self, command: [&str; N]) -> Self {
        self.0.command = command.map(str::to_owned).to_vec();
        self
    }

    pub fn entrypoint<const N: usize>(mut self, entrypoint: [&str; N]) -> Self {
        self.0.entrypoint = entrypoint.map(str::to_owned).to_vec();
        self
    }

    pub fn variable(mut self, key: &str, value: &str) -> Self {
        self.0.variables.push(Variable::new(key, value));
        self
    }

    pub fn pull_policy(mut self, policy: &str) -> Self {
        self.0.pull_policy.push(policy.to_owned());
        self
    }

    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.0.executor_opts.docker.user);
        self
    }
}

/// What a job leaves for others.
#[derive(Clone, Debug)]
#[must_use]
pub struct Artifacts(pub(crate) Artifact);

impl Artifacts {
    pub fn paths<const N: usize>(paths: [&str; N]) -> Self {
        Self(Artifact {
            name: String::new(),
            untracked: false,
            paths: Some(paths.map(str::to_owned).to_vec()),
            exclude: None,
            when: String::new(),
            artifact_type: "archive".to_owned(),
            artifact_format: "zip".to_owned(),
            expire_in: String::new(),
        })
    }

    /// `on_success`, `on_failure` or `always`.
    pub fn when(mut self, when: &str) -> Self {
        when.clone_into(&mut self.0.when);
        self
    }

    pub fn exclude(mut self, pattern: &str) -> Self {
        self.0
            .exclude
            .get_or_insert_default()
            .push(pattern.to_owned());
        self
    }
}

/// What a job keeps for the next run.
#[derive(Clone, Debug)]
#[must_use]
pub struct Caches(pub(crate) Cache);

/// Which ways a cache goes.
#[derive(Clone, Copy, Debug)]
pub enum CachePolicy {
    Pull,
    Push,
    PullPush,
}

impl Caches {
    pub fn new<const N: usize>(key: &str, paths: [&str; N]) -> Self {
        Self(Cache {
            key: key.to_owned(),
            untracked: false,
            policy: "pull-push".to_owned(),
            paths: Some(paths.map(str::to_owned).to_vec()),
            when: "on_success".to_owned(),
            fallback_keys: None,
        })
    }

    pub fn policy(mut self, policy: CachePolicy) -> Self {
        let word = match policy {
            CachePolicy::Pull => "pull",
            CachePolicy::Push => "push",
            CachePolicy::PullPush => "pull-push",
        };
        word.clone_into(&mut self.0.policy);
        self
    }

    /// `on_success`, `on_failure` or `always`.
    pub fn when(mut self, when: &str) -> Self {
        when.clone_into(&mut self.0.when);
        self
    }
}

impl JobBuilder {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            id: next_id(),
            stage: "test".to_owned(),
            tags: Vec::new(),
            image: Image::default(),
            services: Vec::new(),
            script: Vec::new(),
            after_script: Vec::new(),
            variables: Vec::new(),
            artifacts: Vec::new(),
            caches: Vec::new(),
            dependencies: Vec::new(),
            project: (42, "copublic/test_server1".to_owned()),
            server: "https://gitlab.example.com".to_owned(),
            pipeline: next_id(),
            reference: ("v1.0.0".to_owned(), "tag"),
            protected: Some(true),
            sha: NO_COMMIT.to_owned(),
            message: "init".to_owned(),
            timeout: 600,
            depth: 20,
        }
    }

    pub fn id(mut self, id: i64) -> Self {
        self.id = id;
        self
    }

    pub fn stage(mut self, stage: impl Into<String>) -> Self {
        self.stage = stage.into();
        self
    }

    pub fn tags<I: IntoIterator<Item: Into<String>>>(mut self, tags: I) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    pub fn image(mut self, name: impl Into<String>) -> Self {
        self.image.name = name.into();
        self
    }

    pub fn entrypoint<I: IntoIterator<Item: Into<String>>>(mut self, entrypoint: I) -> Self {
        self.image.entrypoint = entrypoint.into_iter().map(Into::into).collect();
        self
    }

    pub fn pull_policy(mut self, policy: impl Into<String>) -> Self {
        self.image.pull_policy.push(policy.into());
        self
    }

    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.image.executor_opts.docker.user = user.into();
        self
    }

    pub fn image_options(mut self, options: ExecutorOptions) -> Self {
        self.image.executor_opts = options;
        self
    }

    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service.0);
        self
    }

    pub fn script<I: IntoIterator<Item: Into<String>>>(mut self, lines: I) -> Self {
        self.script = lines.into_iter().map(Into::into).collect();
        self
    }

    pub fn after_script<I: IntoIterator<Item: Into<String>>>(mut self, lines: I) -> Self {
        self.after_script = lines.into_iter().map(Into::into).collect();
        self
    }

    pub fn variable(self, key: &str, value: impl Into<String>) -> Self {
        self.with(Variable::new(key, value))
    }

    pub fn masked(self, key: &str, value: impl Into<String>) -> Self {
        self.with(Variable::new(key, value).masked())
    }

    pub fn file(self, key: &str, content: impl Into<String>) -> Self {
        self.with(Variable::new(key, content).file())
    }

    pub fn with(mut self, variable: Variable) -> Self {
        self.variables.push(variable);
        self
    }

    pub fn artifacts(mut self, artifacts: Artifacts) -> Self {
        self.artifacts.push(artifacts.0);
        self
    }

    pub fn cache(mut self, cache: Caches) -> Self {
        self.caches.push(cache.0);
        self
    }

    pub fn dependency(mut self, dependency: Dependency) -> Self {
        self.dependencies.push(dependency);
        self
    }

    pub fn project(mut self, id: i64, full_path: impl Into<String>) -> Self {
        self.project = (id, full_path.into());
        self
    }

    /// Where GitLab answers, `http://ADDRESS:PORT`.
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.server = url.into();
        self
    }

    pub fn pipeline(mut self, id: i64) -> Self {
        self.pipeline = id;
        self
    }

    pub fn tag(mut self, name: impl Into<String>) -> Self {
        self.reference = (name.into(), "tag");
        self
    }

    pub fn branch(mut self, name: impl Into<String>) -> Self {
        self.reference = (name.into(), "branch");
        self
    }

    pub fn protected(mut self, protected: bool) -> Self {
        self.protected = Some(protected);
        self
    }

    pub fn commit(mut self, sha: impl Into<String>, message: impl Into<String>) -> Self {
        self.sha = sha.into();
        self.message = message.into();
        self
    }

    pub fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = seconds;
        self
    }

    pub fn build(self) -> QueuedJob {
        let token = format!("job-token-{}", self.id);
        let job = Job {
            id: self.id,
            allow_git_fetch: true,
            job_info: self.job_info(),
            git_info: self.git_info(&token),
            runner_info: RunnerInfo {
                uuid: String::new(),
                timeout: self.timeout,
            },
            inputs: Empty {},
            variables: self.all_variables(&token),
            steps: self.steps(),
            image: self.image,
            services: self.services,
            artifacts: self.artifacts,
            cache: self.caches,
            credentials: Vec::new(),
            dependencies: self.dependencies,
            features: Features::default(),
            policy_options: PolicyOptions::default(),
            suspend_options: Empty {},
            token,
        };
        QueuedJob {
            job,
            tags: self.tags,
        }
    }

    fn project_name(&self) -> &str {
        self.project.1.rsplit('/').next().unwrap_or(&self.project.1)
    }

    fn namespace(&self) -> &str {
        self.project
            .1
            .rsplit_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    fn job_info(&self) -> JobInfo {
        JobInfo {
            name: self.name.clone(),
            stage: self.stage.clone(),
            pipeline_id: self.pipeline,
            project_id: self.project.0,
            project_name: self.project_name().to_owned(),
            project_full_path: self.project.1.clone(),
            namespace_id: 9,
            root_namespace_id: 9,
            organization_id: 1,
            instance_id: String::new(),
            instance_uuid: String::new(),
            user_id: 31,
            time_in_queue_seconds: 0.1,
            project_jobs_running_on_instance_runners_count: "0".to_owned(),
            queue_size: 1,
            queue_depth: 1,
        }
    }

    fn repository(&self, token: &str) -> String {
        let (scheme, rest) = self
            .server
            .split_once("://")
            .unwrap_or(("http", &self.server));
        format!(
            "{scheme}://gitlab-ci-token:{token}@{rest}/{}.git",
            self.project.1
        )
    }

    fn git_info(&self, token: &str) -> GitInfo {
        let (name, kind) = &self.reference;
        let refspec = match *kind {
            "tag" => format!("+refs/tags/{name}:refs/tags/{name}"),
            _ => format!("+refs/heads/{name}:refs/remotes/origin/{name}"),
        };
        GitInfo {
            repo_url: self.repository(token),
            repo_object_format: "sha1".to_owned(),
            reference: name.clone(),
            sha: self.sha.clone(),
            before_sha: NO_COMMIT.to_owned(),
            ref_type: (*kind).to_owned(),
            refspecs: vec![refspec],
            depth: self.depth,
            protected: self.protected,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let step = |name: &str, script: &[String], when: &str, allow_failure| Step {
            name: name.to_owned(),
            script: script.to_vec(),
            timeout: self.timeout,
            when: when.to_owned(),
            allow_failure,
        };
        let mut steps = vec![step("script", &self.script, "on_success", false)];
        if !self.after_script.is_empty() {
            steps.push(step("after_script", &self.after_script, "always", true));
        }
        steps
    }

    fn all_variables(&self, token: &str) -> Vec<Variable> {
        let mut list = self.variables_of_job(token);
        list.extend(self.variables_of_commit());
        let tags = &self.tags;
        list.push(Variable::new("CI_RUNNER_ID", "5"));
        list.push(Variable::new("CI_RUNNER_TAGS", format!("{tags:?}")));
        list.push(Variable::new("CI_REPOSITORY_URL", self.repository(token)).private());
        list.push(Variable::new("GITLAB_USER_LOGIN", "zhang"));
        list.push(Variable::new("GITLAB_USER_NAME", "zhang"));
        let title = self.message.lines().next().unwrap_or_default();
        list.push(Variable::new("CI_COMMIT_MESSAGE", &*self.message));
        list.push(Variable::new("CI_COMMIT_TITLE", title));
        let (name, kind) = &self.reference;
        let key = if *kind == "tag" {
            "CI_COMMIT_TAG"
        } else {
            "CI_COMMIT_BRANCH"
        };
        list.push(Variable::new(key, name));
        list.extend(self.variables.iter().cloned());
        list
    }

    fn variables_of_job(&self, token: &str) -> Vec<Variable> {
        let server = &self.server;
        let host = server
            .split_once("://")
            .map_or(server.as_str(), |(_, rest)| rest);
        let host = host.split(':').next().unwrap_or(host);
        let project = format!("{server}/{}", self.project.1);
        [
            ("CI", "true".to_owned()),
            ("GITLAB_CI", "true".to_owned()),
            ("CI_SERVER", "yes".to_owned()),
            ("CI_SERVER_URL", server.clone()),
            ("CI_SERVER_HOST", host.to_owned()),
            ("CI_SERVER_VERSION", "19.4.0".to_owned()),
            ("CI_API_V4_URL", format!("{server}/api/v4")),
            ("CI_JOB_ID", self.id.to_string()),
            ("CI_JOB_NAME", self.name.clone()),
            ("CI_JOB_STAGE", self.stage.clone()),
            ("CI_JOB_TOKEN", token.to_owned()),
            ("CI_JOB_URL", format!("{project}/-/jobs/{}", self.id)),
            ("CI_PIPELINE_ID", self.pipeline.to_string()),
            ("CI_PIPELINE_IID", (self.pipeline % 10).to_string()),
            ("CI_PIPELINE_SOURCE", "push".to_owned()),
            (
                "CI_PIPELINE_URL",
                format!("{project}/-/pipelines/{}", self.pipeline),
            ),
            ("CI_PROJECT_ID", self.project.0.to_string()),
            ("CI_PROJECT_NAME", self.project_name().to_owned()),
            ("CI_PROJECT_PATH", self.project.1.clone()),
            ("CI_PROJECT_PATH_SLUG", slug(&self.project.1)),
            ("CI_PROJECT_NAMESPACE", self.namespace().to_owned()),
            ("CI_PROJECT_URL", project),
        ]
        .map(|(key, value)| match key {
            "CI_JOB_TOKEN" => Variable::new(key, value).masked(),
            _ => Variable::new(key, value),
        })
        .to_vec()
    }

    fn variables_of_commit(&self) -> Vec<Variable> {
        let name = &self.reference.0;
        [
            ("CI_COMMIT_SHA", self.sha.clone()),
            ("CI_COMMIT_SHORT_SHA", self.sha.chars().take(8).collect()),
            ("CI_COMMIT_REF_NAME", name.clone()),
            ("CI_COMMIT_REF_SLUG", slug(name)),
            (
                "CI_COMMIT_REF_PROTECTED",
                (self.protected == Some(true)).to_string(),
            ),
            ("CI_DEFAULT_BRANCH", "master".to_owned()),
        ]
        .map(|(key, value)| Variable::new(key, value))
        .to_vec()
    }
}

/// GitLab's slug: lower case, everything but letters and digits a dash, at most 63 long.
pub(crate) fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let dashed: String = lower
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    dashed.trim_matches('-').to_owned()
}
