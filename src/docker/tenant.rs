//! Whose things may be shared: a tenant is one project's protected refs, or its other refs. Pure.
//!
//! What one tenant keeps (names of images, layers, caches, transferred contexts) no other tenant may
//! meet, so each of these carries a name that only this host can compute.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::job::Job;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A project on its GitLab server, protected or not. Only what GitLab itself says makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    server: String,
    project: i64,
    is_protected: bool,
}

impl Tenant {
    /// The tenant of a job.
    pub fn of(job: &Job) -> Self {
        Self::new(job.server(), job.job_info.project_id, job.is_protected())
    }

    /// A tenant; `server` is `host[:port]`.
    pub fn new(server: impl Into<String>, project: i64, is_protected: bool) -> Self {
        Self {
            server: server.into(),
            project,
            is_protected,
        }
    }

    /// A name that no other tenant has: `p42-protected-0a1b2c3d4e5f`. Safe in names of images,
    /// labels and hosts; anybody can compute it.
    pub fn key(&self) -> String {
        let Self {
            server, project, ..
        } = self;
        let tier = if self.is_protected {
            "protected"
        } else {
            "unprotected"
        };
        let digest = Sha256::digest(server.as_bytes());
        format!("p{project}-{tier}-{}", hex(&digest[..6]))
    }
}

/// What only this host knows, and what all names that nobody may guess come from.
#[derive(Clone)]
pub struct HostSecret([u8; 32]);

impl HostSecret {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret of one tenant.
    pub fn of_tenant(&self, tenant: &Tenant) -> TenantSecret {
        self.of_tenant_key(&tenant.key())
    }

    /// The secret of the tenant with this key.
    pub(crate) fn of_tenant_key(&self, key: &str) -> TenantSecret {
        TenantSecret(mac(&self.0, "tenant", key))
    }

    /// Tells what this installation made on an engine from what another one made there. No secret.
    pub fn mark(&self) -> String {
        hex(&mac(&self.0, "installation", "")[..4])
    }

    /// 32 hexadecimal digits that belong to one job. They begin with the installation's mark, so that
    /// nobody takes names of another installation's jobs for those of dead ones.
    pub fn of_job(&self, key: &str) -> String {
        format!("{}{}", self.mark(), hex(&mac(&self.0, "job", key)[..12]))
    }
}

/// What a tenant's jobs share, and no job can compute.
#[derive(Clone)]
pub struct TenantSecret([u8; 32]);

impl TenantSecret {
    /// The value of the label that the tenant's stages begin with.
    pub(crate) fn layers(&self) -> String {
        self.keyed("layers", "")
    }

    /// 32 hexadecimal digits for a text; two purposes never meet.
    pub fn keyed(&self, purpose: &str, text: &str) -> String {
        short(mac(&self.0, purpose, text))
    }
}

impl fmt::Debug for HostSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HostSecret(…)")
    }
}

impl fmt::Debug for TenantSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TenantSecret(…)")
    }
}

/// The length of the purpose goes first, so that no purpose and text read as another pair.
fn mac(secret: &[u8; 32], purpose: &str, text: &str) -> [u8; 32] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(secret);
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(&(purpose.len() as u64).to_be_bytes());
    mac.update(purpose.as_bytes());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn short(bytes: [u8; 32]) -> String {
    hex(&bytes[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants() -> [Tenant; 5] {
        [
            Tenant::new("gitlab.example.com", 42, true),
            Tenant::new("gitlab.example.com", 42, false),
            Tenant::new("gitlab.example.com", 66, true),
            Tenant::new("gitlab.example.com:8443", 42, true),
            Tenant::new("git.example.com", 42, true),
        ]
    }

    #[test]
    fn no_two_tenants_have_one_key_or_one_secret() {
        let host = HostSecret::new([7; 32]);
        for (at, one) in tenants().iter().enumerate() {
            for other in &tenants()[..at] {
                assert_ne!(one.key(), other.key());
                let secret = |tenant| host.of_tenant(tenant).keyed("cache", "");
                assert_ne!(secret(one), secret(other));
            }
        }
    }

    #[test]
    fn a_key_is_safe_in_names_labels_and_hosts() {
        for tenant in tenants()
            .into_iter()
            .chain([Tenant::new("h", i64::MAX, false)])
        {
            let key = tenant.key();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(key.chars().all(plain), "{key}");
            // A part of a host's name, with `dockmaster-` before it.
            assert!("dockmaster-".len() + key.len() <= 63, "{key}");
        }
    }

    #[test]
    fn purposes_texts_and_hosts_are_kept_apart() {
        let secret = |byte| HostSecret::new([byte; 32]).of_tenant(&tenants()[0]);
        let one = secret(1);
        assert_eq!(one.keyed("a", "bc"), one.keyed("a", "bc"));
        assert_ne!(one.keyed("a", "bc"), one.keyed("ab", "c"));
        assert_ne!(one.keyed("a", "bc"), secret(2).keyed("a", "bc"));
        assert_eq!(one.keyed("a", "bc").len(), 32);
        let host = HostSecret::new([1; 32]);
        assert_ne!(host.of_job("p1-j2-x"), host.of_job("p1-j3-x"));
        assert_eq!(host.of_job("p1-j2-x").len(), 32);
        assert!(host.of_job("p1-j2-x").starts_with(&host.mark()));
        assert_ne!(host.mark(), HostSecret::new([2; 32]).mark());
    }
}
