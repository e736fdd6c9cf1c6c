//! Whose login a pull for a build is made with.

use hyper::HeaderMap;

/// The accounts that the client of a build has for registries.
pub(crate) trait Logins: Sync {
    /// The account for a registry, as a header of the client's.
    fn header(&self, registry: &str) -> impl Future<Output = HeaderMap> + Send;
}

/// A build whose client says none.
pub(crate) struct NoLogins;

impl Logins for NoLogins {
    async fn header(&self, _: &str) -> HeaderMap {
        HeaderMap::new()
    }
}
