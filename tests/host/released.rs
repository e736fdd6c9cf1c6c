//! Compose files that come with a release: brought to a host, checked by its Compose, told by names, taken back.

use dockmaster::{
    config::Order,
    host::{Composed, Host, RemoteError},
    rollout::port::{ComposeFile, Remote, Slot},
};
use testbed::infrastructure::{FIRST_RELEASE, REPOSITORY};

use crate::{
    fixture::{Fixture, assert_says, container, is_healthy, run, story, survey_until},
    project::{FOLDER, Shop},
};

testbed::tests![
    Fixture; [Testbed];
    a_release_brings_its_files_and_an_undo_takes_them_back,
    a_release_brings_its_files_to_the_second_generation: [ComposePlugin],
    what_a_release_s_files_lack_is_refused_before_anything_is_pulled,
    what_the_second_generation_does_not_take_is_refused: [ComposePlugin],
    files_of_a_release_that_was_cut_off_are_put_back_without_another_rollout,
    a_second_instance_is_made_of_the_release_s_files,
    a_host_without_files_gets_those_of_the_release,
];

/// A company's repository, on its way to a host.
struct Repository<'a> {
    shop: Shop<'a>,
    fixture: &'a Fixture,
}

impl<'a> Repository<'a> {
    fn new(fixture: &'a Fixture, compose: &'static str) -> Self {
        Self {
            shop: Shop::new(fixture, compose),
            fixture,
        }
    }

    /// A service of the company's repository, with whatever else.
    fn app(&self, more: &str) -> String {
        let image = self.fixture.infrastructure.registry.image(REPOSITORY);
        format!(
            "version: \"3.7\"\nservices:\n  app:\n    image: {image}:${{TAG:?set TAG}}\n    restart: always\n{more}"
        )
    }

    fn remote_of(&self, files: &[(&str, &str)], bridge: Option<u16>) -> Host {
        let mut environment = self.fixture.environment();
        environment.compose.directory = FOLDER.into();
        environment.balancer.kind = "clb-vserver-group".into();
        environment.balancer.port = 3991;
        environment.compose.bridge_port = bridge;
        if bridge.is_some() {
            environment.rollout.order = Order::StartFirst;
        }
        let host = environment.hosts.iter().find(|it| it.name == "app-3");
        let host = Host::open(&environment, host.unwrap(), Some(&self.fixture.registry())).unwrap();
        let file = |(path, text): &(&str, &str)| ComposeFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let files = files.iter().map(file).collect();
        host.with_files(Composed::new(&self.fixture.new, files))
    }

    fn remote(&self, files: &[(&str, &str)]) -> Host {
        self.remote_of(files, None)
    }

    /// It is the release's own fault.
    #[track_caller]
    fn refused(&self, text: &str, words: &[&str]) -> RemoteError {
        let error = self.not_taken(text, words);
        assert!(matches!(error, RemoteError::Composed { .. }), "{error}");
        error
    }

    /// It is the host that lacks something.
    #[track_caller]
    fn lacked(&self, text: &str, words: &[&str]) {
        let error = self.not_taken(text, words);
        assert!(matches!(error, RemoteError::NotReady { .. }), "{error}");
    }

    #[track_caller]
    fn not_taken(&self, text: &str, words: &[&str]) -> RemoteError {
        let before = self.shop.files();
        let remote = self.remote(&[("deploy/docker-compose.yml", text)]);
        let error = run(remote.pull(&self.fixture.new, &|_| ())).unwrap_err();
        assert_says(&error, &[&["app-3"], words].concat());
        assert_eq!(self.shop.files(), before);
        error
    }
}

const PORT: &str = "    ports: [\"3991:3131\"]\n";
const MORE: &str = "version: \"3.7\"\nservices:\n  app:\n    environment: {ADDED: \"new-value\", KEY: \"${SECRET}\"}\n    volumes: [\"./conf:/conf:ro\", \"./closed/conf:/closed:ro\", \"/anonymous\"]\n    env_file: [\"app.env\"]\n";

