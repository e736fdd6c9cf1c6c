//! What the config stage prints, read as strictly and as leniently as the runner reads it.

use std::collections::BTreeMap;

use serde_json::Value;

/// The settings a driver may replace for one attempt.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ConfigOutput {
    pub(super) driver: String,
    pub(super) hostname: Option<String>,
    pub(super) builds_dir: Option<String>,
    pub(super) cache_dir: Option<String>,
    pub(super) builds_dir_is_shared: bool,
    pub(super) job_env: BTreeMap<String, String>,
    pub(super) shell: Option<String>,
}

/// Nothing at all changes nothing; anything else must be one JSON object, or `null`.
pub(super) fn parse(stdout: &str) -> Result<ConfigOutput, String> {
    if stdout.is_empty() {
        return Ok(ConfigOutput::default());
    }
    let wrong = |why: String| format!("error while parsing JSON output: {why}");
    match serde_json::from_str(stdout) {
        Ok(Value::Null) => Ok(ConfigOutput::default()),
        Ok(Value::Object(object)) => read(object).map_err(wrong),
        Ok(_) => Err(wrong("json: cannot unmarshal into an object".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn read(object: serde_json::Map<String, Value>) -> Result<ConfigOutput, String> {
    let mut output = ConfigOutput::default();
    for (key, value) in object.into_iter().filter(|(_, value)| !value.is_null()) {
        match key.to_lowercase().as_str() {
            "driver" => output.driver = driver(&value)?,
            "hostname" => output.hostname = Some(text(&key, &value)?),
            "builds_dir" => output.builds_dir = Some(text(&key, &value)?),
            "cache_dir" => output.cache_dir = Some(text(&key, &value)?),
            "shell" => output.shell = Some(text(&key, &value)?).filter(|shell| !shell.is_empty()),
            "builds_dir_is_shared" => {
                let Value::Bool(shared) = value else {
                    return Err(wrong_type(&key));
                };
                output.builds_dir_is_shared = shared;
            }
            "job_env" => {
                let Value::Object(entries) = value else {
                    return Err(wrong_type(&key));
                };
                for (name, value) in entries {
                    let value = if value.is_null() {
                        String::new()
                    } else {
                        text(&name, &value)?
                    };
                    output.job_env.insert(name, value);
                }
            }
            _ => {}
        }
    }
    Ok(output)
}

fn driver(value: &Value) -> Result<String, String> {
    let Value::Object(driver) = value else {
        return Err(wrong_type("driver"));
    };
    let mut words = Vec::new();
    for key in ["name", "version"] {
        match driver.get(key) {
            None | Some(Value::Null) if key == "name" => return Ok(String::new()),
            None | Some(Value::Null) => {}
            Some(value) => words.push(text(key, value)?),
        }
    }
    Ok(words.join(" "))
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| wrong_type(key))
}

fn wrong_type(key: &str) -> String {
    format!("json: cannot unmarshal the value of {key}")
}

#[cfg(test)]
mod tests {
    use super::{ConfigOutput, parse};

    #[track_caller]
    fn refused(stdout: &str) {
        let error = parse(stdout).unwrap_err();
        assert!(
            error.starts_with("error while parsing JSON output: "),
            "{error}"
        );
    }

    #[test]
    fn nothing_and_null_change_nothing() {
        for stdout in [
            "",
            "null",
            " null\n",
            "{}",
            "{\"unknown\": 1}",
            "{\"shell\": \"\"}",
        ] {
            assert_eq!(
                parse(stdout).unwrap(),
                ConfigOutput::default(),
                "{stdout:?}"
            );
        }
    }

    #[test]
    fn anything_but_one_object_of_the_right_types_is_refused() {
        for stdout in [
            " ",
            "hello {}",
            "{} {}",
            "{} bye",
            "\u{feff}{}",
            "[]",
            "{\"builds_dir_is_shared\": \"true\"}",
            "{\"job_env\": {\"A\": 1}}",
            "{\"driver\": \"name\"}",
        ] {
            refused(stdout);
        }
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_wins() {
        let output = parse(r#"{"Builds_Dir": "/a", "job_env": {"A": null}, "HOSTNAME": "x"}"#);
        let output = output.unwrap();
        assert_eq!(output.builds_dir.as_deref(), Some("/a"));
        assert_eq!(output.job_env["A"], "");
        assert_eq!(output.hostname.as_deref(), Some("x"));
        assert_eq!(
            parse(r#"{"shell": "sh", "shell": "bash"}"#)
                .unwrap()
                .shell
                .unwrap(),
            "bash"
        );
    }

    #[test]
    fn a_driver_is_shown_with_its_version_only_if_it_has_a_name() {
        let named = parse(r#"{"driver": {"name": "dockmaster", "version": "v1"}}"#).unwrap();
        assert_eq!(named.driver, "dockmaster v1");
        assert_eq!(
            parse(r#"{"driver": {"version": "v1"}}"#).unwrap().driver,
            ""
        );
    }
}
