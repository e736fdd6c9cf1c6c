//! What dockmaster keeps on disk between its calls.

pub mod ledger;
