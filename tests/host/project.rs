//! Projects as people keep them: several files, `.env`, variables, replicas; by both generations of
//! Compose. Each test has a folder of its own on a host, beside the fleet's own service of the same name.

use std::fs;

use dockmaster::{
    failure::{Class, Failure},
    host::{Host, RemoteError},
    rollout::port::{Container, Release, Remote, Slot, Survey},
};
use testbed::{
    command::docker,
    fleet,
    infrastructure::{FIRST_RELEASE, REPOSITORY},
    trial::plugin,
};

use crate::fixture::{Fixture, assert_says, container, is_healthy, run, survey_until, wait_until};

testbed::tests![
    Fixture; [Testbed];
    the_files_of_what_runs_are_used_again,
    the_files_of_what_runs_are_used_again_by_the_second_generation: [ComposePlugin],
    a_project_is_found_whatever_env_calls_it_and_its_files,
    what_cannot_be_reproduced_is_refused_before_anything_is_pulled,
    a_variable_of_somebody_s_shell_is_missed_before_anything_is_pulled,
    an_override_of_earlier_releases_goes_where_nothing_changes_for_it,
    a_release_that_compose_cannot_start_is_not_left_in_the_files,
    a_definition_that_was_changed_meanwhile_does_not_stop_the_way_back,
    files_of_an_attempt_that_was_cut_off_are_put_back,
    an_image_that_others_share_is_not_changed_for_them,
    a_plain_up_changes_nothing_where_compose_forgets_dependencies: [ComposePlugin],
    a_half_made_container_that_serves_is_deployed_over,
    a_half_made_container_of_the_second_generation_is_deployed_over: [ComposePlugin],
    replicas_are_refused_before_anything_is_pulled,
    an_image_that_speaks_as_compose_does_is_refused_and_not_believed,
    a_file_keeps_its_owner_and_its_group,
];

pub(crate) const FOLDER: &str = "/srv/shop";
const PLUGINS: &str = "/usr/libexec/docker/cli-plugins";

/// A company's project on app-3; gone when dropped.
pub(crate) struct Shop<'a> {
    fixture: &'a Fixture,
    pub(crate) host: &'a fleet::Host,
    /// How its people call Compose.
    compose: &'static str,
}

impl<'a> Shop<'a> {
    pub(crate) fn new(fixture: &'a Fixture, compose: &'static str) -> Self {
        let host = fixture.host("app-3");
        host.exec(&format!("install -d -o deploy -g deploy {FOLDER}"))
            .unwrap();
        if compose == "docker compose" {
            let plugin = plugin("docker-compose").unwrap();
            host.exec(&format!("mkdir -p {PLUGINS}")).unwrap();
            let target = format!("{}:{PLUGINS}/docker-compose", host.container);
            docker(&["cp", &plugin.to_string_lossy(), &target]).unwrap();
        }
        Self {
            fixture,
            host,
            compose,
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let write = format!("cat >{FOLDER}/{name}");
        self.host.exec_as_deploy(&write, text.as_bytes()).unwrap();
    }

    /// A file whose service `app` runs the fleet's first release.
    pub(crate) fn write_base(&self, name: &str, more: &str) {
        let text = format!(
            "version: \"3.7\"\nservices:\n  app:\n    image: {}\n    restart: always\n{more}",
            self.first()
        );
        self.write(name, &text);
    }

    pub(crate) fn first(&self) -> String {
        let image = self.fixture.infrastructure.registry.image(REPOSITORY);
        format!("{image}:{FIRST_RELEASE}")
    }

    /// What a person types in the folder.
    pub(crate) fn types(&self, words: &str) -> String {
        let line = format!("cd {FOLDER} && {}", words.replace("COMPOSE", self.compose));
        self.host.exec_as_deploy(&line, b"").unwrap()
    }

    /// Every file with its content.
    pub(crate) fn files(&self) -> String {
        let list =
            format!("cd {FOLDER} && for it in $(ls -A); do echo \"== $it\"; cat $it; done; echo .");
        self.host.exec(&list).unwrap()
    }

    fn remote_with(&self, project: Option<&str>) -> Host {
        let mut environment = self.fixture.environment();
        environment.compose.directory = FOLDER.into();
        environment.compose.project = project.map(str::to_owned);
        let host = environment.hosts.iter().find(|it| it.name == "app-3");
        Host::open(&environment, host.unwrap(), Some(&self.fixture.registry())).unwrap()
    }

    fn remote(&self) -> Host {
        self.remote_with(None)
    }

    fn refused(&self, words: &[&str]) {
        let before = self.files();
        let error = run(self.remote().pull(&self.fixture.new, &|_| ())).unwrap_err();
        assert!(matches!(error, RemoteError::NotReady { .. }), "{error}");
        assert_says(&error, words);
        assert_eq!(self.files(), before);
    }

    /// Pulls and switches; the container that serves then.
    pub(crate) async fn deploy(
        &self,
        remote: &Host,
        attempt: &str,
        release: &Release,
    ) -> Container {
        remote.pull(release, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, attempt, &release.reference())
            .await
            .unwrap();
        let is_there = |it: &Survey| is_healthy(it) && it.container.as_ref().unwrap().runs(release);
        survey_until(remote, is_there).await.container.unwrap()
    }

    pub(crate) fn inspect(&self, id: &str, format: &str) -> String {
        let line = format!("docker inspect --format '{format}' {id}");
        self.host.exec(&line).unwrap()
    }

    /// Makes Compose do that instead of `up`.
    pub(crate) fn spoil_up(&self, instead: &str) {
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *\" up \"*) {instead};; esac\nexec /usr/bin/docker-compose \"$@\"\n"
        );
        let write = "cat >/tmp/spoilt && chmod 755 /tmp/spoilt";
        self.host.exec_as_deploy(write, text.as_bytes()).unwrap();
        let install = "install /tmp/spoilt /usr/local/bin/docker-compose";
        self.host.exec(install).unwrap();
    }

