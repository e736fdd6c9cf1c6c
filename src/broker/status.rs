//! How an environment is: for a person, at any hour. Changes nothing.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use super::{
    open::{self, Reach},
    output::Output,
};
use crate::lang::{both, word};
use crate::{
    config::Config,
    failure::{self, Failure},
    rollout::{
        debt::Debt,
        journal::{Outcome, Run},
        narrate,
        port::{Container, Health, Narrator, Release, Survey, Weight, Wish},
        world::Glance,
    },
    store::{Lease, Runs},
};

/// What does not answer within this is told as unknown.
pub(super) const LIMIT: Duration = Duration::from_secs(8);

/// Says it line by line. `true` when nothing needs a person.
pub(super) async fn status(config: &Config, name: &str) -> Result<bool, Failure> {
    let environment = config.environment(name)?;
    // Nobody can wish anything here.
    let (_, wish) = watch::channel(Wish::GoOn);
    let world = open::world(config, &environment, Output::Admin, (wish, Reach::Hosts))?;
    let runs = Runs::new(&config.state_dir, name);
    let history = runs.history()?;
    let versions = &history.versions;
    open::tell_damaged(&history, &world.narrator);
    let glance = world.glance(LIMIT).await;
    let (mut is_well, lines) = told(&glance, versions);
    for line in lines {
        world.narrator.say(&line);
    }
    if let Some(holder) = Lease::holder(&config.state_dir, name) {
        world.narrator.say(&both!(
            "{name} is being changed by {holder}",
            "{holder} 正在更新 {name}"
        ));
        return Ok(is_well);
    }
    if let Some(line) = mixed(&glance, versions) {
        is_well = false;
        world.narrator.say(&both!(
            "{name} is mixed: {line}",
            "{name} 版本不一致：{line}"
        ));
    }
    if let Some(error) = &history.unknown {
        is_well = false;
        let why = failure::chain(error);
        let text = both!(
            "{why}; its rollout may be open: move the file away when all is right",
            "{why}；那次发布可能还没结束：一切正常后请移走这个文件"
        );
        world.narrator.say(&text);
    }
    match open::owed(config, name) {
        Ok(debt) => {
            is_well &= debt.is_empty();
            for line in told_debt(&debt, name) {
                world.narrator.say(&line);
            }
        }
        Err(failure) => {
            is_well = false;
            world.narrator.say(&failure.to_string());
        }
    }
    if let Some(run) = &history.newest {
        is_well &= !run.is_open();
        for line in told_run(run, name) {
            world.narrator.say(&line);
        }
    }
    if is_blind(&glance) {
        let text = both!(
            "nothing of {name} answers, so nothing is known of it",
            "{name} 没有任何一处应答，因此对它一无所知"
        );
        return Err(Failure::system(text));
    }
    Ok(is_well)
}

/// True when neither the balancer nor any host was seen.
fn is_blind(glance: &Glance) -> bool {
    let sees_balancer = matches!(glance.pool, Some(Ok(_)));
    let mut surveys = glance.surveys.iter();
    !sees_balancer && surveys.all(|(_, survey)| survey.is_err())
}

/// The balancer's error if there is one, then a line a host; `false` when a person has to look.
fn told(glance: &Glance, versions: &[Release]) -> (bool, Vec<String>) {
    let mut lines = Vec::new();
    let mut is_well = true;
    if let Some(Err(why)) = &glance.pool {
        lines.push(both!(
            "the balancer cannot be read: {why}",
            "无法读取负载均衡：{why}"
        ));
    }
    for (host, survey) in &glance.surveys {
        let (has_weight, weight) = told_weight(glance, host);
        let (is_serving, state) = told_state(survey, versions);
        is_well &= has_weight && is_serving;
        lines.push(both!(
            "{host}  {weight}, {state}",
            "{host}  {weight}，{state}"
        ));
        if let Some(line) = told_second(glance, host, survey, versions) {
            is_well = false;
            lines.push(line);
        }
    }
    (is_well, lines)
}

