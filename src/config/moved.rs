//! Keys of GitLab's `[runners.docker]` that a docker lane does not have, each with what to do instead. Whoever moves a
//! runner finds them here first.

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

/// The rest of a table, whose keys are looked up here before their owner sees them.
pub(super) struct Keys<M>(pub(super) MapAccessDeserializer<M>);

const OWN_NETWORK: &str =
    "each job has a network of its own here, which its services and containers share";
const ONE_GROUP: &str =
    "all that a job has is held together by `memory`, `cpus` and their neighbours";
const GATE: &str = "no container of a job owns the host; `docker build`, `docker run` and compose work through docker-api = \"gate\"";
const SOCKET: &str =
    "a lane reaches its engine by a socket of this host: write docker-host = \"unix:///path\"";
const WINDOWS: &str = "it is for Windows";
const SLOTS: &str = "a job's limits are the lane's own: `memory`, `cpus`, `pids-limit`";
const SERVICES_TOO: &str = "`security-opt` holds for services, too";
const CLOSED: &str = "a job shares no namespace with this host";

/// By their name with dashes. One that only changes its name stands under `write`.
const REFUSED: &[(&str, &str)] = &[
    ("allowed-images", "write `images`"),
    ("allowed-privileged-images", GATE),
    ("allowed-privileged-services", GATE),
    ("allowed-services", "write `services`"),
    ("cgroup-parent", SLOTS),
    ("cgroupns-mode", CLOSED),
    ("device-cgroup-rules", "name each device in `devices`"),
    (
        "disable-cache",
        "`keep-slots` says how long checkout and cache stay after a slot's last job",
    ),
    (
        "enable-ipv6",
        "networks of jobs are of IPv4; the host's own IPv6 is reached by no job",
    ),
    (
        "helper-image-autoset-arch-and-os",
        "the helper image is this host's kind anyway",
    ),
    (
        "helper-image-flavor",
        "name the image itself in `helper-image`",
    ),
    ("host", SOCKET),
    ("ipcmode", CLOSED),
    ("isolation", WINDOWS),
    (
        "links",
        "services answer to their aliases, and other machines to names in `extra-hosts`",
    ),
    (
        "mac-address",
        "containers of one job must not have one address; the engine chooses",
    ),
    ("network-mode", OWN_NETWORK),
    (
        "oom-kill-disable",
        "a job that uses up its memory would hang for ever",
    ),
    ("pid-mode", CLOSED),
    ("privileged", GATE),
    ("service-cgroup-parent", SLOTS),
    ("service-cpu-shares", ONE_GROUP),
    ("service-cpus", ONE_GROUP),
    ("service-cpuset-cpus", ONE_GROUP),
    (
        "service-gpus",
        "services have no GPUs; `gpus` is for the job's own container",
    ),
    ("service-memory", ONE_GROUP),
    ("service-memory-reservation", ONE_GROUP),
    ("service-memory-swap", ONE_GROUP),
    ("service-slot-cgroup-template", SLOTS),
    ("services-privileged", GATE),
    ("services-security-opt", SERVICES_TOO),
    ("slot-cgroup-template", SLOTS),
    ("tls-cert-path", SOCKET),
    ("tls-verify", SOCKET),
    ("use-slot-cgroups", SLOTS),
    (
        "userns-mode",
        "set `userns-remap` in the engine's daemon.json: it holds for all its containers",
    ),
    (
        "volume-driver",
        "make the volume by hand (`docker volume create`) and name it in `volumes`",
    ),
    (
        "volume-driver-ops",
        "make the volume by hand (`docker volume create`) and name it in `volumes`",
    ),
    (
        "volume-keep",
        "what a job leaves is removed with it; name in `volumes` what shall stay",
    ),
    ("volumes-from", "name the volumes themselves in `volumes`"),
    (
        "wait-for-services-timeout",
        "write wait-for-services = \"30s\"",
    ),
];