    fn ids(&self) -> String {
        let label = format!("label=com.docker.compose.project.working_dir={FOLDER}");
        let list = format!("docker ps -aq --no-trunc --filter {label} | sort");
        self.host.exec(&list).unwrap()
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project.working_dir={FOLDER}");
        let _ = self.host.exec(&format!(
            "docker rm -f $(docker ps -aq --filter {label}); docker network prune -f; docker volume prune -f; \
             rm -rf {FOLDER} /home/deploy/.cache/dockmaster/shop /home/deploy/.cache/dockmaster/mall \
             /home/deploy/.cache/dockmaster/.places /home/deploy/.cache/dockmaster/.released; rm -f {PLUGINS}/docker-compose /usr/local/bin/docker-compose"
        ));
    }
}

/// Two files, of which the second brings a volume and a variable.
fn use_again(fixture: &Fixture, compose: &'static str) {
    let shop = Shop::new(fixture, compose);
    shop.write_base("docker-compose.yml", "");
    shop.write(
        "docker-compose.prod.yml",
        "version: \"3.7\"\nservices:\n  app:\n    environment: {DATABASE_URL: \"pg://a$$b\"}\n    volumes: [\"data:/data\"]\n\
         volumes: {data: {}}\n",
    );
    let typed = "COMPOSE -f docker-compose.yml -f docker-compose.prod.yml up -d";
    shop.types(typed);
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        let before = shop.files();
        let new = shop.deploy(&remote, "run-1", &fixture.new).await;
        let made = shop.inspect(&new.id, "{{.Config.Env}} {{range .Mounts}}{{.Name}}{{end}}");
        assert!(made.contains("DATABASE_URL=pg://a$b"), "{made}");
        assert!(made.contains("shop_data"), "{made}");
        shop.types(typed);
        assert_eq!(container(&remote).await.id, new.id);
        // The service's container is lost, and another process begins: the files are still known.
        let prefix = format!("docker rm -f {}", new.id);
        shop.host.exec(&prefix).unwrap();
        let later = shop.remote();
        later
            .switch(Slot::Own, "run-2", &old.reference)
            .await
            .unwrap();
        let back = container(&later).await;
        assert_eq!(back.image, old.image);
        assert_eq!(shop.files(), before);
        let made = shop.inspect(&back.id, "{{.Config.Env}}");
        assert!(made.contains("DATABASE_URL=pg://a$b"), "{made}");
        shop.types(typed);
        assert_eq!(container(&later).await.id, back.id);
    });
}

fn the_files_of_what_runs_are_used_again(fixture: &Fixture) {
    use_again(fixture, "docker-compose");
}

fn the_files_of_what_runs_are_used_again_by_the_second_generation(fixture: &Fixture) {
    use_again(fixture, "docker compose");
}

