//! Slots that no job used for long: of projects that are gone, or that no longer run so many jobs at once.

use std::{collections::BTreeSet, time::SystemTime};

use super::engine::EngineSweep;
use crate::{
    config::{Config, DockerLane},
    docker::name::Names,
    failure::Failure,
    store::Slots,
};

/// Removes the volumes of such slots.
pub(super) async fn sweep(
    sweep: &EngineSweep,
    config: &Config,
    lane: &DockerLane,
    others: &mut Vec<String>,
) -> Result<(), Failure> {
    let slots = Slots::new(&config.state_dir);
    let mut gone = BTreeSet::new();
    for volume in sweep.engine.volumes_named(Names::SLOT_VOLUMES).await? {
        let Some(slot) = Names::slot_of(&volume, &sweep.mark) else {
            continue;
        };
        let used = slots.last_use(slot)?;
        let idle = SystemTime::now().duration_since(used).unwrap_or_default();
        if idle >= lane.keep_slots && sweep.engine.remove_volume(&volume).await? {
            gone.insert(slot.to_owned());
            others.push(format!("removed the volume {volume}, unused for long"));
        }
    }
    for slot in gone {
        slots.forget(&slot)?;
    }
    Ok(())
}
