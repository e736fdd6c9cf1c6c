//! The company's pipeline, unchanged: a pushed tag becomes a running release.

use crate::{tests, world::World};

tests![a_pushed_tag_becomes_a_running_release];

fn a_pushed_tag_becomes_a_running_release(world: &World) {
    let (company, _fleet) = world.fleet();
    let client = company.client();
    let outcome = company.ship("v1.0.0").unwrap();
    assert!(outcome.is_passed(), "{outcome:#?}");
    let totals = client.stop();
    assert_eq!(totals.failed, 0, "{totals:?}");
    assert_eq!(
        company.running_digest().unwrap(),
        company.pushed_digest("v1.0.0").unwrap()
    );
}