/// What to say of a key that the lane does not have, if it is one of GitLab's.
fn advice(key: &str, fields: &[&str]) -> Option<String> {
    let dashed = key.replace('_', "-").to_ascii_lowercase();
    if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| *refused == dashed) {
        return Some(format!("a docker lane has no key `{key}`: {instead}"));
    }
    let is_known = fields.contains(&&*dashed) && dashed != key;
    is_known.then(|| format!("a docker lane has no key `{key}`: write `{dashed}`"))
}

impl<'de, M: MapAccess<'de>> Deserializer<'de> for Keys<M> {
    type Error = M::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        self.0.deserialize_any(Told { visitor, fields })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A visitor, or the map that it is shown, or the seed of a key: each with the keys that there are.
struct Told<V> {
    visitor: V,
    fields: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Told<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.visitor.expecting(out)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<V::Value, M::Error> {
        let fields = self.fields;
        self.visitor.visit_map(Told {
            visitor: map,
            fields,
        })
    }
}

impl<'de, M: MapAccess<'de>> MapAccess<'de> for Told<M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, M::Error> {
        let fields = self.fields;
        self.visitor.next_key_seed(Told {
            visitor: seed,
            fields,
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, M::Error> {
        self.visitor.next_value_seed(seed)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Told<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<S::Value, D::Error> {
        let key = String::deserialize(key)?;
        match advice(&key, self.fields) {
            Some(advice) => Err(D::Error::custom(advice)),
            None => self.visitor.deserialize(key.into_deserializer()),
        }
    }
}

#[cfg(test)]
mod tests {
    /// All keys of `[runners.docker]` in gitlab-runner 19.4.
    const GITLAB_S: &str = "allowed_images allowed_privileged_images allowed_privileged_services allowed_pull_policies \
        allowed_services allowed_users cache_dir cap_add cap_drop cgroup_parent container_labels cpu_shares cpus cpuset_cpus \
        cpuset_mems device_cgroup_rules devices disable_cache disable_entrypoint_overwrite dns dns_search enable_ipv6 \
        extra_hosts gpus group_add helper_image helper_image_autoset_arch_and_os helper_image_flavor host hostname image \
        ipcmode isolation links log_options mac_address memory memory_reservation memory_swap network_mode network_mtu \
        oom_kill_disable oom_score_adjust pid_mode privileged pull_policy runtime security_opt service_cgroup_parent \
        service_cpu_shares service_cpus service_cpuset_cpus service_gpus service_memory service_memory_reservation \
        service_memory_swap service_slot_cgroup_template services services_devices services_limit services_privileged \
        services_security_opt services_tmpfs shm_size slot_cgroup_template sysctls tls_cert_path tls_verify tmpfs ulimit \
        use_slot_cgroups user userns_mode volume_driver volume_driver_ops volume_keep volumes volumes_from \
        wait_for_services_timeout";

    #[test]
    fn every_key_of_gitlab_s_is_one_of_a_lane_s_or_is_refused_with_a_sentence() {
        for key in GITLAB_S.split_whitespace() {
            let text = format!("kind = 'docker'\n{key} = 1\n");
            // Keys of one word are the same here; each takes a value of its own kind.
            let Err(told) = toml::from_str::<crate::config::Lane>(&text) else {
                assert!(!key.contains('_'), "{key}");
                continue;
            };
            let is_same = !key.contains('_') && !told.message().contains("has no key");
            let is_told = told
                .message()
                .starts_with(&format!("a docker lane has no key `{key}`: "));
            assert!(is_same || is_told, "{key}: {told}");
            assert!(!told.message().contains("unknown field"), "{key}: {told}");
            assert!(told.to_string().contains("line 2"), "{told}");
        }
    }

    #[test]
    fn what_is_no_key_of_anybody_is_unknown_as_ever() {
        let told =
            toml::from_str::<crate::config::Lane>("kind = 'docker'\nimag_e = 1\n").unwrap_err();
        assert!(told.message().contains("unknown field `imag_e`"), "{told}");
    }
}
