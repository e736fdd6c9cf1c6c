//! `BuildKit`'s methods and the numbers of its fields, by the names of its proto files at commit 73ed6825
//! (August 2026). A number never changes its meaning there.
//!
//! Knows what they are called, not what may be asked.

/// `api/services/control/control.proto`, service `moby.buildkit.v1.Control`.
pub(crate) mod control {
    pub(crate) const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
    pub(crate) const STATUS: &str = "/moby.buildkit.v1.Control/Status";
    pub(crate) const INFO: &str = "/moby.buildkit.v1.Control/Info";
    pub(crate) const LIST_WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";

    pub(crate) mod solve_request {
        pub(crate) const REF: u64 = 1;
        pub(crate) const DEFINITION: u64 = 2;
        pub(crate) const EXPORTER_DEPRECATED: u64 = 3;
        pub(crate) const EXPORTER_ATTRS_DEPRECATED: u64 = 4;
        pub(crate) const SESSION: u64 = 5;
        pub(crate) const FRONTEND: u64 = 6;
        pub(crate) const FRONTEND_ATTRS: u64 = 7;
        pub(crate) const CACHE: u64 = 8;
        pub(crate) const ENTITLEMENTS: u64 = 9;
        pub(crate) const FRONTEND_INPUTS: u64 = 10;
        pub(crate) const INTERNAL: u64 = 11;
        pub(crate) const SOURCE_POLICY: u64 = 12;
        pub(crate) const EXPORTERS: u64 = 13;
        pub(crate) const ENABLE_SESSION_EXPORTER: u64 = 14;
    }

    pub(crate) mod exporter {
        pub(crate) const TYPE: u64 = 1;
        pub(crate) const ATTRS: u64 = 2;
    }

    pub(crate) mod cache_options {
        pub(crate) const EXPORT_REF_DEPRECATED: u64 = 1;
        pub(crate) const IMPORT_REFS_DEPRECATED: u64 = 2;
        pub(crate) const EXPORT_ATTRS_DEPRECATED: u64 = 3;
        pub(crate) const EXPORTS: u64 = 4;
        pub(crate) const IMPORTS: u64 = 5;
    }

    pub(crate) mod cache_options_entry {
        pub(crate) const TYPE: u64 = 1;
    }
}

/// `frontend/gateway/pb/gateway.proto`, service `moby.buildkit.v1.frontend.LLBBridge`.
pub(crate) mod gateway {
    pub(crate) const SERVICE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
    pub(crate) const SOLVE: &str = "/moby.buildkit.v1.frontend.LLBBridge/Solve";

    pub(crate) mod solve_request {
        pub(crate) const DEFINITION: u64 = 1;
        pub(crate) const FRONTEND: u64 = 2;
        pub(crate) const FRONTEND_OPT: u64 = 3;
        /// `ImportCacheRefsDeprecated` until v0.11, which removed it.
        pub(crate) const IMPORT_CACHE_REFS_DEPRECATED: u64 = 4;
        pub(crate) const ALLOW_RESULT_RETURN: u64 = 5;
        pub(crate) const ALLOW_RESULT_ARRAY_REF: u64 = 6;
        pub(crate) const FINAL: u64 = 10;
        pub(crate) const EXPORTER_ATTR: u64 = 11;
        pub(crate) const CACHE_IMPORTS: u64 = 12;
        pub(crate) const FRONTEND_INPUTS: u64 = 13;
        pub(crate) const EVALUATE: u64 = 14;
        pub(crate) const SOURCE_POLICIES: u64 = 15;
    }
}