fn a_project_is_found_whatever_env_calls_it_and_its_files(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write(
        ".env",
        "COMPOSE_PROJECT_NAME=mall\nexport COMPOSE_FILE=one.yml:two.yml\n",
    );
    shop.write_base("one.yml", "");
    shop.write(
        "two.yml",
        "version: \"3.7\"\nservices: {app: {environment: {TWO: here}}}\n",
    );
    shop.types("COMPOSE up -d");
    run(async {
        let remote = shop.remote();
        container(&remote).await;
        let new = shop.deploy(&remote, "run-1", &fixture.new).await;
        let made = shop.inspect(&new.id, "{{.Name}} {{.Config.Env}}");
        assert!(made.starts_with("/mall_app_1 "), "{made}");
        assert!(made.contains("TWO=here"), "{made}");
        shop.types("COMPOSE up -d");
        assert_eq!(shop.ids().trim(), new.id);
        let wrong = shop.remote_with(Some("shop"));
        assert!(wrong.survey().await.unwrap().container.is_none());
        let error = wrong.pull(&fixture.new, &|_| ()).await.unwrap_err();
        assert_says(
            &error,
            &[
                "app-3",
                "nothing of project shop",
                "mall_app_1 of project mall does",
                "compose.project",
            ],
        );
    });
}

fn what_cannot_be_reproduced_is_refused_before_anything_is_pulled(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write_base("base.yml", "");
    shop.write(
        "prod.yml",
        "version: \"3.7\"\nservices: {app: {environment: {A: b}}}\n",
    );
    shop.types("COMPOSE -f base.yml -f prod.yml up -d");
    shop.types("mv prod.yml gone.yml");
    shop.refused(&[
        "app-3",
        "/srv/shop/prod.yml",
        "not there any more",
        "put it back",
    ]);
    shop.types("cat base.yml | COMPOSE -f - up -d --force-recreate");
    shop.refused(&["app-3", "standard input", "by hand, with -f"]);
    shop.types("sed -i 's/app:$/app: \\&app/; s/restart: always/<<: {image: x}/' base.yml");
    shop.types("COMPOSE -f base.yml up -d");
    shop.write("base.yml", "services: {app: {image: x}}\n");
    shop.refused(&["/srv/shop/base.yml", "image", "`app`", "a line"]);
}

fn a_variable_of_somebody_s_shell_is_missed_before_anything_is_pulled(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    let image = shop.first().replace(FIRST_RELEASE, "${TAG:?set the TAG}");
    let text = format!("version: \"3.7\"\nservices:\n  app:\n    image: {image}\n");
    shop.write("docker-compose.yml", &text);
    shop.types(&format!("TAG={FIRST_RELEASE} COMPOSE up -d"));
    shop.refused(&["app-3", "set the TAG", "/srv/shop/.env"]);
    shop.write_base(
        "docker-compose.yml",
        "    environment: {A: \"${ONLY_THERE}\", B: \"${NOWHERE}\"}\n",
    );
    shop.types("ONLY_THERE=1 COMPOSE up -d");
    shop.refused(&["app-3", "ONLY_THERE", "/srv/shop/.env"]);
    // What is blank for everybody is blank for all.
    shop.write_base(
        "docker-compose.yml",
        "    environment: {B: \"${NOWHERE}\"}\n",
    );
    shop.types("COMPOSE up -d");
    run(async {
        let remote = shop.remote();
        shop.deploy(&remote, "run-1", &fixture.new).await;
    });
}

/// As earlier releases of dockmaster left it.
fn write_old_override(shop: &Shop<'_>) {
    let text = format!(
        "# Written by dockmaster at each rollout: names the release.\nversion: \"3.7\"\nservices:\n  app:\n    image: \"{}\"\n",
        shop.first()
    );
    shop.write("docker-compose.override.yml", &text);
}

fn an_override_of_earlier_releases_goes_where_nothing_changes_for_it(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    // With another file beside, Compose 1 sorts this list, and so takes the database for changed.
    let database = format!(
        "  db:\n    image: {}\n    command: [\"sleep\", \"1000\"]\n    volumes: [\"data:/data\", \"./conf:/conf\"]\nvolumes: {{data: {{}}}}\n",
        shop.first()
    );
    shop.write_base("docker-compose.yml", &database);
    shop.types("COMPOSE up -d db");
    write_old_override(&shop);
    shop.types("COMPOSE up -d --no-deps app");
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        let before = shop.files();
        shop.deploy(&remote, "run-1", &fixture.new).await;
        assert!(!shop.files().contains("override"), "{}", shop.files());
        let ids = shop.ids();
        shop.types("COMPOSE up -d");
        assert_eq!(shop.ids(), ids, "a plain `up -d` changes nothing");
        remote
            .switch(Slot::Own, "run-2", &old.reference)
            .await
            .unwrap();
        assert_eq!(container(&remote).await.image, old.image);
        assert_eq!(shop.files(), before);
        // The database is made anew while the override is there: its going would change it once more.
        shop.types("COMPOSE up -d");
        let later = shop.remote();
        container(&later).await;
        shop.deploy(&later, "next-1", &fixture.new).await;
        let ids = shop.ids();
        shop.types("COMPOSE up -d");
        assert_eq!(shop.ids(), ids, "a plain `up -d` changes nothing");
    });
}

