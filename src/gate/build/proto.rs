//! `BuildKit`'s methods and the numbers of its fields, by the names of its proto files at commit 73ed6825
//! (August 2026). A number never changes its meaning there.
//!
//! Knows what they are called, not what may be asked.

/// `api/services/control/control.proto`, service `moby.buildkit.v1.Control`.
pub mod control {
    pub const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
    pub const STATUS: &str = "/moby.buildkit.v1.Control/Status";
    pub const INFO: &str = "/moby.buildkit.v1.Control/Info";
    pub const LIST_WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";

    pub mod solve_request {
        pub const REF: u64 = 1;
        pub const DEFINITION: u64 = 2;
        pub const EXPORTER_DEPRECATED: u64 = 3;
        pub const EXPORTER_ATTRS_DEPRECATED: u64 = 4;
        pub const SESSION: u64 = 5;
        pub const FRONTEND: u64 = 6;
        pub const FRONTEND_ATTRS: u64 = 7;
        pub const CACHE: u64 = 8;
        pub const ENTITLEMENTS: u64 = 9;
        pub const FRONTEND_INPUTS: u64 = 10;
        pub const INTERNAL: u64 = 11;
        pub const SOURCE_POLICY: u64 = 12;
        pub const EXPORTERS: u64 = 13;
        pub const ENABLE_SESSION_EXPORTER: u64 = 14;
    }

    pub mod exporter {
        pub const TYPE: u64 = 1;
        pub const ATTRS: u64 = 2;
    }

    pub mod cache_options {
        pub const EXPORT_REF_DEPRECATED: u64 = 1;
        pub const IMPORT_REFS_DEPRECATED: u64 = 2;
        pub const EXPORT_ATTRS_DEPRECATED: u64 = 3;
        pub const EXPORTS: u64 = 4;
        pub const IMPORTS: u64 = 5;
    }

    pub mod cache_options_entry {
        pub const TYPE: u64 = 1;
    }
}

/// `frontend/gateway/pb/gateway.proto`, service `moby.buildkit.v1.frontend.LLBBridge`.
pub mod gateway {
    pub const SERVICE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
    pub const SOLVE: &str = "/moby.buildkit.v1.frontend.LLBBridge/Solve";

    pub mod solve_request {
        pub const DEFINITION: u64 = 1;
        pub const FRONTEND: u64 = 2;
        pub const FRONTEND_OPT: u64 = 3;
        /// `ImportCacheRefsDeprecated` until v0.11, which removed it.
        pub const IMPORT_CACHE_REFS_DEPRECATED: u64 = 4;
        pub const ALLOW_RESULT_RETURN: u64 = 5;
        pub const ALLOW_RESULT_ARRAY_REF: u64 = 6;
        pub const FINAL: u64 = 10;
        pub const EXPORTER_ATTR: u64 = 11;
        pub const CACHE_IMPORTS: u64 = 12;
        pub const FRONTEND_INPUTS: u64 = 13;
        pub const EVALUATE: u64 = 14;
        pub const SOURCE_POLICIES: u64 = 15;
    }
}