/// Pulls, and looks into what was said of the files: names, and never a value.
async fn tells_what_changes(remote: &Host, fixture: &Fixture) {
    let said = std::cell::RefCell::new(Vec::new());
    let say = |line: &str| said.borrow_mut().push(line.to_owned());
    remote.pull(&fixture.new, &say).await.unwrap();
    let said = said.into_inner().join("\n");
    for line in [
        "-> /srv/shop/docker-compose.yml, /srv/shop/docker-compose.prod.yml",
        "+ service cache: dockmaster starts app alone",
        "+ app: environment variable ADDED",
        "- app: environment variable GONE",
        "~ app: environment variable KEY",
        "+ app: volume /srv/shop/conf:/conf",
        "from now on: -f /srv/shop/docker-compose.yml -f /srv/shop/docker-compose.prod.yml",
        "stays as it is: /srv/shop/conf, /srv/shop/.env, app.env",
    ] {
        assert!(said.contains(line), "{line} is not in: {said}");
    }
    assert!(!said.contains("-value"), "{said}");
}

fn bring(fixture: &Fixture, compose: &'static str) {
    let repository = Repository::new(fixture, compose);
    let shop = &repository.shop;
    shop.write_base(
        "docker-compose.yml",
        &format!("{PORT}    environment: {{GONE: \"old-value\", KEY: \"other-value\"}}\n"),
    );
    shop.write(".env", "SECRET=hidden-value\n");
    shop.write("app.env", "FROM=env-value\n");
    shop.types("mkdir conf && COMPOSE up -d");
    // Nobody but root can tell what lies in there.
    let closed = format!("install -d -m 700 {FOLDER}/closed {FOLDER}/closed/conf");
    shop.host.exec(&closed).unwrap();
    let base = repository.app(&format!(
        "{PORT}  cache:\n    image: {}\n    command: [\"sleep\", \"1000\"]\n",
        shop.first()
    ));
    let files = [
        ("deploy/docker-compose.yml", base.as_str()),
        ("deploy/docker-compose.prod.yml", MORE),
    ];
    run(async {
        let remote = repository.remote(&files);
        let old = container(&remote).await;
        let before = shop.files();
        tells_what_changes(&remote, fixture).await;
        assert_eq!(shop.files(), before);
        let new = shop.deploy(&remote, "run-1", &fixture.new).await;
        let made = shop.inspect(&new.id, "{{.Config.Env}}");
        assert!(
            made.contains("ADDED=new-value") && made.contains("KEY=hidden-value"),
            "{made}"
        );
        assert!(!made.contains("GONE"), "{made}");
        // Whatever a person types with these files gives the release that is live.
        shop.types("COMPOSE -f docker-compose.yml -f docker-compose.prod.yml up -d app");
        assert_eq!(container(&remote).await.id, new.id);
        // The same again has nothing to change, by another process, too.
        let after = shop.files();
        repository
            .remote(&files)
            .pull(&fixture.new, &|_| ())
            .await
            .unwrap();
        assert_eq!(shop.files(), after);
        // Whoever forgets the second file makes it nobody's by no means.
        shop.types("COMPOSE up -d app");
        let again = repository.remote(&files);
        again.pull(&fixture.new, &|_| ()).await.unwrap();
        shop.types("COMPOSE -f docker-compose.yml -f docker-compose.prod.yml up -d app");
        // The next release has one file: the other one goes.
        let alone = [("deploy/docker-compose.yml", base.as_str())];
        let remote = repository.remote(&alone);
        // The image runs already, and is made of other files.
        assert!(survey_until(&remote, is_healthy).await.is_outdated);
        // A way back that nobody has come leaves the files alone, whatever the release brings.
        remote
            .switch(Slot::Own, "none-1-back", &fixture.new.reference())
            .await
            .unwrap();
        assert_eq!(shop.files(), after);
        assert!(remote.survey().await.unwrap().is_outdated);
        let one = shop.deploy(&remote, "one-1", &fixture.new).await;
        assert!(!remote.survey().await.unwrap().is_outdated);
        assert!(!shop.files().contains("prod.yml"), "{}", shop.files());
        assert!(!shop.inspect(&one.id, "{{.Config.Env}}").contains("ADDED"));
        // Back by another process: byte for byte, of both runs.
        let undo = repository.remote(&files);
        undo.switch(Slot::Own, "one-2", &fixture.new.reference())
            .await
            .unwrap();
        container(&undo).await;
        assert_eq!(shop.files(), after);
        let undo = repository.remote(&[]);
        undo.switch(Slot::Own, "run-2", &old.reference)
            .await
            .unwrap();
        assert_eq!(container(&undo).await.image, old.image);
        assert_eq!(shop.files(), before);
    });
}