/// What is there of a second instance: nothing, unless a rollout is at work or was cut off.
fn told_second(
    glance: &Glance,
    host: &str,
    survey: &Result<Survey, String>,
    versions: &[Release],
) -> Option<String> {
    let pool = glance.pool.as_ref().and_then(|pool| pool.as_ref().ok());
    let member = pool.and_then(|pool| pool.weights.get(pool.bridges.get(host)?));
    let container = survey.as_ref().ok().and_then(|it| it.bridge.as_ref());
    if member.is_none() && container.is_none() {
        return None;
    }
    let weight = member.map_or_else(
        || word!("not at the balancer", "不在负载均衡上").to_owned(),
        |it| both!("weight {it}", "权重 {it}"),
    );
    let state = container.map_or_else(
        || word!("nothing runs", "什么都没运行").to_owned(),
        |container| told_container(container, versions).1,
    );
    Some(both!(
        "{host}  second instance: {weight}, {state}",
        "{host}  第二实例：{weight}，{state}"
    ))
}

fn told_weight(glance: &Glance, host: &str) -> (bool, String) {
    match &glance.pool {
        None => (true, word!("no balancer", "没有负载均衡").into()),
        Some(Err(_)) => (false, word!("weight unknown", "权重未知").into()),
        Some(Ok(pool)) => match pool.weight(host) {
            None => (false, word!("not at the balancer", "不在负载均衡上").into()),
            Some(weight) => (
                weight != Weight::ZERO,
                both!("weight {weight}", "权重 {weight}"),
            ),
        },
    }
}

fn told_state(survey: &Result<Survey, String>, versions: &[Release]) -> (bool, String) {
    match survey.as_ref().map(|survey| &survey.container) {
        Err(why) => (false, why.clone()),
        Ok(None) => (false, word!("nothing runs", "什么都没运行").into()),
        Ok(Some(container)) => told_container(container, versions),
    }
}

fn told_container(container: &Container, versions: &[Release]) -> (bool, String) {
    let (is_serving, health) = match (container.is_running, container.health) {
        (false, _) if container.is_paused => (false, word!("paused", "已暂停")),
        (false, _) => (false, word!("not running", "未运行")),
        (true, health) => (
            matches!(health, Health::Healthy | Health::None),
            narrate::health(health),
        ),
    };
    let release = narrate::release_of(container, versions);
    (
        is_serving,
        both!("{release}, {health}", "{release}，{health}"),
    )
}

/// Which hosts run which release, where that is not one for all.
fn mixed(glance: &Glance, versions: &[Release]) -> Option<String> {
    let mut hosts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (host, survey) in &glance.surveys {
        if let Ok(Survey {
            container: Some(container),
            ..
        }) = survey
        {
            let release = narrate::release_of(container, versions);
            hosts.entry(release).or_default().push(host);
        }
    }
    let told = hosts
        .iter()
        .map(|(release, hosts)| (release, hosts.join(word!(", ", "、"))))
        .map(|(release, hosts)| both!("{release} on {hosts}", "{hosts} 运行 {release}"));
    (hosts.len() > 1).then(|| told.collect::<Vec<_>>().join("; "))
}

/// A line for each weight that is owed.
fn told_debt(debt: &Debt, environment: &str) -> Vec<String> {
    let owed = debt.owed().map(|owed| {
        both!(
            "{} is owed weight {} at {} since run {}; next: dockmaster rollout recover {environment}", "{} 还欠权重 {}（{}，自运行 {} 起）；下一步：dockmaster rollout recover {environment}",
            owed.host, owed.weight, owed.member, owed.run
        )
    });
    owed.collect()
}

