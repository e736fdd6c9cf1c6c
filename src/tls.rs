//! Which cryptography TLS uses here: ring, chosen once for the whole process.

/// Chooses ring. Call it before the first HTTPS client is made; calling it again changes nothing.
pub(crate) fn choose_ring() {
    // An error means that a provider is already there, which is what was asked for.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