fn a_release_brings_its_files_and_an_undo_takes_them_back(fixture: &Fixture) {
    bring(fixture, "docker-compose");
}

fn a_release_brings_its_files_to_the_second_generation(fixture: &Fixture) {
    bring(fixture, "docker compose");
}

fn refuse(fixture: &Fixture, compose: &'static str) {
    let repository = Repository::new(fixture, compose);
    let shop = &repository.shop;
    shop.write_base("docker-compose.yml", PORT);
    shop.types("COMPOSE up -d");
    let file = "deploy/docker-compose.yml";
    let whole = |more: &str| repository.app(&format!("{PORT}{more}"));
    repository.refused("services: [", &[file, "no line"]);
    repository.refused(&whole("    no_such_key: secret\n"), &[file, "no_such_key"]);
    repository.refused(&whole("").replace("  app:", "  web:"), &[file, "`app`"]);
    let foreign = whole("").replace(REPOSITORY, "test/other");
    repository.refused(&foreign, &[file, "test/other", "release.image"]);
    repository.refused(&repository.app(""), &[file, "does not publish port 3991"]);
    let taken = format!("  web:\n    image: x\n{PORT}");
    repository.refused(&repository.app(&taken), &[file, "port 3991", "`web`"]);
    repository.lacked(
        &whole("    environment: {A: \"${NOWHERE}\"}\n"),
        &[file, "NOWHERE", "/srv/shop/.env"],
    );
    repository.refused(
        &whole("    env_file: [nowhere.env]\n"),
        &[file, "nowhere.env"],
    );
    repository.refused(
        &whole("    extends: {file: common.yml, service: x}\n"),
        &[file, "takes in common.yml", "compose.file"],
    );
    // Where Compose stumbles over a value, the value stays on the host.
    shop.write(".env", "LOGIN=hunter2\n");
    let twice = whole("    environment: [\"A=${LOGIN}\", \"A=${LOGIN}\"]\n");
    let port = repository.app("    ports: [\"3991:3131\", \"${LOGIN}:1\"]\n");
    // The second generation takes a variable twice.
    let texts = match compose {
        "docker-compose" => vec![twice, port],
        _ => vec![port],
    };
    for text in texts {
        let error = repository.refused(&text, &[file, "does not take"]);
        assert!(!story(&error).contains("hunter2"), "{error}");
    }
    repository.lacked(
        &whole("    volumes: [\"./nowhere:/x\"]\n"),
        &[file, "/srv/shop/nowhere"],
    );
    let mut other = shop.host.exec("docker ps --format '{{.Names}}'").unwrap();
    other.retain(|c| c != '\r');
    let other = other.lines().find(|name| !name.contains("shop")).unwrap();
    repository.refused(
        &whole(&format!("    container_name: {other}\n")),
        &[other, "container_name"],
    );
    // A file that is nobody's, where a second one would go.
    shop.write("docker-compose.prod.yml", "mine\n");
    let before = shop.files();
    let remote = repository.remote(&[(file, &whole("")), ("docker-compose.prod.yml", MORE)]);
    let error = run(remote.pull(&fixture.new, &|_| ())).unwrap_err();
    assert_says(
        &error,
        &["app-3", "/srv/shop/docker-compose.prod.yml", "move it away"],
    );
    assert_eq!(shop.files(), before);
    // One that Compose would read by itself, and that what runs is not made of.
    let other = "docker-compose.override.yml";
    shop.write(other, "version: \"3.7\"\nservices: {app: {tty: true}}\n");
    repository.lacked(&whole(""), &[other, "move it away", "compose.file"]);
}

fn what_a_release_s_files_lack_is_refused_before_anything_is_pulled(fixture: &Fixture) {
    refuse(fixture, "docker-compose");
}

fn what_the_second_generation_does_not_take_is_refused(fixture: &Fixture) {
    refuse(fixture, "docker compose");
}

