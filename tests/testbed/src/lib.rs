//! Real parts that tests and the demo share.
