//! An installed dockmaster, as the testbed lays it out.

use std::os::unix::fs::MetadataExt;

use testbed::installation::Installation;
use testbed::trial::NoFixture;

testbed::tests![
    NoFixture; [Root];
    an_installation_is_the_shipped_configuration_and_goes_without_a_trace,
];

fn an_installation_is_the_shipped_configuration_and_goes_without_a_trace(_: &NoFixture) {
    // Any program will do: nothing here runs it.
    let installation = Installation::new("/bin/true".as_ref()).unwrap();
    let root = installation.root().to_owned();
    let secret = installation.secret("key", b"secret").unwrap();
    let metadata = std::fs::metadata(&secret).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_ne!(metadata.uid(), 0);
    let user = installation.broker_user().to_owned();
    let config = std::fs::read_to_string(installation.config()).unwrap();
    assert!(
        config.contains(&format!("broker-user = \"{user}\"")),
        "{config}"
    );
    assert!(
        config.contains("[lanes.deploy]\nkind = \"deploy\"\n"),
        "{config}"
    );
    let runner = installation.runner().unwrap();
    let tags = ["devops_prod_deploy".to_owned()];
    let entry = runner.entry_for(&tags).unwrap();
    assert_eq!(
        entry.settings.custom.run_exec,
        root.join("bin/dockmaster").to_str().unwrap()
    );
    drop(installation);
    assert!(!root.exists());
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    assert!(!users.contains(&user));
}