fn files_of_a_release_that_was_cut_off_are_put_back_without_another_rollout(fixture: &Fixture) {
    let repository = Repository::new(fixture, "docker-compose");
    let shop = &repository.shop;
    shop.write_base("compose.yaml", PORT);
    shop.write(
        "docker-compose.override.yml",
        "version: \"3.7\"\nservices: {app: {environment: {A: b}}}\n",
    );
    shop.types("COMPOSE -f compose.yaml -f docker-compose.override.yml up -d");
    let base = repository.app(PORT);
    run(async {
        let remote = repository.remote(&[("deploy/docker-compose.yml", &base)]);
        let old = container(&remote).await;
        let before = shop.files();
        shop.spoil_up("kill -9 0");
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let reference = fixture.new.reference();
        let error = remote
            .switch(Slot::Own, "run-1", &reference)
            .await
            .unwrap_err();
        assert_says(&error, &["app-3", "it was killed"]);
        assert!(!shop.files().contains("override"), "{}", shop.files());
        shop.host.exec("rm /usr/local/bin/docker-compose").unwrap();
        // As `rollout recover` does it, in a process that knows no release.
        let later = repository.remote(&[]);
        later.mend().await.unwrap();
        assert_eq!(shop.files(), before);
        assert_eq!(container(&later).await.id, old.id);
        shop.types("COMPOSE -f compose.yaml -f docker-compose.override.yml up -d");
        assert_eq!(container(&later).await.id, old.id);
        // Compose fails: what is there is as before at once.
        let remote = repository.remote(&[("deploy/docker-compose.yml", &base)]);
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        shop.spoil_up("exit 7");
        let error = remote
            .switch(Slot::Own, "next-1", &reference)
            .await
            .unwrap_err();
        assert_says(&error, &["exit code 7"]);
        assert_eq!(shop.files(), before);
        later.mend().await.unwrap();
        assert_eq!(shop.files(), before);
    });
}

fn a_second_instance_is_made_of_the_release_s_files(fixture: &Fixture) {
    let repository = Repository::new(fixture, "docker-compose");
    let shop = &repository.shop;
    shop.write_base("docker-compose.yml", PORT);
    shop.types("COMPOSE up -d");
    let base = repository.app(&format!("{PORT}    environment: {{RELEASED: here}}\n"));
    let files = [("deploy/docker-compose.yml", base.as_str())];
    run(async {
        let remote = repository.remote_of(&files, Some(3992));
        let old = container(&remote).await;
        let before = shop.files();
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let reference = fixture.new.reference();
        remote
            .switch(Slot::Bridge, "run-1", &reference)
            .await
            .unwrap();
        let second = remote.survey().await.unwrap().bridge.unwrap();
        assert!(
            shop.inspect(&second.id, "{{.Config.Env}}")
                .contains("RELEASED=here")
        );
        assert_eq!(shop.files(), before);
        remote.switch(Slot::Own, "run-2", &reference).await.unwrap();
        container(&remote).await;
        remote.clear().await.unwrap();
        // On the way back it is made of what was there before.
        remote
            .switch(Slot::Bridge, "run-3", &old.reference)
            .await
            .unwrap();
        let second = remote.survey().await.unwrap().bridge.unwrap();
        assert!(
            !shop
                .inspect(&second.id, "{{.Config.Env}}")
                .contains("RELEASED")
        );
        remote
            .switch(Slot::Own, "run-4", &old.reference)
            .await
            .unwrap();
        remote.clear().await.unwrap();
        assert_eq!(shop.files(), before);
        // What cannot run twice is told of the release's file.
        let fixed = repository.app(&format!("{PORT}    network_mode: host\n"));
        let remote = repository.remote_of(&[("deploy/docker-compose.yml", &fixed)], Some(3992));
        let error = remote.pull(&fixture.new, &|_| ()).await.unwrap_err();
        assert_says(&error, &["app-3"]);
        assert_eq!(shop.files(), before);
    });
}

fn a_host_without_files_gets_those_of_the_release(fixture: &Fixture) {
    let repository = Repository::new(fixture, "docker-compose");
    let shop = &repository.shop;
    let base = repository.app(PORT);
    assert!(base.contains(REPOSITORY) && !base.contains(FIRST_RELEASE));
    run(async {
        let remote = repository.remote(&[("deploy/docker-compose.yml", &base)]);
        assert!(remote.survey().await.unwrap().container.is_none());
        let new = shop.deploy(&remote, "run-1", &fixture.new).await;
        assert!(shop.files().contains(&fixture.new.digest));
        shop.types("COMPOSE up -d");
        assert_eq!(container(&remote).await.id, new.id);
    });
}