fn a_release_that_compose_cannot_start_is_not_left_in_the_files(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write_base("docker-compose.yml", "");
    shop.types("COMPOSE up -d");
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let before = shop.files();
        shop.spoil_up("exit 7");
        let error = remote
            .switch(Slot::Own, "run-1", &fixture.new.reference())
            .await
            .unwrap_err();
        assert_says(&error, &["app-3", "exit code 7"]);
        assert_eq!(shop.files(), before);
        assert_eq!(container(&remote).await.id, old.id);
    });
}

fn a_definition_that_was_changed_meanwhile_does_not_stop_the_way_back(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write_base("docker-compose.yml", "    environment: {A: \"1\"}\n");
    shop.types("COMPOSE up -d");
    let other = fixture.release("v1.0.5");
    run(async {
        let remote = shop.remote();
        container(&remote).await;
        let verified = shop.deploy(&remote, "run-1", &fixture.new).await;
        let kept = "ls /home/deploy/.cache/dockmaster/shop/kept/*.yml";
        wait_until("the definition to be kept", || shop.host.exec(kept).is_ok());
        shop.types("sed -i 's/A: \"1\"/A: \"2\"/; s,restart: always,entrypoint: [/no/such/program],' docker-compose.yml");
        let before = shop.files();
        let remote = shop.remote();
        remote.pull(&other, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, "next-1", &other.reference())
            .await
            .unwrap_err();
        remote
            .switch(Slot::Own, "next-2", &fixture.new.reference())
            .await
            .unwrap();
        let back = container(&remote).await;
        assert_eq!(back.image, verified.image);
        let made = shop.inspect(
            &back.id,
            "{{.Config.Env}} {{.HostConfig.RestartPolicy.Name}}",
        );
        assert!(made.contains("A=1"), "{made}");
        assert!(made.ends_with("always"), "{made}");
        assert_eq!(shop.files(), before);
        // The next one reads the project's own files again.
        shop.types("sed -i 's/entrypoint:.*/restart: always/' docker-compose.yml");
        let remote = shop.remote();
        let new = shop.deploy(&remote, "last-1", &other).await;
        assert!(shop.inspect(&new.id, "{{.Config.Env}}").contains("A=2"));
    });
}

fn files_of_an_attempt_that_was_cut_off_are_put_back(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write_base("docker-compose.yml", "");
    shop.types("COMPOSE up -d");
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        // As when the host loses its power: all of the attempt's processes end.
        shop.spoil_up("kill -9 0");
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let before = shop.files();
        let error = remote
            .switch(Slot::Own, "run-1", &fixture.new.reference())
            .await
            .unwrap_err();
        assert_says(&error, &["app-3", "it was killed"]);
        assert!(shop.files().contains(&fixture.new.digest));
        shop.host.exec("rm /usr/local/bin/docker-compose").unwrap();
        let later = shop.remote();
        later.pull(&fixture.new, &|_| ()).await.unwrap();
        assert_eq!(shop.files(), before);
        assert_eq!(container(&later).await.id, old.id);
        shop.deploy(&later, "next-1", &fixture.new).await;
        let after = shop.files();
        shop.remote().pull(&fixture.new, &|_| ()).await.unwrap();
        assert_eq!(shop.files(), after);
    });
}

fn an_image_that_others_share_is_not_changed_for_them(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    let text = format!(
        "version: \"3.7\"\nservices:\n  app: &app\n    image: {}\n  worker:\n    <<: *app\n    command: [\"sleep\", \"1000\"]\n",
        shop.first()
    );
    shop.write("docker-compose.yml", &text);
    shop.types("COMPOSE up -d");
    shop.refused(&["app-3", "`app`", "cannot be changed alone", "anchor"]);
}