fn told_run(run: &Run, environment: &str) -> Vec<String> {
    let way = if run.cause.is_rollback() {
        word!("back to ", "回滚到 ")
    } else {
        word!("", "发布 ")
    };
    let what = both!(
        "the last rollout, {way}{} by {}",
        "上一次发布（{way}{}，{}）",
        run.release.version,
        narrate::asker(&run.cause, run.owner)
    );
    let Some(outcome) = run.outcome else {
        let why = run
            .stuck
            .as_deref()
            .unwrap_or(word!("it was cut off", "中途被打断"));
        return vec![
            both!("{what}, is open: {why}", "{what}，未结束：{why}"),
            both!(
                "next: dockmaster rollout recover {environment}",
                "下一步：dockmaster rollout recover {environment}"
            ),
        ];
    };
    let end = match outcome {
        Outcome::Done => word!("is done", "已完成"),
        Outcome::Undone if !run.is_begun() => word!("was never begun", "从未真正开始"),
        Outcome::Undone => word!("failed and was undone", "失败，已撤销"),
        Outcome::Stopped => word!(
            "was stopped between hosts: deploy again to go on",
            "在两台主机之间停止：再次部署即可继续"
        ),
        Outcome::Stuck => word!(
            "was stuck, and a later one took over",
            "曾经卡住，已被后来的发布接管"
        ),
    };
    vec![both!("{what}, {end}", "{what}，{end}")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{
        journal::Event,
        port::{Member, Pool},
    };

    fn release(version: &str) -> Release {
        Release {
            image: "h/app".into(),
            digest: format!("sha256:{version}"),
            version: version.into(),
        }
    }

    fn seen(version: &str) -> Survey {
        let reference = release(version).reference();
        let container = Container {
            id: "c".into(),
            reference: reference.clone(),
            image: version.into(),
            digests: vec![reference],
            is_running: true,
            is_paused: false,
            health: Health::Healthy,
            restarts: 0,
        };
        Survey {
            container: Some(container),
            bridge: None,
            leftovers: Vec::new(),
            compose: String::new(),
            free_bytes: 0,
            is_switching: false,
            is_outdated: false,
        }
    }

    fn glance(pool: Result<Pool, String>, versions: [&str; 2]) -> Glance {
        Glance {
            pool: Some(pool),
            surveys: ["app-1", "app-2"]
                .map(str::to_owned)
                .into_iter()
                .zip(versions.map(|version| Ok(seen(version))))
                .collect(),
        }
    }

    fn versions() -> [Release; 2] {
        ["v1", "v2"].map(release)
    }

    #[test]
    fn a_balancer_that_does_not_answer_hides_no_host() {
        let glance = glance(Err("no answer within 8.0 s".into()), ["v1", "v1"]);
        let (is_well, lines) = told(&glance, &versions());
        assert!(!is_well);
        assert_eq!(
            lines,
            [
                "the balancer cannot be read: no answer within 8.0 s",
                "app-1  weight unknown, v1, healthy",
                "app-2  weight unknown, v1, healthy",
            ]
        );
    }

    #[test]
    fn who_sees_nothing_at_all_does_not_judge() {
        let mut glance = glance(Err("refused".into()), ["v1", "v1"]);
        assert!(!is_blind(&glance));
        for (_, survey) in &mut glance.surveys {
            *survey = Err("no answer".into());
        }
        assert!(is_blind(&glance));
        glance.pool = Some(Ok(Pool::default()));
        assert!(!is_blind(&glance));
    }

    #[test]
    fn a_host_without_weight_needs_a_person() {
        let weight = |number| Weight::new(number).unwrap();
        let member = |server: &str| Member {
            balancer: "lb-1".into(),
            group: "rsp-1".into(),
            server: server.into(),
            port: 3131,
        };
        let weights = [("app-1", 100), ("app-2", 0)];
        let pool = Pool {
            own: weights.map(|(h, _)| (h.to_owned(), member(h))).into(),
            weights: weights.map(|(h, w)| (member(h), weight(w))).into(),
            ..Pool::default()
        };
        let (is_well, lines) = told(&glance(Ok(pool), ["v1", "v1"]), &versions());
        assert!(!is_well);
        assert_eq!(lines[1], "app-2  weight 0, v1, healthy");
    }

    #[test]
    fn a_mixed_fleet_is_called_mixed() {
        let one = |versions_| mixed(&glance(Err(String::new()), versions_), &versions());
        assert_eq!(one(["v1", "v1"]), None);
        assert_eq!(
            one(["v2", "v1"]).as_deref(),
            Some("v1 on app-2; v2 on app-1")
        );
    }

    #[test]
    fn a_stopped_rollout_is_not_called_done() {
        let mut run = Run::fold(&[Event::Opened {
            run: "r".into(),
            release: release("v2"),
            owner: crate::rollout::journal::Owner::default(),
            hosts: Vec::new(),
            cause: crate::rollout::journal::Cause::Deploy,
        }])
        .unwrap();
        assert_eq!(told_run(&run, "production").len(), 2);
        run.outcome = Some(Outcome::Stopped);
        assert_eq!(
            told_run(&run, "production"),
            [
                "the last rollout, v2 by an operator, was stopped between hosts: deploy again to go on"
            ]
        );
    }

    #[test]
    fn a_second_instance_that_is_left_is_told() {
        let mut glance = glance(Ok(Pool::default()), ["v1", "v1"]);
        let Ok(survey) = &mut glance.surveys[1].1 else {
            panic!("it is seen");
        };
        survey.bridge.clone_from(&survey.container);
        let (is_well, lines) = told(&glance, &versions());
        assert!(!is_well);
        let line = "app-2  second instance: not at the balancer, v1, healthy";
        assert!(lines.iter().any(|it| it == line), "{lines:?}");
    }
}
