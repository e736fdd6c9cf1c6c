//! Names of a job's containers, networks and volumes: two jobs may give the same ones.

use crate::fixture::{Job, Jobs};

testbed::tests![
    Jobs; [Root, Engine];
    two_jobs_give_the_same_names_and_none_sees_the_other_s,
    a_container_is_found_by_its_name_and_after_a_rename_by_its_new_one,
    compose_of_the_first_generation_finds_what_it_made: [Compose],
    compose_of_the_second_generation_finds_what_it_made: [ComposePlugin],
];

fn serve(job: &Job, name: &str) {
    let serve = format!(
        "mkdir /w; echo {} > /w/index.html; exec busybox httpd -f -p 80 -h /w",
        job.base
    );
    let arguments = [
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "net",
        "-v",
        "data:/data",
        &job.base,
        "sh",
        "-c",
        &serve,
    ];
    job.client(&arguments).good();
}

/// What a container in the network gets from a name.
fn get(job: &Job, network: &str, name: &str) -> String {
    let get = format!(
        "for i in 1 2 3 4 5 6 7 8 9; do busybox wget -qO- http://{name}/ && exit; sleep 0.3; done; exit 1"
    );
    let arguments = [
        "run",
        "--rm",
        "--network",
        network,
        &job.base,
        "sh",
        "-c",
        &get,
    ];
    job.client(&arguments).run().stdout
}

fn two_jobs_give_the_same_names_and_none_sees_the_other_s(jobs: &Jobs) {
    let both = [jobs.open("names"), jobs.open("names2")];
    for job in &both {
        job.line("network create net").good();
        job.line("volume create data").good();
        serve(job, "web");
    }
    for job in &both {
        assert_eq!(get(job, "net", "web"), format!("{}\n", job.base));
        let line = |line: &str| job.line(line).good().stdout;
        assert_eq!(line("ps --format {{.Names}}"), "web\n");
        assert_eq!(line("ps -q --filter name=^/web$").lines().count(), 1);
        assert_eq!(
            line("ps -q --filter volume=data --filter network=net")
                .lines()
                .count(),
            1
        );
        assert_eq!(line("inspect -f {{.Name}} web"), "/web\n");
        assert_eq!(line("volume ls -q"), "data\n");
        assert_eq!(line("network ls --format {{.Name}}"), "net\n");
        let taken = job.line(&format!("run --name web {} true", job.base)).run();
        assert!(
            taken.stderr.contains("\"/web\" is already in use"),
            "{}",
            taken.text()
        );
        let twice = job.line("network create net").run();
        assert!(
            twice.stderr.contains("net already exists"),
            "{}",
            twice.text()
        );
    }
    let info = both[0]
        .line("info --format {{.Name}}|{{.DockerRootDir}}")
        .good();
    assert_eq!(info.stdout, "dockmaster|\n");
}

fn a_container_is_found_by_its_name_and_after_a_rename_by_its_new_one(jobs: &Jobs) {
    let job = jobs.open("rename");
    job.line("network create net").good();
    serve(&job, "web");
    job.line("network create second").good();
    job.line("network connect second web").good();
    assert_ne!(get(&job, "second", "web"), "");
    job.line("rename web shop").good();
    assert_eq!(job.line("ps --format {{.Names}}").good().stdout, "shop\n");
    job.line("exec shop true").good();
    assert!(!job.line("exec web true").run().is_good);
    job.line("rm -f shop").good();
}

/// Brings a project up, changes it, and brings it up again.
fn compose(job: &Job, call: impl Fn(&[&str]) -> crate::fixture::Client, container: &str) {
    let folder = job.context("");
    let file = format!("{folder}/docker-compose.yml");
    for version in ["one", "two"] {
        let text = format!(
            "version: '2.4'\nservices:\n  web:\n    image: {}\n    environment: [\"VERSION={version}\"]\n    \
             command: [\"sh\", \"-c\", \"mkdir -p /w; echo $$VERSION > /w/index.html; exec busybox httpd -f -p 80 -h /w\"]\n    \
             volumes: [\"data:/data\"]\nvolumes:\n  data: {{}}\n",
            job.base
        );
        std::fs::write(&file, text).unwrap();
        let up = call(&["-p", "shop", "-f", &file, "up", "-d"]).run();
        assert!(up.is_good, "{}", up.text());
        let names = job.line("ps --format {{.Names}}").good().stdout;
        assert_eq!(names.trim(), container);
        for name in ["web", container] {
            assert_eq!(get(job, "shop_default", name).trim(), version, "{name}");
        }
    }
    assert_eq!(job.line("volume ls -q").good().stdout, "shop_data\n");
    let down = call(&["-p", "shop", "-f", &file, "down", "-v"]).run();
    assert!(down.is_good, "{}", down.text());
    assert_eq!(job.line("volume ls -q").good().stdout, "");
}

fn compose_of_the_first_generation_finds_what_it_made(jobs: &Jobs) {
    let job = jobs.open("compose1");
    compose(
        &job,
        |arguments| job.program("docker-compose", arguments),
        "shop_web_1",
    );
}

fn compose_of_the_second_generation_finds_what_it_made(jobs: &Jobs) {
    let job = jobs.open("compose2");
    job.use_plugin(&testbed::trial::plugin("docker-compose").unwrap());
    let call = |arguments: &[&str]| job.client(&[&["compose"], arguments].concat());
    compose(&job, call, "shop-web-1");
}
