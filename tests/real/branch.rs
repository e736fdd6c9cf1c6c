//! Two environments of one project side by side: staging from its branch, production from its tags.

use std::fs;

use testbed::{
    application::Application,
    company::{Company, PIPELINE},
    fleet::Host,
};

use crate::{fixture::Fixture, pipeline::weights_are_as_before};

testbed::tests![
    Fixture; [Testbed];
    a_branch_goes_to_staging_and_a_tag_of_the_same_commit_to_production,
];

const STAGING: &str = "/srv/staging";
const SERVICE: &str = "stage";

/// The company's pipeline, and two jobs more for its branch.
fn pipeline() -> String {
    let production = PIPELINE.replace("dockmaster deploy", "dockmaster deploy production");
    format!(
        "{production}
build_branch:
  stage: build
  image: docker:latest
  script:
    - docker build -t $CI_REGISTRY/test/test_server1:$CI_COMMIT_SHORT_SHA .
    - docker tag $CI_REGISTRY/test/test_server1:$CI_COMMIT_SHORT_SHA $CI_REGISTRY/test/test_server1:latest
    - docker push $CI_REGISTRY/test/test_server1:$CI_COMMIT_SHORT_SHA
    - docker push $CI_REGISTRY/test/test_server1:latest
  only: [branches]
  tags: [devops_test_docker]

deploy_branch:
  stage: deploy
  script: [dockmaster deploy staging]
  only: [branches]
  tags: [devops_prod_deploy]
"
    )
}

/// A second project on one of the hosts, as an environment of its own; gone when dropped.
struct Staging<'a>(&'a Company);

impl<'a> Staging<'a> {
    fn install(company: &'a Company) -> Self {
        let staging = Self(company);
        let host = staging.host();
        let image = host.exec("docker inspect --format '{{.Config.Image}}' $(docker ps -q --filter label=com.docker.compose.service=app)").unwrap();
        let file = format!(
            "version: \"3.8\"\nservices:\n  {SERVICE}:\n    image: {image}\n    ports: [\"3141:3131\"]\n"
        );
        let make = format!(
            "install -d -o deploy -g deploy {STAGING} && cat > {STAGING}/docker-compose.yml && chown deploy {STAGING}/docker-compose.yml && chmod 644 {STAGING}/docker-compose.yml"
        );
        host.exec(&format!("printf '%s' '{file}' | ({make})"))
            .unwrap();
        host.exec_as_deploy(&format!("cd {STAGING} && docker-compose up -d"), b"")
            .unwrap();
        staging.configure(&host.name);
        staging
    }

    fn host(&self) -> &'a Host {
        &self.0.infrastructure.fleet.hosts[2]
    }

    fn configure(&self, host: &str) {
        let installation = &self.0.installation;
        let etc = installation.root().join("etc/environments");
        let text = fs::read_to_string(etc.join("production.toml")).unwrap();
        let mut file: toml::Table = text.parse().unwrap();
        file["policy"]["refs"] = vec!["branches:master"].into();
        file["compose"]["directory"] = STAGING.into();
        file["compose"]["service"] = SERVICE.into();
        let balancer = file["balancer"].as_table_mut().unwrap();
        *balancer = [("kind".to_owned(), "none".into())].into_iter().collect();
        let hosts = file["hosts"].as_array_mut().unwrap();
        hosts.retain(|one| one["name"].as_str() == Some(host));
        fs::write(etc.join("staging.toml"), file.to_string()).unwrap();
        self.lane(&["production", "staging"]);
    }

    fn lane(&self, environments: &[&str]) {
        let edited = self.0.installation.environments(environments);
        edited.unwrap();
    }

    /// The digest that its container runs.
    fn digest(&self) -> String {
        let filter = format!("docker ps -q --filter label=com.docker.compose.service={SERVICE}");
        let image = format!("docker inspect --format '{{{{.Image}}}}' $({filter})");
        let digests =
            format!("docker image inspect --format '{{{{json .RepoDigests}}}}' $({image})");
        self.host().exec(&digests).unwrap()
    }
}

impl Drop for Staging<'_> {
    /// The tests after this one have one environment again, and the host one project.
    fn drop(&mut self) {
        self.lane(&["production"]);
        let remove = format!("cd {STAGING} && docker-compose down; rm -rf {STAGING}/*");
        self.host().exec(&remove).unwrap();
    }
}

/// Runs the pipeline of a ref; the log of its job.
#[track_caller]
fn run(company: &Company, reference: &str, job: &str) -> String {
    let pipeline = company.pipeline(reference).unwrap();
    let outcome = pipeline.start(&company.runner().unwrap()).wait().unwrap();
    assert!(outcome.is_passed(), "{}", outcome.story());
    outcome.log(job).unwrap().clone()
}

fn a_branch_goes_to_staging_and_a_tag_of_the_same_commit_to_production(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let staging = Staging::install(&company);
    let application = Application::new("v7.0.0");
    company
        .release_with(&pipeline(), &application, "v7.0.0")
        .unwrap();
    let before = company.infrastructure.fleet.hosts[0]
        .running_digest()
        .unwrap();

    let log = run(&company, "master", "deploy_branch");
    assert!(log.contains("staging runs master@"), "{log}");
    let commit = company.pushed_digest("latest").unwrap();
    assert!(staging.digest().contains(&commit), "{}", staging.digest());
    let production = |host: &Host| host.running_digest().unwrap();
    assert_eq!(production(&company.infrastructure.fleet.hosts[0]), before);

    let log = run(&company, "v7.0.0", "deploy");
    assert!(log.contains("production runs v7.0.0"), "{log}");
    let released = company.pushed_digest("v7.0.0").unwrap();
    assert_eq!(company.running_digest().unwrap(), released);
    assert!(staging.digest().contains(&commit), "{}", staging.digest());
    weights_are_as_before(&company);

    let history = company
        .installation
        .command(&["rollout", "history", "staging"])
        .output()
        .unwrap();
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(history.contains("master@"), "{history}");
    assert!(!history.contains("v7.0.0"), "{history}");
}