fn a_plain_up_changes_nothing_where_compose_forgets_dependencies(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker compose");
    let database = format!(
        "    depends_on: [db]\n  db:\n    image: {}\n    command: [\"sleep\", \"1000\"]\n",
        shop.first()
    );
    shop.write_base("docker-compose.yml", &database);
    shop.types("COMPOSE up -d");
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        let before = shop.ids();
        shop.deploy(&remote, "run-1", &fixture.new).await;
        let ids = shop.ids();
        let stay = ids.lines().filter(|id| before.contains(id)).count();
        assert_eq!(stay, 1, "the database stays: {before} and then {ids}");
        shop.types("COMPOSE up -d");
        assert_eq!(shop.ids(), ids);
        remote
            .switch(Slot::Own, "run-2", &old.reference)
            .await
            .unwrap();
        assert_eq!(container(&remote).await.image, old.image);
        let ids = shop.ids();
        shop.types("COMPOSE up -d");
        assert_eq!(shop.ids(), ids);
    });
}

fn deploy_over_half_made(fixture: &Fixture, compose: &'static str, expect: &str) {
    let shop = Shop::new(fixture, compose);
    shop.write_base("docker-compose.yml", "");
    shop.types("COMPOSE up -d");
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        let half = format!("{}_{expect}", &old.id[..12]);
        shop.host
            .exec(&format!("docker rename {} {half}", old.id))
            .unwrap();
        let survey = remote.survey().await.unwrap();
        assert_eq!(survey.leftovers, Vec::<String>::new());
        assert_eq!(survey.container.unwrap().id, old.id);
        let new = shop.deploy(&remote, "run-1", &fixture.new).await;
        assert_eq!(shop.inspect(&new.id, "{{.Name}}"), format!("/{expect}"));
        assert_eq!(shop.ids().trim(), new.id);
    });
}

fn a_half_made_container_that_serves_is_deployed_over(fixture: &Fixture) {
    deploy_over_half_made(fixture, "docker-compose", "shop_app_1");
}

fn a_half_made_container_of_the_second_generation_is_deployed_over(fixture: &Fixture) {
    deploy_over_half_made(fixture, "docker compose", "shop-app-1");
}

fn replicas_are_refused_before_anything_is_pulled(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write_base("docker-compose.yml", "");
    shop.types("COMPOSE up -d --scale app=2");
    shop.refused(&["app-3", "2 containers of `app`", "scale"]);
    shop.types("COMPOSE up -d --scale app=1");
    run(shop.remote().pull(&fixture.new, &|_| ())).unwrap();
}

fn an_image_that_speaks_as_compose_does_is_refused_and_not_believed(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    let label = "com.docker.compose.project.environment_file";
    let line = format!("LABEL {label}={FOLDER}/other.env\n");
    // One that got there before anybody looked at labels.
    let dockerfile = format!("FROM {}\n{line}", shop.first());
    let build = "docker build -t speaks -";
    shop.host
        .exec_as_deploy(build, dockerfile.as_bytes())
        .unwrap();
    shop.write(
        "docker-compose.yml",
        "version: \"3.7\"\nservices:\n  app:\n    image: speaks\n",
    );
    shop.types("COMPOSE up -d");
    let base = &fixture.infrastructure.images.application_base;
    let directory = fixture.infrastructure.machine.directory("speaks").unwrap();
    let dockerfile = format!("FROM {base}\nHEALTHCHECK CMD true\n{line}");
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    let release = fixture.push(&directory, "v1.0.6");
    run(async {
        let remote = shop.remote();
        container(&remote).await;
        let before = shop.files();
        let error = remote.pull(&release, &|_| ()).await.unwrap_err();
        assert_says(&error, &[&release.digest, label, "Dockerfile"]);
        assert_eq!(Failure::from(error).class(), Class::Build);
        assert_eq!(shop.files(), before);
        shop.deploy(&shop.remote(), "run-1", &fixture.new).await;
    });
}

fn a_file_keeps_its_owner_and_its_group(fixture: &Fixture) {
    let shop = Shop::new(fixture, "docker-compose");
    shop.write_base("docker-compose.yml", "");
    shop.types("COMPOSE up -d");
    let file = format!("{FOLDER}/docker-compose.yml");
    let give = format!("chown root:deploy {file} && chmod 664 {file}");
    shop.host.exec(&give).unwrap();
    let stat = || {
        let stat = format!("stat -c '%i %u %g %a %h' {file}");
        shop.host.exec(&stat).unwrap()
    };
    run(async {
        let remote = shop.remote();
        let old = container(&remote).await;
        let (before, files) = (stat(), shop.files());
        shop.deploy(&remote, "run-1", &fixture.new).await;
        assert_eq!(stat(), before);
        assert!(shop.files().contains(&fixture.new.digest));
        let undo = remote.switch(Slot::Own, "run-2", &old.reference).await;
        undo.unwrap();
        assert_eq!(stat(), before);
        assert_eq!(shop.files(), files);
    });
}
