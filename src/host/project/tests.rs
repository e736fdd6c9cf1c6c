use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| (format!("com.docker.compose.{key}"), (*value).to_owned()))
        .collect()
}

fn made(directory: &str, files: &str) -> Labels {
    labels(&[
        ("project.working_dir", directory),
        ("project.config_files", files),
    ])
}

#[track_caller]
fn check(directory: &str, files: &str, there: &[&str], expect: Result<&[&str], &str>) {
    let there: Vec<_> = there.iter().map(|it| (*it).to_owned()).collect();
    let found = origin(&made(directory, files)).and_then(|origin| {
        let origin = origin.unwrap();
        let files = origin.files.iter().map(|places| one_of(places, &there));
        files.collect::<Result<Vec<_>, _>>()
    });
    match (found, expect) {
        (Ok(files), Ok(expect)) => assert_eq!(files, expect),
        (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn relative_files_are_found_from_the_project_s_folder() {
    let two = [
        "/srv/shop/docker-compose.yml",
        "/srv/shop/docker-compose.prod.yml",
    ];
    check(
        "/srv/shop",
        "docker-compose.yml,docker-compose.prod.yml",
        &two,
        Ok(&two),
    );
    check(
        "/srv/shop",
        "/srv/shop/docker-compose.yml,/srv/shop/docker-compose.prod.yml",
        &two,
        Ok(&two),
    );
    // From the folder above, and from one below.
    check(
        "/srv/shop",
        "shop/docker-compose.yml,shop/docker-compose.prod.yml",
        &two,
        Ok(&two),
    );
    check(
        "/srv/shop",
        "../docker-compose.yml,../docker-compose.prod.yml",
        &two,
        Ok(&two),
    );
    let apart = ["/srv/shop/docker-compose.yml", "/srv/shared/prod.yml"];
    check(
        "/srv/shop",
        "shop/docker-compose.yml,shared/prod.yml",
        &apart,
        Ok(&apart),
    );
    // --project-directory was given.
    let deeper = ["/srv/shop/deploy/a.yml"];
    check("/srv/shop", "deploy/a.yml", &deeper, Ok(&deeper));
}

#[test]
fn what_cannot_be_reproduced_is_said() {
    check("/srv/shop", "", &[], Err("standard input"));
    check("/srv/shop", "-", &[], Err("standard input"));
    check("", "docker-compose.yml", &[], Err("which folder"));
    check(
        "/srv/shop",
        "prod.yml",
        &[],
        Err("/srv/shop/prod.yml, which is not there any more"),
    );
    let both = ["/srv/shop/a.yml", "/srv/shop/shop/a.yml"];
    check(
        "/srv/shop",
        "shop/a.yml",
        &both,
        Err("may be /srv/shop/a.yml or"),
    );
    assert_eq!(origin(&labels(&[("project", "shop")])), Ok(None));
}

#[test]
fn the_project_is_that_of_the_folder_whatever_it_is_called() {
    let at = |project: &str, directory: &str| {
        labels(&[("project", project), ("project.working_dir", directory)])
    };
    let check = |found: &[Labels], expect: Result<Option<&str>, &str>| {
        let named = name(found.iter(), &["/srv/Shop.App", "/data/shop"]);
        match (named, expect) {
            (Ok(name), Ok(expect)) => assert_eq!(name.as_deref(), expect),
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (named, _) => panic!("{named:?}"),
        }
    };
    check(&[at("mall", "/srv/Shop.App")], Ok(Some("mall")));
    check(
        &[at("mall", "/data/shop"), at("blog", "/srv/blog")],
        Ok(Some("mall")),
    );
    check(&[at("blog", "/srv/blog")], Ok(None));
    check(
        &[at("mall", "/data/shop"), at("blog", "/data/shop")],
        Err("blog, mall"),
    );
    check(
        &[at("mall", "/data/shop"), at("shopapp", "/data/shop")],
        Ok(Some("shopapp")),
    );
    // As Compose before 1.25 leaves it.
    check(&[labels(&[("project", "shopapp")])], Ok(Some("shopapp")));
}

#[test]
fn files_that_nobody_named_are_those_that_compose_takes_now() {
    let there = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("/srv/shop/{name}"))
            .collect()
    };
    let both = there(&[
        "compose.yaml",
        "docker-compose.yml",
        "docker-compose.override.yml",
    ]);
    let first = plain("/srv/shop/", &both, true);
    assert_eq!(
        first,
        there(&["docker-compose.yml", "docker-compose.override.yml"])
    );
    let second = plain("/srv/shop", &both, false);
    assert_eq!(
        second,
        there(&["compose.yaml", "docker-compose.override.yml"])
    );
    assert!(is_plain("/srv/shop", &second));
    assert!(!is_plain("/srv/shop", &there(&["docker-compose.prod.yml"])));
    assert!(!is_plain("/srv/mall", &second));
    assert_eq!(
        plain("/srv/shop", &there(&["docker-compose.override.yml"]), true),
        [""; 0]
    );
}

#[test]
fn what_is_remembered_is_read_back_whole_or_not_at_all() {
    let project = Project {
        name: "shop".into(),
        directory: "/srv/a b".into(),
        files: vec!["/srv/a b/x.yml".into(), "/srv/y.yml".into()],
        env_files: vec!["/srv/prod.env".into()],
        unnamed: Vec::new(),
    };
    let memory = project.memory();
    assert_eq!(Project::remembered(memory.lines()), Some(project));
    assert_eq!(Project::remembered(["name shop", "directory /srv"]), None);
}
