//! `BuildKit`'s methods, by the names of its proto files.
//!
//! Knows what they are called, not what may be asked.

/// `api/services/control/control.proto`, service `moby.buildkit.v1.Control`.
pub(crate) mod control {
    pub(crate) const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
    pub(crate) const STATUS: &str = "/moby.buildkit.v1.Control/Status";
    pub(crate) const INFO: &str = "/moby.buildkit.v1.Control/Info";
    pub(crate) const LIST_WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";
}

/// `frontend/gateway/pb/gateway.proto`, service `moby.buildkit.v1.frontend.LLBBridge`.
pub(crate) mod gateway {
    pub(crate) const SERVICE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
    pub(crate) const SOLVE: &str = "/moby.buildkit.v1.frontend.LLBBridge/Solve";
}

/// `session/*/*.proto`: what the engine asks of the client while it builds.
pub(crate) mod session {
    pub(crate) const FOLDER: &str = "/moby.filesync.v1.FileSync/DiffCopy";

    /// Not the services that name exporters or upload a context: what they say would pass unread.
    pub(crate) const OPEN: &[&str] = &[
        FOLDER,
        "/moby.filesync.v1.FileSync/TarStream",
        "/moby.filesync.v1.FileSend/DiffCopy",
        "/moby.filesync.v1.Auth/Credentials",
        "/moby.filesync.v1.Auth/FetchToken",
        "/moby.filesync.v1.Auth/GetTokenAuthority",
        "/moby.filesync.v1.Auth/VerifyTokenAuthority",
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.sshforward.v1.SSH/CheckAgent",
        "/moby.sshforward.v1.SSH/ForwardAgent",
        "/grpc.health.v1.Health/Check",
    ];
}
